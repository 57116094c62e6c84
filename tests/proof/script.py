"""A small load that takes every way through the daemon, and the invariants that must hold after it, crash or no crash.

The judge believes the queue server's ledger, the neighbours' records and the tables, never the daemon's own word for
what it has done: the journal and the log are not read here.
"""

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from domain.messages import reply_id
from tests.proof.home import BOUND_S, Home
from tests.world import create_command

PAST, WAITING, SILENT, REFUSED = 7001, 7002, 7003, 7004
STEP = 88120
WINDOW_S = 1
VERDICTS = {PAST: "PASS", WAITING: "PASS", SILENT: "FAIL"}
UNREADABLE = "this is not JSON"


def prepare(home: Home) -> None:
    """What the neighbours know before anything is asked."""
    for robot_id, window_s in ((PAST, 1800), (WAITING, 1800), (SILENT, WINDOW_S)):
        home.managers.add_step(robot_id, STEP, "TOILET_VISIT", past_interval_s=7200, future_interval_s=window_s)


async def play(home: Home) -> None:
    """Send everything: a check decided by its past, one by an event, one by silence, duplicates, two that must fail."""
    now_ms = round(time.time() * 1000)
    await home.megazord.post_event(PAST, "TOILET_ACTIVITY", created_at_ms=now_ms - 600_000)
    past = create_command(PAST, STEP, 1, now_ms, id="past-1", callref="ref-past")
    for body in (
        past,
        create_command(WAITING, STEP, 2, now_ms, id="waiting-1"),
        silent_command(),
        UNREADABLE,
        refused_command(),
        past,
        create_command(WAITING, STEP, 2, now_ms, id="waiting-2"),
    ):
        home.sqs.send(home.commands, body)


def silent_command() -> str:
    """A check alone that ends by the silence of its window."""
    return create_command(SILENT, STEP, 3, round(time.time() * 1000), id="silent-1")


def refused_command() -> str:
    """A check of a step that does not exist."""
    return create_command(REFUSED, STEP, 4, round(time.time() * 1000), id="refused-1")


async def answer_the_waiting(home: Home) -> None:
    """Post the event that a check waits for, as soon as one listens."""
    await home.megazord.until(lambda: bool(home.megazord.active_subscriptions(WAITING)))
    await home.megazord.post_event(WAITING, "TOILET_ACTIVITY")


async def last_words(home: Home) -> None:
    """The minute after the last crash: the rolls are called that have to be, and the safety timers' minute is over.

    A crash between Megazord's answer and our commit leaves a subscription that nobody knows. No home says a word here.
    """
    let_the_rolls_be_called(home)
    await home.settle(lambda: True, BOUND_S)
    home.tables.rows("UPDATE timer SET due_at_ms = due_at_ms - 61000 WHERE type = 'subscription.release'")
    await home.settle(lambda: home.tables.count("timer") == 0, BOUND_S)


def let_the_rolls_be_called(home: Home) -> None:
    """Let the intents of unfinished subscribes be due, as they are after 20 s."""
    home.tables.rows("UPDATE timer SET due_at_ms = due_at_ms - 21000 WHERE type = 'subscription.roll-call'")


def violations(home: Home) -> list[str]:
    """Every invariant that does not hold, as sentences."""
    return [*_lost(home), *_buried(home), *_effects(home), *_published(home), *_times(home), *_ended(home)]


def _lost(home: Home) -> Iterator[str]:
    """I1."""
    for queue in home.consumed:
        if left := home.sqs.counts(queue).total:
            yield f"I1: {left} messages left in {queue}"
        deleted = {entry.message_id for entry in home.sqs.ledger.of("deleted", queue)}
        for entry in home.sqs.ledger.of("sent", queue):
            if entry.message_id not in deleted:
                yield f"I1: never deleted: {entry.body[:80]}"


def _buried(home: Home) -> Iterator[str]:
    """I1, for what can't succeed."""
    letters = home.dead_letters()
    for body in (UNREADABLE, "refused-1"):
        if not any(body in letter.body for letter in letters):
            yield f"I1: not in the dead-letter queue: {body}"
    for letter in letters:
        if not letter.attributes.get("errorMessage"):
            yield f"I1: a dead letter without a reason: {letter.body[:80]}"
        if not (UNREADABLE in letter.body or "refused-1" in letter.body):
            yield f"I1: dead-lettered without need: {letter.body[:80]} {dict(letter.attributes)}"


