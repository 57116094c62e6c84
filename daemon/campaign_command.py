"""Campaign commands of the command line: sent over SQS as `robotd send` does, then followed in the database.

One path for everybody: what a person does here is checked, refused and journalled like a program's command.
"""

import asyncio
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.campaign_status import Which, found
from daemon.campaign_view import CampaignReads, JournalEntry
from daemon.cli_past import plain, say_json
from daemon.cli_send import Wanted, build, hand_in
from daemon.clock import SystemClock
from daemon.opening import open_campaigns, open_sqs
from daemon.settings import Settings
from domain.errors import MessageError, RuleViolation
from domain.messages import read_envelope
from domain.wire import JsonObject, iso, write_json

_FIRST_LOOK_S, _SLOWER, _LONGEST_S = 0.1, 1.5, 1.0
_CAMPAIGN = re.compile(r"campaign (\d+)")
_OPTIONS = {
    "userId": "--user",
    "name": "--name",
    "session": "--session",
    "text": "--text",
    "defaultNameValue": "--default-name",
    "mediaFile": "--media",
    "scheduledAt": "--at",
    "expiresAfterS": "--expires-after",
    "robotId": "--robot",
    "scope": "--scope",
    "phoneNumber": "--to",
    "chatId": "--to",
    "firstName": "--first-name",
}
NOW = "now"


@dataclass(frozen=True, slots=True)
class Sending:
    """How a command is sent. `wait_s` None: nobody waits for what becomes of it."""

    identity: str | None
    call_ref: str | None
    wait_s: float | None
    as_json: bool


@dataclass(frozen=True, slots=True)
class New:
    """A campaign as it is described on the command line. `more` are fields of the command, NAME=VALUE."""

    owner: str
    contact_list: str
    text: str | None
    text_file: Path | None
    at: str
    data: Mapping[str, object]
    more: Sequence[str]


async def create(settings: Settings, new: New, sending: Sending) -> int:
    """Send `campaign.create`; once it is done, its id is known."""
    data = {**new.data, "userId": new.owner, "text": _text(new), "scheduledAt": _time(new.at)}
    async with open_campaigns(settings) as reads:
        list_id = await reads.list_id(new.owner, new.contact_list.strip())
        if list_id is None:
            known = f"`robotd contacts lists --owner {new.owner}` shows those that there are"
            raise RuleViolation(f"user {new.owner} has no contact list {new.contact_list!a}; {known}")
        return await _send(settings, reads, "campaign.create", {**data, "contactListId": list_id}, sending, new.more)


async def change(
    settings: Settings, verb: str, which: Which, sending: Sending, *, at: str | None = None, **data: object
) -> int:
    """Send a command about one campaign, in its owner's name where nobody names one."""
    async with open_campaigns(settings) as reads:
        owner = which.owner if which.owner is not None else (await found(reads, which)).owner
        fields = {"userId": owner, "campaignId": which.campaign_id, **data}
        if at is not None:
            fields["scheduledAt"] = _time(at)
        return await _send(settings, reads, f"campaign.{verb}", fields, sending)


async def _send(
    settings: Settings,
    reads: CampaignReads,
    command_type: str,
    data: Mapping[str, object],
    sending: Sending,
    more: Sequence[str] = (),
) -> int:
    fields = (*(f"{name}={json.dumps(value)}" for name, value in data.items() if value is not None), *more)
    wanted = Wanted(command_type, fields, None, sending.identity, sending.call_ref, None, sending.as_json)
    body = _built(wanted)
    envelope = read_envelope(body)
    before = {entry.id for entry in await reads.entries(envelope.source, envelope.id) if entry.outcome != "done"}
    async with open_sqs(settings) as sqs:
        await hand_in(sqs, settings.queues.commands, body, envelope.type)
    sent: JsonObject = {"sent": envelope.id, "callRef": envelope.callref, "queue": settings.queues.commands}
    if sending.wait_s is None:
        return _tell({**sent, "outcome": None}, f"sent {envelope.type} {envelope.id}", sending)
    last = await _outcome(reads, envelope.source, envelope.id, before, sending.wait_s)
    return _became(last, sent, sending)


def _built(wanted: Wanted) -> str:
    """The body, or a MessageError in the words of the command line."""
    try:
        return write_json(build(wanted))
    except MessageError as error:
        said = str(error).removeprefix(f"{wanted.command_type}: ")
        for name, option in _OPTIONS.items():
            said = re.sub(rf"(^|; ){name}: ", rf"\g<1>{option}: ", said)
        raise MessageError(said) from None


async def _outcome(
    reads: CampaignReads, source: str, message_id: str, before: set[str], wait_s: float
) -> JournalEntry | None:
    """The journal's last word about this command, looked for less and less often. Earlier refusals don't count."""
    loop, pause_s = asyncio.get_running_loop(), _FIRST_LOOK_S
    ends_s = loop.time() + wait_s
    while True:
        new = [entry for entry in await reads.entries(source, message_id) if entry.id not in before]
        last = next((entry for entry in new if entry.outcome == "done"), new[-1] if new else None)
        left_s = ends_s - loop.time()
        if left_s <= 0 or (last is not None and last.outcome != "retried"):
            return last
        await asyncio.sleep(min(pause_s, left_s))
        pause_s = min(_LONGEST_S, pause_s * _SLOWER)


def _became(last: JournalEntry | None, sent: JsonObject, sending: Sending) -> int:
    if last is None or last.outcome == "retried":
        tried = "" if last is None else f"; tried so far: {last.attempt}, the last time: {last.reason}"
        said = f"not handled within {sending.wait_s:g} s{tried}; it stays in {sent['queue']} until a robotd handles it"
        return _tell({**sent, "outcome": "waiting", "reason": None if last is None else last.reason}, said, sending)
    if last.outcome == "rejected":
        return _tell({**sent, "outcome": "rejected", "reason": last.reason}, f"refused: {last.reason}", sending)
    campaign = _CAMPAIGN.search(last.reason)
    about = {"campaignId": int(campaign[1])} if campaign else {}
    return _tell({**sent, "outcome": "done", "note": last.reason, **about}, last.reason, sending)


def _tell(content: JsonObject, sentence: str, sending: Sending) -> int:
    """Print it, what is not as it was wanted to stderr. Returns the exit code."""
    is_well = content["outcome"] in (None, "done")
    if sending.as_json:
        say_json(content)
    else:
        (sys.stdout if is_well else sys.stderr).write(f"{'' if is_well else 'robotd: '}{plain(sentence)}\n")
    return 0 if is_well else 1


def _time(text: str) -> str:
    return iso(SystemClock().now_ms()) if text == NOW else text


def _text(new: New) -> str:
    """Raises MessageError unless there is exactly one text."""
    if new.text is not None and new.text_file is None:
        return new.text
    if new.text is not None or new.text_file is None:
        raise MessageError("name either --text or --text-file")
    try:
        return new.text_file.read_text(encoding="utf-8").removesuffix("\n")
    except OSError as error:
        raise MessageError(f"--text-file {new.text_file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise MessageError(f"--text-file {new.text_file}: not UTF-8") from None
