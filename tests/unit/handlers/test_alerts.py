"""The use cases of alerts, with a Slack in memory: what is posted, what is left, and what comes back."""

from dataclasses import dataclass, field

import pytest

from domain.alerts import QUIET, Alert, EndOfQuiet, PostAlert, alert_timer, quiet_timer
from domain.errors import RuleViolation, Unavailable
from domain.outcome import Done, Retry
from handlers.alerts import WORTH_TELLING_MS, AlertHandlers
from tests.collected import Collected
from tests.world import MORNING_MS

ALERT = Alert("key", "Title", "Text", quiet_s=60)


@dataclass(slots=True)
class Channel:
    """What a Slack was told. `fails` is what it says instead."""

    is_busy: bool = False
    fails: Exception | None = None
    posted: list[Alert] = field(default_factory=list)

    async def post(self, alert: Alert) -> None:
        if self.fails is not None:
            raise self.fails
        self.posted.append(alert)


def raised(alert: Alert = ALERT, at_ms: int = MORNING_MS) -> PostAlert:
    data = alert_timer(alert, at_ms).data
    assert isinstance(data, PostAlert)
    return data


async def test_an_alert_is_posted_and_then_quiet() -> None:
    """It asks once more whether the timer is its own; the quiet time is committed with the post. None, no quiet."""
    channel, work = Channel(), Collected()
    assert await AlertHandlers(channel).post(raised(), work) == Done("posted")
    assert work.told == ["still ours", f"schedule {QUIET}"]
    assert work.timers == [quiet_timer(ALERT, MORNING_MS)]
    once = Alert("other", "Title", "Text")
    silent = Collected()
    await AlertHandlers(channel).post(raised(once), silent)
    assert (channel.posted, silent.timers) == ([ALERT, once], [])
    assert await AlertHandlers(channel).quiet(EndOfQuiet(), work) == Done("quiet ends")


async def test_without_a_slack_nothing_piles_up() -> None:
    """Handled for good, with a note that says why nobody was told, and no quiet time."""
    work = Collected()
    assert await AlertHandlers().post(raised(), work) == Done("no slack")
    assert work.timers == []


@pytest.mark.parametrize(("late_ms", "note"), [(0, "posted"), (1, "too old")])
async def test_what_is_an_hour_old_is_no_news(late_ms: int, note: str) -> None:
    """To the millisecond; it is dropped with a note, whatever the outage was."""
    channel, work = Channel(), Collected()
    alert = raised(at_ms=MORNING_MS - WORTH_TELLING_MS - late_ms)
    assert await AlertHandlers(channel).post(alert, work) == Done(note)
    assert len(channel.posted) == (1 if note == "posted" else 0)


async def test_one_at_a_time() -> None:
    """Another one waits without counting as a failed try."""
    outcome = await AlertHandlers(Channel(is_busy=True)).post(raised(), Collected())
    assert outcome == Retry(None, "another alert is being posted", counts=False)


@pytest.mark.parametrize("error", [Unavailable("slack", "away"), RuleViolation("no_service")])
async def test_a_slack_that_fails_leaves_no_quiet_time(error: Exception) -> None:
    """The error goes on to the dispatcher, and the same alert may be raised again."""
    work = Collected()
    with pytest.raises(type(error)):
        await AlertHandlers(Channel(fails=error)).post(raised(), work)
    assert work.timers == []
