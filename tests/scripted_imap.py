"""An IMAP server that does one thing wrong, for what a real Dovecot can't be brought to do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

CUT, SILENT = "cut", "silent"
GREETING = "* OK [CAPABILITY IMAP4rev1 IDLE] ready"
KNOWN = {
    "CAPABILITY": "* CAPABILITY IMAP4rev1 IDLE",
    "SELECT": "* 0 EXISTS\r\n* OK [UIDNEXT 1] next",
    "UID": "* SEARCH",
    "LOGOUT": "* BYE",
}


@dataclass(slots=True)
class ImapScript:
    """What is answered to a command: untagged lines, `NO why`, CUT or SILENT; a list gives one after the other."""

    answers: dict[str, str | list[str]]
    heard: list[str] = field(default_factory=list)
    connections: int = 0

    def answer(self, command: str) -> str:
        answer = self.answers.get(command, KNOWN.get(command, ""))
        if isinstance(answer, str):
            return answer
        return answer.pop(0) if len(answer) > 1 else answer[0]


@asynccontextmanager
async def scripted_imap(answers: dict[str, str | list[str]]) -> AsyncIterator[tuple[ImapScript, int]]:
    script = ImapScript(answers)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as players:

        async def play(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(ConnectionError):
                await _play(script, reader, writer, stop)
            writer.transport.abort()
            await asyncio.sleep(0)  # the loop closes the socket

        def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            script.connections += 1
            players.create_task(play(reader, writer))

        server = await asyncio.start_server(begin, "127.0.0.1", 0)
        try:
            yield script, server.sockets[0].getsockname()[1]
        finally:
            stop.set()
            server.close()
            await server.wait_closed()


async def _play(
    script: ImapScript, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stop: asyncio.Event
) -> None:
    tag, command = "", "GREETING"
    while True:
        answer = script.answer(command) or (GREETING if command == "GREETING" else "")
        if answer == CUT:
            return
        if answer == SILENT:
            await stop.wait()
            return
        is_refusal = answer.startswith("NO")
        untagged = f"{answer}\r\n" if answer and not is_refusal else ""
        if command == "IDLE" and not is_refusal:
            writer.write(f"+ idling\r\n{untagged}".encode())
            await reader.readline()
            untagged = ""
        told = "" if command == "GREETING" else f"{tag} {answer if is_refusal else 'OK done'}\r\n"
        writer.write(f"{untagged}{told}".encode())
        await writer.drain()
        if not (line := (await reader.readline()).decode().strip()):
            return
        script.heard.append(line)
        tag, command = line.split(" ")[:2]
