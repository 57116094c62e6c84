"""What the proof of status checks believes: its own reading of the templates, and the invariants, over the raw tables.

The reading of the templates is written here once more, by hand and over the events as Megazord stored them; no code of
the product takes part in it.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pymysql

from daemon.delivery import COMMANDS, EVENTS
from daemon.store.mysql import MysqlAddress
from tests.proof.check_neighbours import Happened, Look
from tests.proof.check_processes import World

Row = dict[str, Any]
PENDING, PASS, FAIL, UNKNOWN = "PENDING", "PASS", "FAIL", "UNKNOWN"
FINAL = ("COMPLETED", "FAILED")


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a template says, in Python: of the past, and later of all that is known."""

    past_s: int
    future_s: int
    past: tuple[str, ...]
    future: tuple[str, ...]
    of_past: Callable[[Mapping[str, int]], str]
    of_all: Callable[[Mapping[str, int]], str]
    listens_on: bool = False
    silence: tuple[str, str] = ("FAILED", FAIL)


def _visit(newest: Mapping[str, int]) -> str:
    if "TOILET_ACTIVITY" in newest:
        return PASS
    return FAIL if "OUTSIDE_HOME" in newest else PENDING


def _bed(newest: Mapping[str, int]) -> str:
    if not newest:
        return PENDING
    return PASS if newest.get("OUT_OF_BED", 0) >= newest.get("IN_BED", 0) else FAIL


def _seen(name: str) -> Callable[[Mapping[str, int]], str]:
    return lambda newest: PASS if name in newest else PENDING


MEANINGS: Mapping[str, Meaning] = {
    "VISIT": Meaning(
        past_s=600,
        future_s=90,
        past=("TOILET_ACTIVITY",),
        future=("TOILET_ACTIVITY", "OUTSIDE_HOME"),
        of_past=_seen("TOILET_ACTIVITY"),
        of_all=_visit,
        silence=("COMPLETED", UNKNOWN),
    ),
    "BED": Meaning(
        past_s=-1,
        future_s=60,
        past=("IN_BED", "OUT_OF_BED"),
        future=("IN_BED", "OUT_OF_BED"),
        of_past=_bed,
        of_all=_bed,
        listens_on=True,
        silence=("COMPLETED", PASS),
    ),
    "HOME": Meaning(0, 30, (), ("INSIDE_HOME",), _seen(""), _seen("INSIDE_HOME")),
    "PAST": Meaning(600, 0, ("TOILET_ACTIVITY",), (), _seen("TOILET_ACTIVITY"), _seen(""), silence=("COMPLETED", FAIL)),
}
_BED_PASS = "exists('OUT_OF_BED') and age('OUT_OF_BED') <= age('IN_BED')"  # noqa: S105  an expression
_BED_FAIL = "exists('IN_BED') and age('IN_BED') < age('OUT_OF_BED')"
EXPRESSIONS: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "VISIT": {
        "pastEvents": {"PASS": "exists('TOILET_ACTIVITY')"},
        "futureEvents": {"PASS": "exists('TOILET_ACTIVITY')", "FAIL": "exists('OUTSIDE_HOME')"},
    },
    "BED": {
        "pastEvents": {"PASS": _BED_PASS, "FAIL": _BED_FAIL},
        "futureEvents": {"PASS": _BED_PASS, "FAIL": _BED_FAIL},
    },
    "HOME": {"futureEvents": {"PASS": "exists('INSIDE_HOME')"}},
    "PAST": {"pastEvents": {"PASS": "exists('TOILET_ACTIVITY')"}},
}


def contents() -> Iterator[dict[str, object]]:
    """The same templates as their authors would write them."""
    for name, meaning in MEANINGS.items():
        names = {"pastEvents": list(meaning.past), "futureEvents": list(meaning.future)}
        resources = {key: {"dependsOn": names[key], "expressions": texts} for key, texts in EXPRESSIONS[name].items()}
        poller = {} if meaning.silence[0] == "FAILED" else {"onTimeout": meaning.silence[1]}
        about = {"name": name, "version": 1, "description": "For the proof", "pollUntilEnd": meaning.listens_on}
        yield {**about, "poller": poller, "resources": resources}


