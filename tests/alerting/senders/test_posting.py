"""One POST against a real receiver that misbehaves."""

import asyncio
import socket

import httpx2
import pytest

from tests.alerting.fakes.pagerduty import FakePagerDuty
from uptake_alerting.patience import Sent
from uptake_alerting.senders import new_client, posting
from uptake_alerting.senders.posting import MAX_BODY_BYTES, Request


@pytest.fixture
async def client():
    async with new_client() as made:
        yield made


def to(url: str, body: bytes = b"{}") -> Request:
    return Request(url, {"Content-Type": "application/json"}, body)


@pytest.mark.parametrize(
    ("answer", "headers", "sent"),
    [
        (200, {}, Sent("delivered", "ok")),
        (404, {}, Sent("failed", "http_4xx")),
        (500, {}, Sent("retry", "http_5xx")),
        (429, {"Retry-After": "9"}, Sent("retry", "http_429", 9.0)),
        (307, {"Location": "http://127.0.0.1:1/elsewhere"}, Sent("failed", "redirect")),
        ("drop", {}, Sent("retry", "network", ambiguous=True)),
        ("nonsense\r\n\r\n", {}, Sent("retry", "network", ambiguous=True)),
    ],
)
async def test_what_an_answer_becomes(client, receiver, answer, headers, sent):
    receiver.answers, receiver.headers = [answer], headers
    assert await posting.post(client, to(receiver.url), allow_private=True) == sent
    assert len(receiver.got) == 1


async def test_a_receiver_that_accepts_and_hangs_leaves_it_open_whether_it_arrived(client, receiver, monkeypatch):
    monkeypatch.setattr(posting, "SEND_S", 0.2)
    receiver.answers = ["hang"]
    assert await posting.post(client, to(receiver.url), allow_private=True) == Sent("retry", "timeout", ambiguous=True)


async def test_an_endless_answer_is_not_read(client, receiver):
    receiver.answers = [f"HTTP/1.1 200 OK\r\nContent-Length: {10**12}\r\n\r\nabc"]
    assert (await posting.post(client, to(receiver.url), allow_private=True)).outcome == "delivered"


async def test_nobody_there_is_surely_not_delivered(client, free_port):
    sent = await posting.post(client, to(f"http://127.0.0.1:{free_port()}/"), allow_private=True)
    assert sent == Sent("retry", "network")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]"])
async def test_a_private_target_is_refused_before_anything_is_sent(client, receiver, host):
    url = f"http://{host}:{receiver.port}/hook"
    assert await posting.post(client, to(url), allow_private=False) == Sent("failed", "private_address")
    assert receiver.got == []


async def test_one_private_address_among_several_is_enough_to_refuse(client, receiver, monkeypatch):
    async def both(host, port, **other):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("8.8.8.8", "127.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
    sent = await posting.post(client, to(f"http://hook.example:{receiver.port}/"), allow_private=False)
    assert sent == Sent("failed", "private_address")


async def test_it_connects_to_the_address_that_was_checked_and_names_the_host(client, receiver, monkeypatch):
    asked = []

    async def once(host, port, **other):
        asked.append(host)
        assert len(asked) == 1, "resolved again after the check"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", once)
    sent = await posting.post(client, to(f"http://hook.example:{receiver.port}/path"), allow_private=True)
    assert sent == Sent("delivered", "ok")
    assert asked == ["hook.example"]
    assert receiver.got[0].headers["host"] == f"hook.example:{receiver.port}"
    assert receiver.got[0].path == "/path"


async def test_a_second_address_is_tried_when_the_first_does_not_connect(client, receiver, monkeypatch):
    async def both(host, port, **other):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("127.0.0.2", "127.0.0.1")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
    sent = await posting.post(client, to(f"http://hook.example:{receiver.port}/"), allow_private=True)
    assert sent == Sent("delivered", "ok")


@pytest.mark.parametrize("url", ["", "ftp://example.org/", "file:///etc/passwd", "http://", "nonsense"])
async def test_what_is_no_web_address_fails_at_once(client, url):
    assert await posting.post(client, to(url), allow_private=True) == Sent("failed", "bad_url")


@pytest.mark.parametrize(
    ("certificate", "trusted", "sent"),
    [
        ("right", True, Sent("delivered", "ok")),
        ("right", False, Sent("retry", "tls")),
        ("wrong", True, Sent("retry", "tls")),
    ],
)
async def test_over_tls_the_certificate_must_be_of_the_host_and_of_an_authority_we_know(
    authority, certificate, trusted, sent
):
    async with (
        FakePagerDuty(faults=[202]).serve(authority.server(certificate)) as server,
        new_client(authority.client() if trusted else None) as client,
    ):
        assert await posting.post(client, to(server.url), allow_private=True) == sent
    assert len(server.asked) == (sent.outcome == "delivered")


async def test_a_name_that_does_not_resolve_is_tried_again(client):
    sent = await posting.post(client, to("http://nobody.invalid/"), allow_private=True)
    assert sent == Sent("retry", "network")


async def test_our_own_body_is_bounded(client, receiver):
    sent = await posting.post(client, to(receiver.url, b"x" * (MAX_BODY_BYTES + 1)), allow_private=True)
    assert sent == Sent("failed", "too_large")
    assert receiver.got == []


async def test_the_proxy_of_the_environment_is_not_used(receiver, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with new_client() as client:
        assert (await posting.post(client, to(receiver.url), allow_private=True)).outcome == "delivered"
    assert isinstance(client, httpx2.AsyncClient)
