"""E-mail over SMTP: a copy has the Message-ID of the first, replies keep a thread. Writes no words."""

import asyncio
import socket
import ssl
from collections.abc import Mapping
from datetime import datetime
from email.policy import SMTP
from typing import Any

import aiosmtplib

from uptake_alerting.channels import EmailChannel
from uptake_alerting.patience import Sent
from uptake_alerting.senders import mail_form, posting
from uptake_alerting.senders.letter import Letter
from uptake_alerting.senders.outlet import Outlet
from uptake_alerting.senders.posting import PrivateTarget, addresses


async def send(outlet: Outlet, channel: EmailChannel, letter: Letter, now: datetime) -> Sent:
    to = _recipients(channel, letter)
    if not to:
        return Sent("failed", "no_address")
    if not all(map(str.isascii, to)):
        return Sent("failed", "bad_address")  # it would need SMTPUTF8, which few servers have
    said = mail_form.message(channel.sender, to, letter)
    password = channel.login()
    try:
        async with asyncio.timeout(posting.SEND_S):
            smtp = await _connected(outlet, channel, password)
    except PrivateTarget:
        return Sent("failed", "private_address")
    except (aiosmtplib.SMTPException, OSError) as error:
        return _never_sent(error)
    try:
        async with asyncio.timeout(posting.SEND_S):
            refused, _ = await smtp.sendmail(channel.sender, to, said.as_bytes(policy=SMTP))
            reference = {"message_id": said["Message-ID"], "to": list(to)}
            return Sent("delivered", "partly" if refused else "ok", reference=reference)
    except (aiosmtplib.SMTPException, OSError) as error:
        return _refusal(error) or Sent("retry", _word(error), ambiguous=True)
    finally:
        await _close(smtp)


def _recipients(channel: EmailChannel, letter: Letter) -> tuple[str, ...]:
    """The end goes where the trigger went, whoever the roster names by now."""
    thread: Mapping[str, Any] = letter.thread or {}
    known = thread.get("to")
    return tuple(map(str, known)) if known else channel.mailboxes(letter.person)


async def _connected(outlet: Outlet, channel: EmailChannel, password: str | None) -> aiosmtplib.SMTP:
    sock = await _socket(channel)
    smtp = aiosmtplib.SMTP(
        hostname=channel.host,
        local_hostname=channel.sender.rpartition("@")[2],
        timeout=posting.SEND_S,
        use_tls=channel.tls == "tls",
        start_tls=channel.tls == "starttls",
        tls_context=outlet.tls,
        sock=sock,
    )
    try:
        await smtp.connect()
        if channel.user is not None and password is not None:
            await smtp.login(channel.user, password)
    except BaseException:
        await _close(smtp)
        sock.close()
        raise
    return smtp


async def _close(smtp: aiosmtplib.SMTP) -> None:
    """Without QUIT: the message is taken or it is not, and nobody waits for a farewell."""
    transport = smtp.transport
    smtp.close()
    if isinstance(transport, asyncio.WriteTransport):
        transport.abort()
    await asyncio.sleep(0)  # the transport goes in the next turn of the loop


async def _socket(channel: EmailChannel) -> socket.socket:
    """Connected to an address that was checked. Raises PrivateTarget, OSError."""
    known = await addresses(channel.host, channel.port, allow_private=channel.allow_private)
    for address in known:
        try:
            return await _connect(address, channel.port)
        except OSError:
            if address == known[-1]:
                raise
    raise OSError("no address")


async def _connect(address: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    made.setblocking(False)
    try:
        async with asyncio.timeout(posting.CONNECT_S):
            await asyncio.get_running_loop().sock_connect(made, (address, port))
    except BaseException:
        made.close()
        raise
    return made


def _never_sent(error: Exception) -> Sent:
    """It failed before the message was begun."""
    if isinstance(error, aiosmtplib.SMTPAuthenticationError) and error.code >= 500:
        return Sent("failed", "smtp_auth")
    if type(error) is aiosmtplib.SMTPException:
        return Sent("failed", "no_starttls")  # what is set is not there: going on in the clear is not an answer
    return _refusal(error) or Sent("retry", _word(error))


def _refusal(error: Exception) -> Sent | None:
    """What the server said, if it said something: 4yz is for now, 5yz for good."""
    codes = [error.code] if isinstance(error, aiosmtplib.SMTPResponseException) else []
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        codes = [one.code for one in error.recipients]
    known = [code for code in codes if 400 <= code < 600]
    if not known:
        return None
    return Sent("failed", "smtp_5xx") if all(code >= 500 for code in known) else Sent("retry", "smtp_4xx")


def _word(error: BaseException) -> str:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            return "tls"
        seen = seen.__cause__ or seen.__context__
    return "timeout" if isinstance(error, TimeoutError) else "network"