class Tables:
    """The database, read with a plain driver."""

    def __init__(self, place: Path | MysqlAddress) -> None:
        self._connection: Any
        if isinstance(place, Path):
            self._connection = sqlite3.connect(place, timeout=10, isolation_level=None)
        else:
            self._connection = pymysql.connect(
                unix_socket=place.unix_socket,
                user=place.user,
                password=place.password,
                database=place.database,
                autocommit=True,
            )

    def rows(self, what: str) -> list[Row]:
        """All rows of a table, or of a table with an ORDER BY."""
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(f"SELECT * FROM {what}")  # noqa: S608  words of ours
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def empty(self) -> None:
        """Remove every row but what the schema needs."""
        with closing(self._connection.cursor()) as cursor:
            for table in EMPTIED:
                cursor.execute(f"DELETE FROM {table}")  # noqa: S608  words of ours

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


EMPTIED = (
    *("inbox", "outbox", "timer", "attempt", "journal", "id_block", "subscription"),
    *("status_check_decision", "status_check_record", "status_check"),
)


@dataclass(slots=True)
class Case:
    """One check as the judge has seen it so far."""

    robot_id: int
    began_by: Look
    ended_by: str = ""
    ended_at_ms: int = 0
    last_look: Look = field(default_factory=Look)
    final: tuple[Row, list[Row]] | None = None


