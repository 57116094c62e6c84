"""What is read from the database for a scrape: each statement walks an index, over a bounded number of rows."""

from collections.abc import Iterator, Sequence
from typing import Any  # rows carry what the columns hold

from daemon import metric_names as names
from daemon.metric_names import Metric
from daemon.store.database import Database
from domain.ports import Clock

_LATE_MS = 5_000
_MOST = 10_000
_NEWEST_CAMPAIGNS = 1_000
_OUTBOX = (
    "SELECT COUNT(*), MIN(created_at_ms), "  # noqa: S608  a number of ours
    "SUM(CASE WHEN claimed_until_ms > 0 AND claimed_until_ms <= {now_ms} THEN 1 ELSE 0 END), {now_ms} "
    f"FROM (SELECT created_at_ms, claimed_until_ms FROM outbox ORDER BY due_at_ms, id LIMIT {_MOST}) AS waiting"
)
# Only what is due is ever claimed, so an expired lease is found among what is due.
_TIMERS = (
    "SELECT COUNT(*), MIN(due_at_ms), SUM(CASE WHEN due_at_ms <= ? THEN 1 ELSE 0 END), "  # noqa: S608  as above
    "SUM(CASE WHEN lease_until_ms > 0 THEN 1 ELSE 0 END) "
    "FROM (SELECT due_at_ms, lease_until_ms FROM timer WHERE due_at_ms <= ? AND lease_until_ms <= {now_ms} "
    f"ORDER BY due_at_ms, id LIMIT {_MOST}) AS due"
)
_CAMPAIGNS = "SELECT status, COUNT(*) FROM campaign GROUP BY status"
_PAUSED = "SELECT pause_reason, COUNT(*), MIN(paused_at_ms) FROM campaign WHERE status = 'Paused' GROUP BY pause_reason"
_UNKNOWN = (
    f"SELECT COUNT(*) FROM (SELECT id FROM campaign ORDER BY id DESC LIMIT {_NEWEST_CAMPAIGNS}) AS newest "  # noqa: S608  as above
    "JOIN campaign_recipient ON campaign_recipient.campaign_id = newest.id AND campaign_recipient.state = 'UNKNOWN'"
)
_STOPPED = f"SELECT breaker FROM number_pace WHERE INSTR(breaker, ?) > 0 LIMIT {_MOST}"  # noqa: S608  as above
_STOP = '"stopped": "'  # as the store writes it
_TESTS = "SELECT phase, COUNT(*) FROM server_test_run WHERE phase IN ('RUNNING', 'HELD', 'JUDGED') GROUP BY phase"
_CYCLE = (
    "SELECT began_at_ms, ended_at_ms FROM server_test_cycle WHERE ended_at_ms IS NOT NULL "
    "ORDER BY ended_at_ms DESC, id LIMIT 1"
)
Sample = tuple[Metric, Sequence[str], float]


class SqlGauges:
    """Asks for all of them, one after the other. Raises Unavailable."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def samples(self) -> Sequence[Sample]:
        """Every gauge of the database."""
        now_ms = self._clock.now_ms()
        return [
            *_of_outbox(await self._rows(_OUTBOX)),
            *_of_timers(await self._rows(_TIMERS, now_ms - _LATE_MS, now_ms), now_ms),
            *((names.CAMPAIGNS, (str(status),), float(count)) for status, count in await self._rows(_CAMPAIGNS)),
            *_of_paused(await self._rows(_PAUSED), now_ms),
            (names.UNKNOWN_SENDS, (), float((await self._rows(_UNKNOWN))[0][0])),
            *_of_numbers(await self._rows(_STOPPED, _STOP)),
            *((names.SERVER_TESTS_OPEN, (str(phase),), float(count)) for phase, count in await self._rows(_TESTS)),
            *_of_cycle(await self._rows(_CYCLE)),
        ]

    async def _rows(self, sql: str, *args: str | int) -> Sequence[tuple[Any, ...]]:
        return await self._database.fetch(sql, args)


def _of_outbox(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sample]:
    count, oldest_ms, expired, now_ms = rows[0]
    yield names.OUTBOX_PENDING, (), float(count)
    yield names.OUTBOX_OLDEST_S, (), 0.0 if oldest_ms is None else max(0.0, (int(now_ms) - int(oldest_ms)) / 1000)
    yield names.LEASES_EXPIRED, ("outbox",), float(expired or 0)


def _of_timers(rows: Sequence[tuple[Any, ...]], now_ms: int) -> Iterator[Sample]:
    count, oldest_ms, late, expired = rows[0]
    yield names.TIMERS_DUE, (), float(count)
    yield names.TIMERS_LATE, (), float(late or 0)
    yield names.TIMERS_OLDEST_S, (), 0.0 if oldest_ms is None else max(0.0, (now_ms - int(oldest_ms)) / 1000)
    yield names.LEASES_EXPIRED, ("timer",), float(expired or 0)


def _of_paused(rows: Sequence[tuple[Any, ...]], now_ms: int) -> Iterator[Sample]:
    for reason, count, first_ms in rows:
        yield names.CAMPAIGNS_PAUSED, (str(reason),), float(count)
        if first_ms is not None:
            yield names.PAUSED_OLDEST_S, (str(reason),), max(0.0, (now_ms - int(first_ms)) / 1000)


def _of_numbers(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sample]:
    reasons = [str(breaker).partition(_STOP)[2].partition('"')[0] for (breaker,) in rows]
    for reason in sorted(set(reasons)):
        yield names.NUMBERS_STOPPED, (reason,), float(reasons.count(reason))


def _of_cycle(rows: Sequence[tuple[Any, ...]]) -> Iterator[Sample]:
    for began_ms, ended_ms in rows:
        yield names.CYCLE_ENDED, (), int(ended_ms) / 1000
        yield names.CYCLE_S, (), (int(ended_ms) - int(began_ms)) / 1000
