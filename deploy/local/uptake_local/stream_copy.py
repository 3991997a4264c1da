"""A JetStream stream as bytes and back, by the broker's own snapshots: messages, sequences, settings, consumers.

Decides neither which streams nor when. The format of the bytes is the broker's.
"""

import json
from collections.abc import Callable, Iterable
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.errors import APIError

_CHUNK_BYTES = 128 * 1024  # well under max_payload
_PATIENCE_S = 60.0
_DONE = "204"
_NO_SUCH_SEQUENCE = 10043


class StreamCopyFailed(Exception):
    """The broker did not hand out, or did not take, all of a stream."""


async def save(client: Client, stream: str, write: Callable[[bytes], None]) -> dict[str, Any]:
    """Writes the stream as it is at this moment, and returns its `config` and `state` as the broker says them."""
    inbox = client.new_inbox()
    chunks = await client.subscribe(inbox)
    try:
        wanted = {"deliver_subject": inbox, "chunk_size": _CHUNK_BYTES, "no_consumers": False}
        described = await _ask(client, f"$JS.API.STREAM.SNAPSHOT.{stream}", wanted)
        while (chunk := await chunks.next_msg(timeout=_PATIENCE_S)).data:
            write(chunk.data)
            if chunk.reply:  # the broker sends only so much that nobody has acknowledged
                await client.publish(chunk.reply)
        _require_whole(stream, chunk)
    finally:
        await chunks.unsubscribe()
    return {"config": described["config"], "state": described["state"]}


async def load(client: Client, stream: str, described: dict[str, Any], chunks: Iterable[bytes]) -> None:
    """Makes the stream again, with the identity, the sequences and the consumers that it had."""
    answer = await _ask(client, f"$JS.API.STREAM.RESTORE.{stream}", described)
    for chunk in chunks:
        for start in range(0, len(chunk), _CHUNK_BYTES):
            await _hand_over(client, stream, answer["deliver_subject"], chunk[start : start + _CHUNK_BYTES])
    await _hand_over(client, stream, answer["deliver_subject"], b"")
    await _require_served(client.jetstream(), stream, described["state"])


async def cut(js: JetStreamContext, stream: str, last: int) -> int:
    """Takes out what came after the sequence `last`; sequences are not given out again. Returns how many there were."""
    state = (await js.stream_info(stream)).state
    gone = 0
    for sequence in range(last + 1, state.last_seq + 1):
        try:
            gone += await js.delete_msg(stream, sequence)
        except APIError as error:
            if error.err_code != _NO_SUCH_SEQUENCE:  # taken out before
                raise
    return gone


def _require_whole(stream: str, end: Msg) -> None:
    status = (end.headers or {}).get("Status", _DONE)
    if status != _DONE:
        raise StreamCopyFailed(f"The broker broke off its copy of stream {stream} with status {status}. Try again.")


async def _require_served(js: JetStreamContext, stream: str, state: dict[str, Any]) -> None:
    """A consumer ahead of its stream would skip what comes next."""
    last = (await js.stream_info(stream)).state.last_seq
    ahead = [
        info.name for info in await js.consumers_info(stream) if info.delivered and info.delivered.stream_seq > last
    ]
    if last < state["last_seq"] or ahead:
        raise StreamCopyFailed(
            f"Stream {stream} came back to {last} of {state['last_seq']}"
            + (f", and its consumers {', '.join(ahead)} are ahead of it." if ahead else ".")
        )


async def _hand_over(client: Client, stream: str, subject: str, chunk: bytes) -> None:
    answer = await client.request(subject, chunk, timeout=_PATIENCE_S)
    said = json.loads(answer.data) if answer.data else {}
    if "error" in said:
        raise StreamCopyFailed(f"The broker does not take stream {stream}: {said['error'].get('description')}.")


async def _ask(client: Client, subject: str, body: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(
        (await client.request(subject, json.dumps(body).encode(), timeout=_PATIENCE_S)).data
    )
    if "error" in answer:
        raise StreamCopyFailed(f"The broker refuses {subject}: {answer['error'].get('description')}.")
    return answer
