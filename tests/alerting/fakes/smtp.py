"""A mail server: the dialogue of SMTP with STARTTLS and AUTH, and its ways to say no."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.alerting.fakes.connections import listening


@dataclass
class Mail:
    sender: str
    to: list[str]
    data: bytes
    encrypted: bool
    user: str | None


@dataclass
class FakeSmtp:
    """`says` has the answer to a verb (`greeting`, `RCPT <address>` or `data end` too) in place of its own.

    `hang` never answers, `lost` takes the mail and then hangs, `drop` closes.
    """

    says: dict[str, str] = field(default_factory=dict)
    mails: list[Mail] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    offers_starttls: bool = True
    password: str = "hush"
    port: int = 0

    @asynccontextmanager
    async def serve(self, *, implicit_tls: bool = False) -> AsyncIterator["FakeSmtp"]:
        async with listening(self._talk, self.tls if implicit_tls else None) as self.port:
            yield self

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _Session(self, reader, writer).run()


class _Session:
    def __init__(self, server: FakeSmtp, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server, self.reader, self.writer = server, reader, writer
        self.sender, self.to, self.user = "", [], None

    async def run(self) -> None:
        await self.say("greeting", "220 fake ESMTP")
        while line := (await self.reader.readline()).decode().strip():
            verb = line.split(" ")[0].upper()
            if verb in ("EHLO", "HELO"):
                await self.ehlo()
            elif verb == "STARTTLS":
                await self.say("STARTTLS", "220 go ahead")
                await self.writer.start_tls(self.server.tls)
            elif verb == "AUTH":
                await self.auth(line)
            elif verb == "MAIL":
                self.sender, self.to = _address(line), []
                await self.say("MAIL", "250 ok")
            elif verb == "RCPT":
                await self.rcpt(_address(line))
            elif verb == "DATA":
                await self.data()
            elif verb == "QUIT":
                return await self.say("QUIT", "221 bye")
            else:
                await self.say(verb, "250 ok")

    async def say(self, key: str, own: str) -> bool:
        """Whether it was a yes."""
        answer = self.server.says.get(key, own)
        if answer == "hang":
            await self.reader.read()
        if answer in ("hang", "drop"):
            raise OSError("as it was told")
        self.writer.write(answer.encode() + b"\r\n")
        await self.writer.drain()
        return answer[0] in "23"

    async def ehlo(self) -> None:
        offers = ["250-fake", "250-SIZE 1000000"]
        if self.server.offers_starttls and not self.encrypted:
            offers.append("250-STARTTLS")
        await self.say("EHLO", "\r\n".join([*offers, "250 AUTH PLAIN"]))

    async def auth(self, line: str) -> None:
        _, user, password = base64.b64decode(line.split()[2]).decode().split("\0")
        right = password == self.server.password
        self.user = user if right else None
        await self.say("AUTH", "235 welcome" if right else "535 wrong")

    async def rcpt(self, address: str) -> None:
        if await self.say(f"RCPT {address}" if f"RCPT {address}" in self.server.says else "RCPT", "250 ok"):
            self.to.append(address)

    async def data(self) -> None:
        if not self.to:
            return await self._no_recipients()
        if not await self.say("DATA", "354 go on"):
            return None
        data = (await self.reader.readuntil(b"\r\n.\r\n")).removesuffix(b".\r\n")
        mail = Mail(self.sender, self.to, data, self.encrypted, self.user)
        answer = self.server.says.get("data end", "250 taken")
        if answer.startswith("250") or answer == "lost":
            self.server.mails.append(mail)
        if answer == "lost":
            await self.reader.read()
            raise OSError("as it was told")
        await self.say("data end", "250 taken")

    async def _no_recipients(self) -> None:
        await self.say("no recipients", "503 no valid recipients")

    @property
    def encrypted(self) -> bool:
        return self.writer.get_extra_info("ssl_object") is not None


def _address(line: str) -> str:
    return line.partition("<")[2].partition(">")[0]
