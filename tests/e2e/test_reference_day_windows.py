"""How far a check looks back and ahead, by what the script's step says and what the template says."""

from pathlib import Path

import pytest

from daemon.store.mysql import MysqlAddress
from tests.e2e.reference_day import (
    FAIL_STEP,
    PASS_STEP,
    PENDING,
    ROBOT,
    START_MS,
    UNTIL_MS,
    ask,
    asked_history,
    at,
    check_row,
    ended,
    morning,
    nothing_stays,
    told,
)

Place = Path | MysqlAddress
FUTURE, COMPLETED = "FUTURE", "COMPLETED"


@pytest.mark.parametrize(
    ("template", "past_s", "seen_at", "since", "phase"),
    [
        ("TOILET_VISIT", 7200, "06:40:00", "06:40:00", COMPLETED),
        ("TOILET_VISIT", 7200, "06:39:59", "06:40:00", FUTURE),
        ("TOILET_VISIT", 600, "08:30:00", "08:30:00", COMPLETED),
        ("TOILET_VISIT", 600, "08:29:59", "08:30:00", FUTURE),
        ("TOILET_VISIT", 0, "06:40:00", "06:40:00", COMPLETED),  # 0: the template's own two hours
        ("TOILET_VISIT", -1, "00:00:01", None, COMPLETED),
        ("TOILET_AFTER_RISING", 0, "08:39:59", None, FUTURE),  # 0, and the template has none either
    ],
)
async def test_the_past_is_as_long_as_the_step_or_else_the_template_says(
    place: Place, template: str, past_s: int, seen_at: str, since: str | None, phase: str
) -> None:
    """A number of seconds, its first second included; 0 means the template's own, -1 all that there ever was."""
    async with morning(place, template, past_s) as home:
        await home.megazord.post_event(ROBOT, "TOILET_ACTIVITY", created_at_ms=at(seen_at))
        async with home.running():
            await ask(home)
            row = await check_row(home)
            assert row["since_ms"] == (at(since) if since else None)
            assert row["phase"] == phase
            if template == "TOILET_AFTER_RISING":
                assert asked_history(home) == []
            else:
                assert set(asked_history(home)) == {str(at(since) // 1000) if since else ""}
            await nothing_stays(home, START_MS if phase == COMPLETED else UNTIL_MS)
        assert told(home)[-1].result == ("PASS" if phase == COMPLETED else "FAIL")


async def test_without_a_future_the_past_alone_decides_and_nothing_is_subscribed(place: Place) -> None:
    """Neither the step nor the template wants to wait: one word, at once, from a history without a beginning."""
    async with morning(place, "CLIENT_AT_HOME", past_s=0, future_s=0) as home:
        await home.megazord.post_event(ROBOT, "OUTSIDE_HOME", created_at_ms=START_MS - 400 * 86_400_000)
        await home.megazord.post_event(ROBOT, "INSIDE_HOME", created_at_ms=START_MS - 399 * 86_400_000)
        async with home.running():
            await ask(home)
            row = await check_row(home)
            assert (row["since_ms"], row["until_ms"], row["subscription_id"]) == (None, None, None)
            await nothing_stays(home, START_MS)
        assert told(home) == [ended("08:40:00", "PASS", PASS_STEP)]
        assert home.megazord.subscriptions == []


async def test_without_a_future_silence_is_answered_at_once(place: Place) -> None:
    """No sensor ever said anything, and nobody waits for one: the template's answer to silence, without a branch."""
    async with morning(place, "CLIENT_AT_HOME", past_s=0, future_s=0) as home:
        async with home.running():
            await ask(home)
            await nothing_stays(home, START_MS)
        assert told(home) == [ended("08:40:00", "UNKNOWN", FAIL_STEP, is_resolved=False)]


async def test_a_future_of_zero_is_the_templates_own(place: Place) -> None:
    """The step says nothing about how long to wait, the template says half an hour."""
    async with morning(place, future_s=0) as home:
        async with home.running():
            await ask(home)
            assert (await check_row(home))["until_ms"] == UNTIL_MS
            (subscription,) = home.megazord.subscriptions
            assert subscription.asked_until == "2025-11-25T09:10:00.000Z"
            await nothing_stays(home, UNTIL_MS)
        assert told(home) == [PENDING, ended("09:10:00", "FAIL", FAIL_STEP)]
