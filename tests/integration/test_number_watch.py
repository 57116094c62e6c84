"""How far texts have come where nobody tells it, and what is done when they are dropped in silence; both engines."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest
import structlog

from localstack.waha import Trouble, TroubleKind
from tests.mariadb import MariaDb
from tests.whatsapp import HOUR_MS, MINUTE_MS, SESSION, Told, chat, told_world
from tests.world import MORNING_MS

Opens = Callable[..., AbstractAsyncContextManager[Told]]
DAY_MS = 24 * HOUR_MS
NO_GAP = {"gap_min_s": 0, "gap_max_s": 0}
A_FEW = {**NO_GAP, "silent_sample": 3}
TIMER = "SELECT COUNT(*) FROM timer WHERE type = 'number.acks'"


@pytest.fixture(params=["sqlite", "mariadb"])
async def opens(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opens]:
    """Opens the world once on each engine."""
    server: MariaDb | None = None if request.param == "sqlite" else request.getfixturevalue("mariadb")
    address = None if server is None else server.new_database()
    yield partial(told_world, tmp_path / "robotd.db" if address is None else address)
    if server is not None and address is not None:
        server.drop(address)


def acked(told: Told, *acks: int) -> None:
    """Let lookups tell these acknowledgements, in the order of the messages."""
    for message, ack in zip(told.waha.accepted, acks, strict=False):
        told.waha.set_ack(message.id, ack)


async def test_without_a_queue_waha_is_asked_until_every_phone_has_its_text(opens: Opens) -> None:
    """Acknowledgements rise, an error makes FAILED, doubt is resolved; then nobody is watched and nothing is left."""
    async with opens(has_queue=False, **NO_GAP) as told:
        await told.campaign(5)
        await told.write_sql("UPDATE campaign_recipient SET state = 'UNKNOWN' WHERE position = 4")
        acked(told, 1, 2, 3, -1, 1)
        await told.watch()
        assert await told.acks() == [1, 2, 3, -1, 1]
        assert await told.states() == ["SENT", "SENT", "SENT", "FAILED", "SENT"]
        assert await told.one(TIMER) == 1
        acked(told, 2, 2, 2, 2, 0)
        await told.home.pass_time(told.home.clock.now_ms() + 6 * MINUTE_MS)
        assert await told.acks() == [2, 2, 3, -1, 1]
        acked(told, 2, 2, 2, 2, 4)
        await told.home.pass_time(told.home.clock.now_ms() + 11 * MINUTE_MS)
        assert await told.acks() == [2, 2, 3, -1, 4]
        assert await told.home.leftovers() == {}


async def test_waha_is_asked_for_twenty_at_most_and_whoever_waited_longest_first(opens: Opens) -> None:
    """Of 25 texts the first look takes 20, the second the five others and fifteen again; none is forgotten."""
    async with opens(has_queue=False, **NO_GAP) as told:
        await told.campaign(25)
        await told.watch()
        unlooked = "SELECT COUNT(*) FROM campaign_message WHERE looked_at_ms IS NULL"
        assert (told.looks(), await told.one(unlooked)) == (20, 5)
        await told.home.pass_time(told.home.clock.now_ms() + 5 * MINUTE_MS + 1)
        assert told.looks() == 40
        assert await told.one(unlooked) == 0
        again = "looked_at_ms > (SELECT MIN(looked_at_ms) FROM campaign_message)"
        assert await told.one(f"SELECT COUNT(*) FROM campaign_message WHERE {again}") == 20  # noqa: S608  ours


async def test_a_waha_that_can_not_tell_is_not_asked_for_everything(opens: Opens) -> None:
    """A session that does not work is not asked at all, a gateway without a store three times; the watch goes on."""
    async with opens(has_queue=False, **NO_GAP) as told:
        await told.campaign(8)
        told.waha.set_status(SESSION, "STOPPED")
        await told.watch()
        assert told.looks() == 0
        told.waha.set_status(SESSION, "WORKING")
        told.waha.behaviour.has_store = False
        await told.home.pass_time(told.home.clock.now_ms() + 5 * MINUTE_MS + 1)
        assert told.looks() == 3
        assert await told.acks() == [None] * 8
        assert await told.one(TIMER) == 1


async def test_a_watch_ends_after_two_days(opens: Opens) -> None:
    """What no phone has by then is given up; while a campaign of the number runs it goes on."""
    async with opens(has_queue=False, ack_poll_s=7200, **NO_GAP) as told:
        await told.campaign(1)
        await told.watch()
        await told.home.pass_time(MORNING_MS + 2 * DAY_MS - HOUR_MS)
        assert await told.one(TIMER) == 1
        await told.write_sql("UPDATE campaign SET status = 'Running'")
        await told.home.pass_time(MORNING_MS + 3 * DAY_MS)
        assert await told.one(TIMER) == 1
        await told.write_sql("UPDATE campaign SET status = 'Completed'")
        await told.home.pass_time(MORNING_MS + 3 * DAY_MS + 3 * HOUR_MS)
        assert await told.one(TIMER) == 0


async def test_a_watch_that_is_switched_off_ends(opens: Opens) -> None:
    """Nobody is asked, and the timer is gone."""
    async with opens(has_queue=False, ack_poll_s=0, **NO_GAP) as told:
        await told.campaign(1)
        await told.watch()
        assert (told.looks(), await told.one(TIMER), await told.acks()) == (0, 0, [None])


async def test_with_a_queue_nobody_is_asked(opens: Opens) -> None:
    """The watch only judges what was told; what the state of a recipient missed is put right."""
    async with opens(**NO_GAP) as told:
        await told.campaign(3)
        await told.write_sql("UPDATE campaign_message SET ack = -1 WHERE position = 0")
        await told.write_sql("UPDATE campaign_message SET ack = 1 WHERE position = 1")
        await told.write_sql("UPDATE campaign_recipient SET state = 'UNKNOWN' WHERE position >= 1")
        await told.watch()
        assert told.looks() == 0
        assert await told.states() == ["FAILED", "SENT", "UNKNOWN"]
        assert await told.column("SELECT error_code FROM campaign_recipient WHERE position = 0") == ["ack-error"]


@pytest.mark.parametrize("has_queue", [True, False])
async def test_texts_that_reach_no_phone_are_warned_of_once_a_day(opens: Opens, has_queue: object) -> None:
    """Three of four are with the server alone after half an hour: a line and an alert, once more on the next day."""
    async with opens(has_queue=has_queue, ack_poll_s=1800, **A_FEW) as told:
        await told.campaign(4)
        for position, ack in enumerate((2, 1, 1, 1)):
            if has_queue:
                await told.ack(position, ack)
        acked(told, 2, 1, 1, 1)
        with structlog.testing.capture_logs() as logs:
            await told.watch()
            await told.home.pass_time(MORNING_MS + 29 * MINUTE_MS)
            assert _warned(logs) == []
            await told.home.pass_time(MORNING_MS + 3 * HOUR_MS)
            assert _warned(logs) == [(SESSION, "1 of 4 texts older than 30 min have reached a phone")]
            await told.home.pass_time(MORNING_MS + 23 * HOUR_MS)
        assert len(_warned(logs)) == 2
        assert await told.one("SELECT COUNT(*) FROM journal WHERE type = 'alert.post'") == 2
        assert await told.statuses() == [("Completed", None)]


def _warned(logs: list[structlog.typing.EventDict]) -> list[tuple[object, object]]:
    return [(line["session"], line["detail"]) for line in logs if line["event"] == "campaign.silent"]


async def test_texts_that_reach_no_phone_pause_the_number_where_that_is_wanted(opens: Opens) -> None:
    """Every running campaign of the number; resumed by its user it goes on, and only later texts are judged."""
    async with opens(has_queue=False, silent_drops="pause", hourly_cap=4, silent_sample=3, **NO_GAP) as told:
        campaign_id = await told.campaign(20, sent=4)  # four at 8:40, 9:00 and so on
        await told.watch()
        await told.home.pass_time(MORNING_MS + 36 * MINUTE_MS)
        assert await told.statuses() == [("Paused", "SILENT_DROPS")]
        assert (await told.states()).count("SENT") == 8
        await told.ask("campaign.resume", {"userId": "user-1", "campaignId": campaign_id})
        await told.home.pass_time(MORNING_MS + 100 * MINUTE_MS)
        await told.know_messages()
        assert await told.statuses() == [("Running", None)]
        await told.home.pass_time(MORNING_MS + 120 * MINUTE_MS)
        assert await told.statuses() == [("Paused", "SILENT_DROPS")]
        assert [message.chat_id for message in told.waha.accepted] == [chat(number) for number in range(12)]


async def test_what_nobody_has_looked_at_is_not_silent(opens: Opens) -> None:
    """Sixty texts of which WAHA is asked for slowly are no drops: what was not asked for counts for nothing."""
    async with opens(has_queue=False, **{**NO_GAP, "silent_sample": 20}) as told:
        await told.campaign(60)
        acked(told, *[3] * 60)
        with structlog.testing.capture_logs() as logs:
            await told.watch(in_ms=40 * MINUTE_MS)
            await told.home.pass_time(told.home.clock.now_ms() + HOUR_MS)
        assert _warned(logs) == []
        assert await told.acks() == [3] * 60


async def test_a_failed_send_is_no_silent_one(opens: Opens) -> None:
    """Four whose send was refused have reached no phone either, and say nothing of the three that have."""
    async with opens(failures_in_row=100, failures_share=1, **A_FEW) as told:
        told.waha.script.add(Trouble(TroubleKind.ENGINE_ERROR, skip=3))
        await told.campaign(7, sent=3)
        await told.home.pass_time(MORNING_MS + MINUTE_MS)
        assert await told.states() == ["SENT"] * 3 + ["FAILED"] * 4
        for position in range(7):
            if position < 3:
                await told.ack(position, 2)
            else:
                key = (SESSION, f"3EB0{position}", 1, position, 1, MORNING_MS)
                await told.write_sql(
                    "INSERT INTO campaign_message (session, message_id, campaign_id, position, attempt, at_ms) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    *key,
                )
        with structlog.testing.capture_logs() as logs:
            await told.watch(in_ms=HOUR_MS)
        assert _warned(logs) == []
        assert (await told.outcomes())[-1] == ("done", "acknowledgement 2")
        assert await told.one(TIMER) == 1