class Judge:
    """Looks at everything after each step; every violation is an AssertionError with the facts."""

    def __init__(self, world: World, tables: Tables) -> None:
        self._world = world
        self._tables = tables
        self._cases: dict[int, Case] = {}

    def look(self, kind: str, look: Look) -> None:
        """After a step: `kind` is the type of what was delivered, `look` what its process saw of the history."""
        records: dict[int, list[Row]] = defaultdict(list)
        for record in self._tables.rows("status_check_record ORDER BY status_check_id, ordinal"):
            records[record["status_check_id"]].append(record)
        checks = self._tables.rows("status_check ORDER BY id")
        requests = [tuple(check[key] for key in REQUEST) for check in checks]
        assert len(requests) == len(set(requests)), f"equal creates gave several checks: {requests}"
        assert set(self._cases) <= {check["id"] for check in checks}, "a check is gone"
        for check in checks:
            self._judge(check, records[check["id"]], kind, look)

    def _judge(self, check: Row, records: list[Row], kind: str, look: Look) -> None:
        seen = Look(look.events, look.was_refused)
        case = self._cases.setdefault(check["id"], Case(check["robot_id"], seen))
        if case.final is not None:
            assert (check, records) == case.final, f"changed after it was over: {check}, was {case.final}"
            return
        if check["phase"] in FINAL:
            case.ended_by, case.last_look, case.final = kind, seen, (check, records)
            case.ended_at_ms = self._world.clock.at_ms
        assert [record["ordinal"] for record in records] == list(range(1, len(records) + 1)), records
        self._compare(check, records, case)

    def _compare(self, check: Row, records: list[Row], case: Case) -> None:
        meaning = MEANINGS[check["template_name"]]
        raw = self._raw(check, records)
        past, heard, missed = _parted(records, raw)
        until_ms = check["started_at_ms"] + meaning.future_s * 1000
        assert {event.id for event in past} == self._had_to_know(check, meaning, case.began_by.events), "the past"
        assert all(event.name in meaning.future and event.at_ms <= until_ms for event in heard), heard
        if case.ended_by == "status-check.end" and not case.last_look.was_refused:
            known = {event.id for event in (*past, *heard)}
            had_to = {
                event.id
                for event in self._world.megazord.happened[: case.last_look.events]
                if event.robot_id == check["robot_id"]
                and event.name in meaning.future
                and check["started_at_ms"] <= event.at_ms <= until_ms
            }
            assert {event.id for event in missed} == had_to - known, f"missed at the end: {had_to - known}, {missed}"
        else:
            assert missed == [], missed
        expected = _course(meaning, past, heard, missed, case)
        found = (check["phase"], check["result"])
        assert found == expected, f"{found} instead of {expected}: {check}, {records}, {case}"
        branch = {PASS: (1, 1), FAIL: (2, 1), UNKNOWN: (2, 0)}.get(found[1])
        next_step = (None, 0) if branch is None else (check["step_id"] + branch[0], branch[1])
        assert (check["next_step_id"], check["next_step_resolved"]) == next_step, check

    def _raw(self, check: Row, records: Sequence[Row]) -> list[Happened]:
        """The events of the records as Megazord has them: each once, this robot's, told right."""
        stored = {event.id: event for event in self._world.megazord.happened}
        ids = [record["incoming_event_id"] for record in records]
        assert len(ids) == len(set(ids)), f"an event counts twice: {ids}"
        for record in records:
            event = stored[record["incoming_event_id"]]
            told = (check["robot_id"], record["event_name"], record["created_at_ms"])
            assert told == (event.robot_id, event.name, event.at_ms), (record, event)
        return [stored[event_id] for event_id in ids]

    def _had_to_know(self, check: Row, meaning: Meaning, until_event: int) -> set[int]:
        if meaning.past_s == 0:
            return set()
        since_ms = None if meaning.past_s < 0 else check["started_at_ms"] - meaning.past_s * 1000
        names = {*meaning.past, *meaning.future}
        return {
            event.id
            for event in self._world.megazord.happened[:until_event]
            if event.robot_id == check["robot_id"]
            and event.name in names
            and (since_ms is None or event.at_ms >= since_ms)
        }

    def known(self) -> list[tuple[int, int]]:
        """The ids of all checks so far, each with its robot."""
        return sorted((check_id, case.robot_id) for check_id, case in self._cases.items())

    def running(self) -> list[Row]:
        """The checks that listen."""
        return self._tables.rows("status_check WHERE phase = 'FUTURE' ORDER BY id")

    def told(self) -> None:
        """At the end: every robot was told every change of its checks once per id, and nothing else about them."""
        for robot_id in self._world.robots:
            told: dict[str, Any] = {}
            for row in self._world.robots[robot_id]:
                body = json.loads(row.body)
                if body["type"] != "error":
                    assert told.setdefault(body["id"], body["payload"]) == body["payload"], f"two meanings: {body}"
            changes = {name for name in told if name.startswith("sc-")}
            for check in self._tables.rows(f"status_check WHERE robot_id = {robot_id}"):
                mine = [f"sc-{check['id']}-{number}" for number in range(1, check["notices"] + 1)]
                assert set(mine) <= told.keys(), f"never told: {set(mine) - told.keys()}, only {sorted(told)}: {check}"
                self._was_told(check, [told[name] for name in mine])
                changes -= set(mine)
            assert changes == set(), f"told of changes that never were: {changes}"

    def _was_told(self, check: Row, payloads: list[Any]) -> None:
        states = [(one["phase"], one["result"], one["nextStepId"], one["nextStepResolved"]) for one in payloads]
        assert all(one != other for one, other in pairwise(states)), f"told of no change: {states}"
        assert [state[0] in FINAL for state in states] == [False] * (len(states) - 1) + [True], states
        resolved = bool(check["next_step_resolved"])
        assert states[-1] == (check["phase"], check["result"], check["next_step_id"], resolved), (check, states)
        case = self._cases[check["id"]]
        assert case.final is not None
        known = [record["incoming_event_id"] for record in case.final[1]]
        assert [line["incomingEventId"] for line in payloads[-1]["history"]] == known, payloads[-1]

    def ended(self, requests: set[tuple[int, int, int]]) -> None:
        """At the end: every request has its check, every check is over, and nothing is left anywhere."""
        checks = self._tables.rows("status_check")
        assert all(check["phase"] in FINAL for check in checks), checks
        asked = {(check["robot_id"], check["step_id"], check["scheduled_id"]) for check in checks}
        assert requests <= asked, f"no check for {requests - asked}"
        for table in ("timer", "outbox", "subscription WHERE released_at_ms IS NULL"):
            assert self._tables.rows(table) == [], (table, self._tables.rows(table))
        self._counts_are_gone()
        assert self._world.post.buried == [], "a timer was given up"
        for letter in self._world.post.letters:
            assert {rejection.kind for rejection in letter.rejections} <= REFUSALS[letter.reads], letter

    def _counts_are_gone(self) -> None:
        """Of tries. One that is counted after another delivery has handled the message stays for the retention."""
        counted = {row["delivery_id"]: row["last_at_ms"] for row in self._tables.rows("attempt")}
        for row in self._tables.rows("journal WHERE outcome = 'done' AND attempt > 1"):
            assert counted.get(row["delivery_id"], row["at_ms"]) >= row["at_ms"], row


