"""The inbox of one machine: it shows what alerting signed, once, and nothing else."""

import hashlib
import hmac
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from uptake_alerting.routes import parse
from uptake_alerting.senders.webhook import signature as sign
from uptake_local.inbox import MAX_BODY_BYTES, problem, readable, write_routes

KEY, BODY, NOW = b"secret", b"{}", 1_780_000_000


@pytest.mark.parametrize(
    ("signature", "says"),
    [
        (sign(KEY, BODY, NOW), None),
        (sign(KEY, BODY, NOW - 299), None),
        (sign(KEY, BODY, NOW + 299), None),
        (sign(KEY, BODY, NOW - 301), "signed too long ago"),
        (sign(b"other", BODY, NOW), "signed with another secret"),
        (sign(KEY, b"{ }", NOW), "signed with another secret"),
        (f"t={NOW},v1=", "signed with another secret"),
        (f"t={NOW},v1=é", "signed with another secret"),
        ("t=,v1=x", "not signed"),
        ("t=²,v1=x", "not signed"),
        ("hello", "not signed"),
        (None, "not signed"),
    ],
)
def test_only_what_alerting_signed_just_now_is_taken(signature: str | None, says: str | None) -> None:
    assert problem(signature, KEY, BODY, NOW) == says


def test_the_scheme_is_plain_hmac() -> None:
    expected = hmac.new(KEY, f"{NOW}.".encode() + BODY, hashlib.sha256).hexdigest()
    assert problem(f"t={NOW},v1={expected}", KEY, BODY, NOW) is None


def test_a_notice_becomes_one_line() -> None:
    notice = {"headline": "Warning: A\nB is off\x1b[31m", "lines": ["first", "Next step: call."]}
    assert readable(json.dumps(notice).encode()) == "Warning: A B is off [31m  Next step: call."


@pytest.mark.parametrize("body", [b"", b"[]", b'{"headline": "x"}', b'{"headline": "x", "lines": 5}', b"[" * 100_000])
def test_what_is_no_notice_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="not a notice"):
        readable(body)


def test_the_routes_lead_here_and_alerting_understands_them(tmp_path: Path) -> None:
    secret = tmp_path / "it's: a #secret"
    secret.write_text("s\n")
    write_routes(tmp_path, 8409, secret)
    routes = parse((tmp_path / "routes.yml").read_text())
    assert routes.default == ("inbox",)
    assert routes.channels["inbox"].target() == "http://127.0.0.1:8409/hook"
    assert routes.channels["inbox"].key() == b"s"  # type: ignore[union-attr]  # it is the webhook


def test_our_own_routes_follow_to_another_port_and_folder(tmp_path: Path) -> None:
    for port, secret in [(8409, tmp_path / "secret"), (8419, tmp_path / "moved (1)" / "secret")]:
        write_routes(tmp_path, port, secret)
        text = (tmp_path / "routes.yml").read_text()
        assert (f":{port}/hook" in text, str(secret) in text) == (True, True)


def test_the_inbox_that_served_nobody_serves_everybody_now(tmp_path: Path) -> None:
    write_routes(tmp_path, 8409, tmp_path / "secret")
    file = tmp_path / "routes.yml"
    text = file.read_text()
    assert 'serves: ["*"]' in text
    file.write_text(text.replace('serves: ["*"]', "serves: []"))
    write_routes(tmp_path, 8409, tmp_path / "secret")
    assert file.read_text() == text


def test_routes_of_the_user_stay(tmp_path: Path) -> None:
    (tmp_path / "routes.yml").write_text("channels: {}\n")
    write_routes(tmp_path, 8409, tmp_path / "secret")
    assert (tmp_path / "routes.yml").read_text() == "channels: {}\n"


@pytest.fixture
def inbox(tmp_path: Path, unused_tcp_port: int) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    (tmp_path / "secret").write_text(KEY.decode() + "\n")
    argv = [sys.executable, "-um", "uptake_local.inbox", "--port", str(unused_tcp_port)]
    process = subprocess.Popen([*argv, "--secret-file", str(tmp_path / "secret")], stdout=subprocess.PIPE, text=True)
    url = f"http://127.0.0.1:{unused_tcp_port}/hook"
    deadline = time.monotonic() + 20
    while not _listens(url):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    with process:
        yield url, process
        process.terminate()


def _listens(url: str) -> bool:
    try:
        return httpx2.get(url, trust_env=False).status_code == 200
    except httpx2.TransportError:
        return False


def post(url: str, body: bytes, key: bytes = KEY, delivery: str = "d1") -> int:
    headers = {"Uptake-Signature": sign(key, body, int(time.time())), "Idempotency-Key": delivery}
    return httpx2.post(url, content=body, headers=headers, trust_env=False).status_code


def test_a_notice_sent_twice_appears_once(inbox: tuple[str, subprocess.Popen[str]]) -> None:
    url, process = inbox
    first, second = (json.dumps({"headline": name, "lines": ["Next."]}).encode() for name in ("Off", "Worse"))
    answers = [
        post(url, first),
        post(url, first),
        post(url, first, key=b"wrong", delivery="d2"),
        post(url, b"{}", delivery="d3"),
        post(url, b" " * (MAX_BODY_BYTES + 1), delivery="d4"),
        post(url, second, delivery="d5"),
    ]
    assert answers == [204, 204, 401, 400, 413, 204]
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    assert lines == ["Off  Next.\n", "refused a notice: signed with another secret\n", "Worse  Next.\n"]
