"""A workspace of Slack with the methods that we use, as its documents describe them."""

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from tests.alerting.fakes.http import Asked, HttpFake

TOKEN = "xoxb-hush"
SCOPES = {
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "conversations.history": "history",
    "conversations.replies": "history",
    "conversations.open": "im:write",
}


@dataclass
class FakeSlack(HttpFake):
    """`errors` are said one a call, as `ok: false`; `people` maps a person to the conversation with them."""

    errors: list[str] = field(default_factory=list)
    posts: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {"C0000001": [], "D0000001": []})
    people: dict[str, str] = field(default_factory=lambda: {"U0000001": "D0000001"})
    scopes: set[str] = field(default_factory=lambda: set(SCOPES.values()))
    refuses_blocks: bool = False
    clock_s: int = 1_777_860_030  # of its first message; each is a second later

    @property
    def api(self) -> str:
        return f"{self.url}/api"

    @property
    def methods(self) -> list[str]:
        return [asked.path.rpartition("/")[2] for asked in self.asked]

    def answer(self, asked: Asked) -> tuple[int, dict[str, str], bytes]:
        method = asked.path.rpartition("/")[2]
        if asked.headers["content-type"].startswith("application/json"):
            said = json.loads(asked.body)
        else:
            said = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
        found = self._error(asked, method) or self._do(method, said)
        return 200, self.fault_headers if not found["ok"] else {}, json.dumps(found).encode()

    def _error(self, asked: Asked, method: str) -> dict[str, Any] | None:
        if self.errors:
            return _no(self.errors.pop(0))
        if asked.headers.get("authorization") != f"Bearer {TOKEN}":
            return _no("invalid_auth")
        return None if SCOPES[method] in self.scopes else _no("missing_scope")

    def _do(self, method: str, said: dict[str, Any]) -> dict[str, Any]:
        if method == "conversations.open":
            found = self.people.get(said["users"])
            return {"ok": True, "channel": {"id": found}} if found else _no("user_not_found")
        where = said["channel"]
        if method == "chat.postMessage":
            where = self.people.get(where, where)
        if where not in self.posts:
            return _no("channel_not_found")
        if method == "chat.postMessage":
            return self._post(where, said)
        if method == "chat.update":
            return self._update(where, said)
        return self._list(method, where, said)

    def _post(self, where: str, said: dict[str, Any]) -> dict[str, Any]:
        if self.refuses_blocks and "blocks" in said:
            return _no("invalid_blocks")
        if "thread_ts" in said and not any(post["ts"] == said["thread_ts"] for post in self.posts[where]):
            return _no("thread_not_found")
        ts = f"{self.clock_s + sum(map(len, self.posts.values()))}.000100"
        self.posts[where].append(dict(said) | {"ts": ts})
        return {"ok": True, "channel": where, "ts": ts}

    def _update(self, where: str, said: dict[str, Any]) -> dict[str, Any]:
        for post in self.posts[where]:
            if post["ts"] == said["ts"]:
                post.update(said)
                return {"ok": True, "channel": where, "ts": said["ts"]}
        return _no("message_not_found")

    def _list(self, method: str, where: str, said: dict[str, Any]) -> dict[str, Any]:
        """Newest first, a page at a time; in the channel itself stands only what is in no thread, or was broadcast."""
        wanted = [
            post
            for post in reversed(self.posts[where])
            if float(post["ts"]) >= float(said["oldest"])
            and (
                post.get("thread_ts") == said["ts"] or post["ts"] == said["ts"]
                if method == "conversations.replies"
                else "thread_ts" not in post or post.get("reply_broadcast")
            )
        ]
        start, limit = int(said.get("cursor", 0)), int(said["limit"])
        page = [dict(post) for post in wanted[start : start + limit]]
        if said.get("include_all_metadata") != "true":
            for post in page:
                post.pop("metadata", None)
        more = str(start + limit) if start + limit < len(wanted) else ""
        return {"ok": True, "messages": page, "response_metadata": {"next_cursor": more}}


def _no(error: str) -> dict[str, Any]:
    return {"ok": False, "error": error}
