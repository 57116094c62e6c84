"""What is read from the database for a scrape, on both engines, from rows as the stores write them."""

from collections.abc import Mapping

from daemon import metric_names as names
from daemon.metric_names import Metric
from daemon.store.database import Database, Write
from daemon.store.gauges import SqlGauges
from localstack.clock import ManualClock
from tests.conftest import AnyDatabase
from tests.world import MORNING_MS

SECOND_MS, FAR_MS = 1_000, 9_000_000_000_000
OUTBOX = "INSERT INTO outbox VALUES (?, 'q', '{}', '{}', {now_ms} - ?, 0, 'boot', ?, 0)"
TIMER = "INSERT INTO timer VALUES (?, 't', '{}', NULL, ?, 'boot', ?, 1, 1)"
CAMPAIGN = (
    "INSERT INTO campaign (id, owner, name, session, contact_list_id, text_content, default_name_value, "
    "scheduled_at_ms, status, pause_reason, paused_at_ms, total_contacts, created_at_ms, notices, version) "
    "VALUES (?, 'u', 'n', 's', 1, 't', 'd', 0, ?, ?, ?, 1, 0, 0, 1)"
)
RECIPIENT = (
    "INSERT INTO campaign_recipient (campaign_id, position, contact_id, chat_id, state, attempt) "
    "VALUES (?, ?, ?, ?, ?, 1)"
)
PACE = "INSERT INTO number_pace VALUES (?, '{}', ?, 1)"
CYCLE = "INSERT INTO server_test_cycle VALUES (?, ?, ?, '{}', 1)"


async def read(database: Database) -> Mapping[tuple[Metric, tuple[str, ...]], float]:
    samples = await SqlGauges(database, ManualClock(MORNING_MS)).samples()
    return {(metric, tuple(labels)): value for metric, labels, value in samples}


async def test_an_empty_database_has_nothing_waiting(database: AnyDatabase) -> None:
    """Zero where a zero says something; nothing at all of campaigns, numbers and cycles that there are none of."""
    assert await read(database) == {
        (names.OUTBOX_PENDING, ()): 0,
        (names.OUTBOX_OLDEST_S, ()): 0,
        (names.LEASES_EXPIRED, ("outbox",)): 0,
        (names.TIMERS_DUE, ()): 0,
        (names.TIMERS_LATE, ()): 0,
        (names.TIMERS_OLDEST_S, ()): 0,
        (names.LEASES_EXPIRED, ("timer",)): 0,
        (names.UNKNOWN_SENDS, ()): 0,
    }


async def test_outbox_and_timers_are_told_with_their_age(database: AnyDatabase) -> None:
    """The oldest counts; what is not due, or held by somebody, is not waiting; a lease that ran out is told."""
    await database.apply(
        [
            Write(OUTBOX, ("o-1", 90 * SECOND_MS, FAR_MS)),
            Write(OUTBOX, ("o-2", 5 * SECOND_MS, 1)),
            Write(TIMER, ("t:held", MORNING_MS - 600 * SECOND_MS, FAR_MS)),
            Write(TIMER, ("t:late", MORNING_MS - 60 * SECOND_MS, 0)),
            Write(TIMER, ("t:lost", MORNING_MS - SECOND_MS, 1)),
            Write(TIMER, ("t:later", MORNING_MS + SECOND_MS, 0)),
        ]
    )
    found = await read(database)
    assert found[names.OUTBOX_PENDING, ()] == 2
    assert 90 <= found[names.OUTBOX_OLDEST_S, ()] < 120
    assert (found[names.TIMERS_DUE, ()], found[names.TIMERS_LATE, ()], found[names.TIMERS_OLDEST_S, ()]) == (2, 1, 60)
    assert found[names.LEASES_EXPIRED, ("timer",)] == found[names.LEASES_EXPIRED, ("outbox",)] == 1


async def test_campaigns_numbers_and_cycles_are_counted(database: AnyDatabase) -> None:
    """By status and reason; recipients that nobody knows of; numbers by why they are stopped; the last cycle."""
    free, stopped = '{"recent": "", "stopped": null}', '{"recent": "", "stopped": "RATE_LIMITED", "ramp_left": 0}'
    await database.apply(
        [
            Write(CAMPAIGN, (1, "Running", None, None)),
            Write(CAMPAIGN, (2, "Paused", "CAPPED", MORNING_MS - 900 * SECOND_MS)),
            Write(CAMPAIGN, (3, "Paused", "CAPPED", MORNING_MS - SECOND_MS)),
            Write(CAMPAIGN, (4, "Paused", "OPERATOR", MORNING_MS)),
            *(Write(RECIPIENT, (1, n, n, f"c{n}", state)) for n, state in enumerate(("UNKNOWN", "SENT", "UNKNOWN"))),
            *(Write(PACE, (f"s{n}", breaker)) for n, breaker in enumerate((free, stopped, stopped))),
            Write(CYCLE, ("c-1", MORNING_MS, MORNING_MS + 10 * SECOND_MS)),
            Write(CYCLE, ("c-2", MORNING_MS, MORNING_MS + 30 * SECOND_MS)),
            Write(CYCLE, ("c-3", MORNING_MS, None)),
        ]
    )
    found = await read(database)
    assert {labels: value for (metric, labels), value in found.items() if metric is names.CAMPAIGNS} == {
        ("Running",): 1,
        ("Paused",): 3,
    }
    assert (found[names.CAMPAIGNS_PAUSED, ("CAPPED",)], found[names.PAUSED_OLDEST_S, ("CAPPED",)]) == (2, 900)
    assert found[names.CAMPAIGNS_PAUSED, ("OPERATOR",)] == 1
    assert found[names.UNKNOWN_SENDS, ()] == 2
    assert found[names.NUMBERS_STOPPED, ("RATE_LIMITED",)] == 2
    assert (found[names.CYCLE_ENDED, ()], found[names.CYCLE_S, ()]) == (MORNING_MS / 1000 + 30, 30)
