"""A TCP server that plays a script, for what no real mail server can be brought to say."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

CUT = "cut"
SILENT = "silent"
BANNER = "220 mx.lab.test ESMTP"
EHLO = "250-mx.lab.test\r\n250 AUTH PLAIN LOGIN"


@dataclass(slots=True)
class Script:
    """What is answered to which command; a list gives one answer after the other, its last one for good.

    CUT ends the connection, SILENT says nothing more. `.` is the end of a mail's text.
    """

    answers: dict[str, str | list[str]]
    heard: list[str] = field(default_factory=list)
    mails: list[str] = field(default_factory=list)
    connections: int = 0
    silenced: asyncio.Event = field(default_factory=asyncio.Event)

    def answer(self, command: str) -> str:
        known = {"BANNER": BANNER, "EHLO": EHLO, "AUTH": "235 2.7.0 ok", "DATA": "354 go on", "QUIT": "221 bye"}
        answer = self.answers.get(command, known.get(command, "250 2.0.0 ok"))
        if isinstance(answer, str):
            return answer
        return answer.pop(0) if len(answer) > 1 else answer[0]


@asynccontextmanager
async def scripted_smtp(
    answers: dict[str, str | list[str]] | None = None, *, context: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[Script, int]]:
    """The script and the port where it plays; with a `context` behind TLS from the beginning."""
    script = Script(answers or {})
    stop = asyncio.Event()

    async with asyncio.TaskGroup() as players:

        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await _play(script, reader, writer, stop)
            writer.transport.abort()
            await asyncio.sleep(0)  # the loop closes the socket

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            script.connections += 1
            players.create_task(play(reader, writer))

        server = await asyncio.start_server(begin, "127.0.0.1", 0, ssl=context)
        try:
            yield script, server.sockets[0].getsockname()[1]
        finally:
            stop.set()
            server.close()
            await server.wait_closed()


async def _play(
    script: Script, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stop: asyncio.Event
) -> None:
    command = "BANNER"
    while True:
        answer = script.answer(command)
        if answer == CUT:
            return
        if answer == SILENT:
            script.silenced.set()
            await stop.wait()
            return
        writer.write(f"{answer}\r\n".encode())
        await writer.drain()
        if command == "DATA" and answer.startswith("354"):
            script.mails.append((await reader.readuntil(b"\r\n.\r\n")).decode())
            command = "."
            continue
        if not (line := (await reader.readline()).decode(errors="replace").strip()):
            return
        script.heard.append(line)
        command = line.split(" ")[0].upper()


def heard_commands(script: Script) -> Sequence[str]:
    """The first words alone."""
    return [line.split(" ")[0] for line in script.heard]
