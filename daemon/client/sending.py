"""Sending commands: checked first, in batches, again what SQS did not take; and asking what became of them."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from daemon.client.commands import Command
from daemon.command_outcome import CommandOutcome
from domain.command_data import CommandData
from domain.errors import MessageError, RobotdError, Unavailable
from domain.wire import MAX_MESSAGE_BYTES, JsonObject, iso, write_json

BATCH = 10
_FIRST_S, _CAP_S = 0.2, 5.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One message for the queue."""

    body: str
    attributes: Mapping[str, str]

    @property
    def size(self) -> int:
        """Bytes as SQS counts them: body, and each attribute's name, type and value."""
        of_attributes = sum(len(name) + len("String") + len(text.encode()) for name, text in self.attributes.items())
        return len(self.body.encode()) + of_attributes


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the queue did not take one entry. `is_final`: it never will."""

    reason: str
    is_final: bool = False


class Queue(Protocol):
    """Where commands go; `over_sqs` has the one that is SQS."""

    async def send(self, entries: Sequence[Entry]) -> Sequence[Failure | None]:
        """Send up to ten that fit into one request; a failure or None for each.

        Raises Unavailable where it may be tried again, RobotdError where that is no use.
        """
        ...


class Outcomes(Protocol):
    """Where robotd is asked what became of a command; `over_http` has the one that is its ops API."""

    async def outcome(self, source: str, command_id: str) -> CommandOutcome:
        """What is known now. Raises Unavailable, RobotdError."""
        ...


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of one command of a batch. With a `failure` it may be there all the same: repeat it by its id."""

    id: str
    failure: str | None = None


class NotSent(RobotdError):  # noqa: N818  a state of the command, not a fault of ours
    """The queue did not take a command."""

    def __init__(self, command_id: str, reason: str) -> None:
        super().__init__(f"the command {command_id} was not sent: {reason}")
        self.command_id = command_id


@dataclass(frozen=True, slots=True)
class CommandClient:
    """Sends as `source`, one stable name for each service.

    `reply_queues`: those that robotd allows; others are refused before they are sent. `must_answer`: so is a command
    that names nobody who is told. `traceparent` is asked for each command that has none of its own.
    """

    queue: Queue
    source: str
    outcomes: Outcomes | None = None
    reply_queues: Collection[str] | None = None
    must_answer: bool = False
    traceparent: Callable[[], str | None] | None = None
    tries: int = 5
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def send(self, command: Command | CommandData) -> str:
        """Send one. Returns its id. Raises MessageError before anything is sent, NotSent after the last try."""
        sent = (await self.send_many([command]))[0]
        if sent.failure is not None:
            raise NotSent(sent.id, sent.failure)
        return sent.id

    async def send_many(self, commands: Iterable[Command | CommandData]) -> list[Sent]:
        """Send all, in batches of ten and in order; one answer each, in the order given.

        Raises MessageError that names the first bad one by its place, before anything is sent.
        """
        wanted = list(commands)
        prepared: list[tuple[str, Entry]] = []
        for place, command in enumerate(wanted):
            try:
                prepared.append(self._entry(command))
            except MessageError as error:
                which = f"command {place}: " if len(wanted) > 1 else ""
                raise MessageError(f"{which}{error}", kind=error.kind) from None
        failures: list[str | None] = []
        for batch in _batches([entry for _, entry in prepared]):
            failures += await self._send_batch(batch)
        return [Sent(identity, failure) for (identity, _), failure in zip(prepared, failures, strict=True)]

    async def outcome(self, command_id: str) -> CommandOutcome:
        """What became of a command of this source. Raises Unavailable, and RobotdError where nobody can be asked."""
        if self.outcomes is None:
            raise RobotdError("the client was made without `outcomes`: nobody can be asked")
        return await self.outcomes.outcome(self.source, command_id)

    async def settled(self, command_id: str, *, timeout_s: float = 30.0, every_s: float = 0.5) -> CommandOutcome:
        """Ask until it is done or refused. Raises TimeoutError, and what `outcome` raises."""
        async with asyncio.timeout(timeout_s):
            while not (outcome := await self.outcome(command_id)).is_final:
                await self.sleep(every_s)
            return outcome

    def _entry(self, command: Command | CommandData) -> tuple[str, Entry]:
        given = command if isinstance(command, Command) else Command.of(command)
        traceparent = given.traceparent or (self.traceparent() if self.traceparent is not None else None)
        traced = Command(given.type, given.data, given.id, given.call_ref, traceparent)
        envelope = traced.envelope(self.source, iso(time.time_ns() // 1_000_000))
        self._check_addressee(envelope)
        attributes = {"type": traced.type, **({"traceparent": traceparent} if traceparent else {})}
        entry = Entry(write_json(envelope), attributes)
        if entry.size > MAX_MESSAGE_BYTES:
            raise MessageError(
                f"{traced.type}: has {entry.size} bytes, SQS takes {MAX_MESSAGE_BYTES}: send it in parts",
                kind="too-large",
            )
        return str(envelope["id"]), entry

    def _check_addressee(self, envelope: JsonObject) -> None:
        data, name = envelope["data"], envelope["type"]
        reply_to = data.get("replyTo")
        if reply_to is not None and self.reply_queues is not None and reply_to not in self.reply_queues:
            raise MessageError(f"{name}: data.replyTo: {reply_to} is none of the reply queues", kind="reply-queue")
        if self.must_answer and reply_to is None and data.get("robotId") is None:
            raise MessageError(
                f"{name}: data: names neither robotId nor replyTo: nobody would be told", kind="invalid-data"
            )

    async def _send_batch(self, batch: Sequence[Entry]) -> list[str | None]:
        """Try again what was not taken, with growing random pauses: the ids are the same, so nothing is done twice."""
        failures: list[str | None] = [None] * len(batch)
        left = list(range(len(batch)))
        for tried in range(1, self.tries + 1):
            answers = await self._once([batch[place] for place in left])
            again: list[int] = []
            for place, answer in zip(left, answers, strict=True):
                failures[place] = None if answer is None else answer.reason
                if answer is not None and not answer.is_final:
                    again.append(place)
            left = again
            if not left or tried == self.tries:
                break
            await self.sleep(min(_CAP_S, _FIRST_S * 2.0**tried) * random.random())  # noqa: S311  jitter
        return failures

    async def _once(self, entries: Sequence[Entry]) -> Sequence[Failure | None]:
        try:
            return await self.queue.send(entries)
        except Unavailable as error:
            return [Failure(str(error))] * len(entries)
        except RobotdError as error:
            return [Failure(str(error), is_final=True)] * len(entries)


def _batches(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Requests of at most ten and at most 1 MiB, in order."""
    batches: list[list[Entry]] = []
    room = 0
    for entry in entries:
        if not batches or len(batches[-1]) == BATCH or entry.size > room:
            batches.append([])
            room = MAX_MESSAGE_BYTES
        batches[-1].append(entry)
        room -= entry.size
    return batches