# Megazord may refuse a subscription or a history, and the answer may be no answer; nothing else is anybody's fault.
REFUSALS = {COMMANDS: {"no-such-check", "upstream-refused", "upstream-contract"}, EVENTS: set[str]()}
REQUEST = ("robot_id", "step_id", "scheduled_id", "planned_at_ms")


def _parted(records: Sequence[Row], raw: Sequence[Happened]) -> tuple[list[Happened], list[Happened], list[Happened]]:
    """What was known at the start, what was heard, and what the last look found: always in this order."""
    parts: tuple[list[Happened], list[Happened], list[Happened]] = ([], [], [])
    order = []
    for record, event in zip(records, raw, strict=True):
        part = 0 if record["phase"] == "PAST" else 1 if record["outgoing_event_id"] is not None else 2
        parts[part].append(event)
        order.append(part)
    assert order == sorted(order), f"heard after the end, or before the start: {records}"
    return parts


def _newest(events: Sequence[Happened]) -> Mapping[str, int]:
    newest: dict[str, int] = {}
    for event in events:
        newest[event.name] = max(event.at_ms, newest.get(event.name, 0))
    return newest


def _course(
    meaning: Meaning, past: Sequence[Happened], heard: Sequence[Happened], missed: Sequence[Happened], case: Case
) -> tuple[str, str]:
    """Phase and result after all this: the whole life of a check, told once more."""
    known = list(past)
    names = {name: at_ms for name, at_ms in _newest(known).items() if name in meaning.past}
    verdict = meaning.of_past(names) if meaning.past_s else PENDING
    if not meaning.future:
        return ("COMPLETED", verdict) if verdict != PENDING else meaning.silence
    for event in heard:
        assert verdict == PENDING or meaning.listens_on, f"heard although it was decided: {event}"
        known.append(event)
        verdict = meaning.of_all(_newest(known))
    if verdict != PENDING and not meaning.listens_on:
        return "COMPLETED", verdict
    if case.ended_by == "status-check.cancel":
        return "FAILED", verdict
    if case.ended_by == "status-check.end":
        return _close(meaning, verdict, meaning.of_all(_newest([*known, *missed])), case)
    return "FUTURE", verdict


def _close(meaning: Meaning, verdict: str, at_last: str, case: Case) -> tuple[str, str]:
    if case.last_look.was_refused:
        return ("FAILED", UNKNOWN) if verdict == PENDING else ("COMPLETED", verdict)
    verdict = verdict if at_last == PENDING else at_last
    return ("COMPLETED", verdict) if verdict != PENDING else meaning.silence
