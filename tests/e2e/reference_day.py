"""One morning of one robot, told the same way in several tests: at 08:40:00Z it asks for a visit to the toilet.

The check looks back two hours and forward half an hour. What is looked at afterwards are the queues, the neighbours'
records and the tables, never the daemon's own word.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

from daemon.store.mysql import MysqlAddress
from domain.wire import iso
from localstack.megazord_records import Subscription
from tests.world import MORNING_MS, World, create_command, world

ROBOT, STEP, PASS_STEP, FAIL_STEP = 61001, 88120, 88121, 88122
SCHEDULED = 77001
PAST_S, FUTURE_S = 7200, 1800
A_MINUTE_MS = 60_000
_DAY = datetime.fromtimestamp(MORNING_MS / 1000, UTC).date()


def at(clock: str) -> int:
    """The milliseconds of a time of this day, such as 09:05:41 or 09:09:59.999."""
    moment = datetime.combine(_DAY, time.fromisoformat(clock), UTC)
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000


START_MS, UNTIL_MS = at("08:40:00"), at("09:10:00")


@dataclass(frozen=True, slots=True)
class Told:
    """One word to the robot."""

    at: str
    phase: str
    result: str
    next_step_id: int | None
    is_resolved: bool


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the history as the table has it. `outgoing_id` None: it was read from Megazord, not sent by it."""

    order: int
    event_name: str
    incoming_id: int
    outgoing_id: int | None
    phase: str
    result: str


@asynccontextmanager
async def morning(
    place: Path | MysqlAddress,
    template: str = "TOILET_VISIT",
    past_s: int = PAST_S,
    future_s: int = FUTURE_S,
    **more: Any,
) -> AsyncIterator[World]:
    """A world whose robot has one script step with a status check; nothing is asked yet."""
    async with world(place) as home:
        home.managers.add_step(ROBOT, STEP, template, past_s, future_s, **more)
        yield home


async def ask(home: World) -> None:
    """The robot asks, and hears the first word."""
    home.sqs.send(home.settings.queues.commands, create_command(ROBOT, STEP, SCHEDULED, START_MS, callref="0d6a5b6e"))
    await home.quiet()


async def happens(home: World, event_name: str, clock: str, known_at: str | None = None) -> int:
    """An event that Megazord stamps with `clock`; it goes out at `known_at`, or at that very moment. Returns its id."""
    await home.pass_time(at(known_at or clock))
    event_id = await home.megazord.post_event(ROBOT, event_name, created_at_ms=at(clock))
    await home.quiet()
    return event_id


def told(home: World) -> list[Told]:
    """All that the robot heard, in order."""
    return [
        Told(
            result["time"],
            result["payload"]["phase"],
            result["payload"]["result"],
            result["payload"]["nextStepId"],
            result["payload"]["nextStepResolved"],
        )
        for result in home.results(ROBOT)
    ]


PENDING = Told(iso(START_MS), "FUTURE", "PENDING", None, False)


def ended(clock: str, result: str, next_step_id: int | None, *, is_resolved: bool = True) -> Told:
    """The last word."""
    return Told(iso(at(clock)), "COMPLETED", result, next_step_id, is_resolved)


async def check_row(home: World) -> dict[str, Any]:
    """The only check."""
    columns = "id, phase, result, next_step_id, looks_back, since_ms, until_ms, subscription_id, version"
    (row,) = await home.database.fetch(f"SELECT {columns} FROM status_check")  # noqa: S608  column names of ours
    return dict(zip(columns.split(", "), row, strict=True))


async def lines(home: World) -> list[Line]:
    """The whole history."""
    rows = await home.database.fetch(
        "SELECT ordinal, event_name, incoming_event_id, outgoing_event_id, phase, result FROM status_check_record "
        "ORDER BY ordinal"
    )
    read: Sequence[Any] = rows
    return [Line(*row) for row in read]


def asked_history(home: World) -> list[str]:
    """The start of each query for events, in Unix seconds; empty for one without a start."""
    asked = [request.path for request in home.megazord.requests if request.method == "GET"]
    return [path.partition("created_since=")[2] for path in asked]


def deletes(home: World) -> list[tuple[str, int | None]]:
    """Each DELETE at Megazord with its answer."""
    return [(request.path, request.status) for request in home.megazord.requests if request.method == "DELETE"]


def outlived(subscriptions: Sequence[Subscription], end_ms: int) -> list[int]:
    """The subscriptions that were open for more than a minute after `end_ms`."""
    latest_ms = end_ms + A_MINUTE_MS
    return [each.id for each in subscriptions if each.deleted_at_ms is None or each.deleted_at_ms > latest_ms]


async def nothing_stays(home: World, end_ms: int) -> None:
    """A minute after the end no subscription is open; then no message, row or timer is left over."""
    await home.pass_time(max(home.clock.now_ms(), end_ms) + A_MINUTE_MS)
    await home.quiet()
    assert outlived(home.megazord.subscriptions, end_ms) == []
    await home.pass_time(home.clock.now_ms() + 2 * A_MINUTE_MS)
    await home.quiet()
    assert await home.leftovers() == {}