def _effects(home: Home) -> Iterator[str]:
    """I2."""
    checks = home.tables.dicts("status_check")
    requests = sorted(check["robot_id"] for check in checks)
    if requests != sorted(VERDICTS):
        yield f"I2: checks of robots {requests} instead of one for each of {sorted(VERDICTS)}"
    records = [(row["status_check_id"], row["incoming_event_id"]) for row in home.tables.dicts("status_check_record")]
    if len(records) != len(set(records)):
        yield "I2: an event stands twice in a history"
    known = {check["id"] for check in checks}
    if strays := {check_id for check_id, _ in records} - known:
        yield f"I2: records without a check: {strays}"


def _published(home: Home) -> Iterator[str]:
    """I3."""
    expected: dict[int, set[str]] = defaultdict(set)
    for check in home.tables.dicts("status_check"):
        expected[check["robot_id"]] |= {f"sc-{check['id']}-{notice}" for notice in range(1, check["notices"] + 1)}
    replies = {WAITING: _reply_ids("waiting-1", "waiting-2"), REFUSED: _reply_ids("refused-1")}
    for robot_id in (*VERDICTS, REFUSED):
        yield from _told(home, robot_id, expected[robot_id], replies.get(robot_id, set()))
    # Two commands asked for one check: one of them opened it, the other is answered with it.
    answered = {result["id"] for result in home.results(WAITING)} & replies[WAITING]
    if len(answered) != 1:
        yield f"I3: {len(answered)} of the two equal commands were answered as repeats"
    if not replies[REFUSED] <= {result["id"] for result in home.results(REFUSED)}:
        yield "I3: the refused robot was never told"


def _reply_ids(*command_ids: str) -> set[str]:
    return {reply_id("test", command_id) for command_id in command_ids}


def _told(home: Home, robot_id: int, expected: set[str], allowed: set[str]) -> Iterator[str]:
    told: dict[str, list[Any]] = defaultdict(list)
    for result in home.results(robot_id):
        told[result["id"]].append(result["payload"])
    if missing := expected - told.keys():
        yield f"I3: robot {robot_id} was never told {sorted(missing)}"
    if ghosts := told.keys() - expected - allowed:
        yield f"I3: robot {robot_id} was told what is not committed: {sorted(ghosts)}"
    for result_id, payloads in told.items():
        if any(payload != payloads[0] for payload in payloads):
            yield f"I3: {result_id} was told with two meanings"


def _times(home: Home) -> Iterator[str]:
    """I13."""
    for check in home.tables.dicts("status_check"):
        if check["robot_id"] != SILENT:
            continue
        until_s = check["started_at_ms"] / 1000 + WINDOW_S
        ends = [result for result in home.results(SILENT) if result["payload"]["phase"] == "COMPLETED"]
        if len({result["id"] for result in ends}) != 1:
            yield f"I13: the end was told {len(ends)} times"
        yield from (f"I13: told {until_s - end['sent_s']:.3f} s early" for end in ends if end["sent_s"] < until_s)


def _ended(home: Home) -> Iterator[str]:
    """I14."""
    for check in home.tables.dicts("status_check"):
        if (check["phase"], check["result"]) != ("COMPLETED", VERDICTS[check["robot_id"]]):
            yield f"I14: check of robot {check['robot_id']} is {check['phase']} {check['result']}"
        told = [result for result in home.results(check["robot_id"]) if result["id"].startswith("sc-")]
        ends = {result["id"] for result in told if result["payload"]["phase"] == "COMPLETED"}
        if ends != {f"sc-{check['id']}-{check['notices']}"}:
            yield f"I14: check of robot {check['robot_id']} ended by {sorted(ends)}"
    if active := home.megazord.active_subscriptions():
        yield f"I14: subscriptions still open: {[subscription.id for subscription in active]}"
    for table in ("outbox", "timer"):
        if rows := home.tables.dicts(table):
            yield f"I14: left in {table}: {json.dumps(rows, default=str)[:400]}"


def repeats(home: Home) -> int:
    """How many results were sent more than once."""
    ids = [result["id"] for robot_id in (*VERDICTS, REFUSED) for result in home.results(robot_id)]
    return len(ids) - len(set(ids))
