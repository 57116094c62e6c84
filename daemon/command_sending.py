"""Commands of the command line that are sent over SQS, as `robotd send` does, and then followed in the journal.

One path for everybody: what a person does here is checked, refused and journalled like a program's command.
"""

import asyncio
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from daemon.cli_past import plain, say_json
from daemon.cli_send import Wanted, build, hand_in
from daemon.journal_view import Journal, JournalEntry
from daemon.opening import open_sqs
from daemon.settings import Settings
from domain.errors import MessageError
from domain.messages import read_envelope
from domain.wire import JsonObject, write_json

_FIRST_LOOK_S, _SLOWER, _LONGEST_S = 0.1, 1.5, 1.0


@dataclass(frozen=True, slots=True)
class Sending:
    """How a command is sent. `wait_s` None: nobody waits for what becomes of it."""

    identity: str | None
    call_ref: str | None
    wait_s: float | None
    as_json: bool


@dataclass(frozen=True, slots=True)
class Order:
    """A command as the command line has it: `options` name its fields there, `more` are further ones, NAME=VALUE."""

    type: str
    data: Mapping[str, object]
    options: Mapping[str, str]
    more: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Became:
    """A command that was sent, and the journal's last word about it; None where nobody waited, or there is none yet."""

    source: str
    id: str
    sent: JsonObject
    last: JournalEntry | None

    @property
    def is_done(self) -> bool:
        """Whether it was handled."""
        return self.last is not None and self.last.outcome == "done"


async def hand_over(settings: Settings, journal: Journal, order: Order, sending: Sending) -> Became:
    """Send a command and wait for what becomes of it, as long as `sending` says. Raises MessageError, RuleViolation."""
    fields = (*(f"{name}={json.dumps(value)}" for name, value in order.data.items() if value is not None), *order.more)
    wanted = Wanted(order.type, fields, None, sending.identity, sending.call_ref, None, sending.as_json)
    body = _built(wanted, order.options)
    envelope = read_envelope(body)
    before = {entry.id for entry in await journal.entries(envelope.source, envelope.id) if entry.outcome != "done"}
    async with open_sqs(settings) as sqs:
        await hand_in(sqs, settings.queues.commands, body, envelope.type)
    sent: JsonObject = {"sent": envelope.id, "callRef": envelope.callref, "queue": settings.queues.commands}
    last = None
    if sending.wait_s is not None:
        last = await outcome_of(journal, envelope.source, envelope.id, before, sending.wait_s)
    return Became(envelope.source, envelope.id, sent, last)


def _built(wanted: Wanted, options: Mapping[str, str]) -> str:
    """The body, or a MessageError in the words of the command line."""
    try:
        return write_json(build(wanted))
    except MessageError as error:
        said = str(error).removeprefix(f"{wanted.command_type}: ")
        for name, option in options.items():
            said = re.sub(rf"(^|; ){name}(\.\d+)?: ", rf"\g<1>{option}: ", said)
        raise MessageError(said) from None


async def outcome_of(
    journal: Journal, source: str, message_id: str, before: set[str], wait_s: float
) -> JournalEntry | None:
    """The journal's last word about a command, looked for less and less often. Earlier refusals don't count."""
    loop, pause_s = asyncio.get_running_loop(), _FIRST_LOOK_S
    ends_s = loop.time() + wait_s
    while True:
        new = [entry for entry in await journal.entries(source, message_id) if entry.id not in before]
        last = next((entry for entry in new if entry.outcome == "done"), new[-1] if new else None)
        left_s = ends_s - loop.time()
        if left_s <= 0 or (last is not None and last.outcome != "retried"):
            return last
        await asyncio.sleep(min(pause_s, left_s))
        pause_s = min(_LONGEST_S, pause_s * _SLOWER)


def tell(became: Became, command_type: str, sending: Sending, about: Callable[[str], JsonObject]) -> int:
    """Print what became of it; `about` makes of the note of what was done what programs get beside. The exit code."""
    last, sent = became.last, became.sent
    if sending.wait_s is None:
        return _tell({**sent, "outcome": None}, f"sent {command_type} {became.id}", sending)
    if last is None or last.outcome == "retried":
        tried = "" if last is None else f"; tried so far: {last.attempt}, the last time: {last.reason}"
        said = f"not handled within {sending.wait_s:g} s{tried}; it stays in {sent['queue']} until a robotd handles it"
        return _tell({**sent, "outcome": "waiting", "reason": None if last is None else last.reason}, said, sending)
    if last.outcome == "rejected":
        return _tell({**sent, "outcome": "rejected", "reason": last.reason}, f"refused: {last.reason}", sending)
    return _tell({**sent, "outcome": "done", "note": last.reason, **about(last.reason)}, last.reason, sending)


def _tell(content: JsonObject, sentence: str, sending: Sending) -> int:
    """Print it, what is not as it was wanted to stderr. Returns the exit code."""
    is_well = content["outcome"] in (None, "done")
    if sending.as_json:
        say_json(content)
    else:
        (sys.stdout if is_well else sys.stderr).write(f"{'' if is_well else 'robotd: '}{plain(sentence)}\n")
    return 0 if is_well else 1
