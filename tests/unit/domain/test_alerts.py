"""Alerts as values: which are the same, what their timers say, when one is not raised, and what campaigns tell."""

from typing import Any

import pytest

from domain.alerts import POST, QUIET, Alert, PostAlert, Severity, alert_timer, quiet_timer, raise_alert
from domain.campaign import Campaign
from domain.campaign_alerts import NUMBER_QUIET_S, failed_alert, paused_alert
from domain.number_breaker import Stop
from domain.sending import PauseReason
from domain.wire import milliseconds, read_json, write_json
from tests.collected import Collected
from tests.world import MORNING_MS

ALERT = Alert("key", "Title", "Text", Severity.INFO, (("campaign", 7), ("name", "Spring")), quiet_s=60)


def campaign(**fields: Any) -> Campaign:
    known: dict[str, Any] = {"id": 7, "owner": "user-1", "name": "Spring", "session": "main", "contact_list_id": 1}
    times = {"scheduled_at_ms": 0, "created_at_ms": 0}
    return Campaign(**{**known, "text": "t", "default_name": "d", **times, **fields})


def test_a_timer_of_the_same_key_is_the_same_timer_and_says_all_after_a_stay_in_the_database() -> None:
    """Whatever else differs; its key is short however long the alert's is, and its JSON gives the alert back."""
    timer = alert_timer(ALERT, MORNING_MS + 1, "ref")
    assert timer.key == alert_timer(Alert("key", "Other", "x"), 5).key
    assert len({timer.key, alert_timer(Alert("k\ud800" * 999, "Title", "Text"), 5).key}) == 2
    assert {len(timer.key), len(Alert("k" * 999, "", "").timer_key)} == {32}
    assert (timer.type, timer.due_at_ms, timer.call_ref) == (POST, MORNING_MS + 1, "ref")
    again = PostAlert.model_validate(read_json(write_json(timer.data.model_dump(mode="json", by_alias=True))))
    assert (again.alert, milliseconds(again.raised_at)) == (ALERT, MORNING_MS + 1)


def test_quiet_ends_so_long_after_the_post() -> None:
    """Under the same key, as a type of its own."""
    timer = quiet_timer(ALERT, MORNING_MS)
    assert (timer.type, timer.key, timer.due_at_ms) == (QUIET, ALERT.timer_key, MORNING_MS + 60_000)


@pytest.mark.parametrize("known", [POST, QUIET])
async def test_one_that_waits_or_is_quiet_is_not_raised_again(known: str) -> None:
    """Unless it has no quiet time: then its key names an occurrence, and the later word of it counts."""
    work = Collected(call_ref="ref", standing={(known, ALERT.timer_key)})
    await raise_alert(ALERT, work)
    assert work.timers == []
    once = Alert("key", "Title", "Text")
    await raise_alert(once, work)
    assert work.timers == [alert_timer(once, MORNING_MS, "ref")]


def test_a_number_in_trouble_is_one_alert_for_all_its_campaigns() -> None:
    """By session and reason; whether somebody has to act is said by its severity and its last line."""
    stop = Stop(PauseReason.SESSION_NOT_WORKING, "the session is STOPPED")
    one, other = paused_alert(campaign(), stop), paused_alert(campaign(id=8), stop)
    assert one is not None
    assert other is not None
    assert (one.key, one.quiet_s, one.severity) == (other.key, NUMBER_QUIET_S, Severity.WARNING)
    assert one.text == "the session is STOPPED\nThey go on by themselves."
    assert one.fields == (("campaign", 7), ("name", "Spring"), ("user", "user-1"))
    lasting = paused_alert(campaign(), Stop(PauseReason.CAPPED, "the number is capped"))
    assert lasting is not None
    assert (lasting.severity, lasting.text) == (
        Severity.ERROR,
        "the number is capped\nThey wait for campaign.resume.",
    )
    assert len({one.key, lasting.key, getattr(paused_alert(campaign(session="b"), stop), "key", "")}) == 3


def test_a_file_in_trouble_is_the_campaigns_own_and_a_users_pause_is_no_news() -> None:
    """Two campaigns with bad files are two alerts; who paused one knows it."""
    stop = Stop(PauseReason.MEDIA, "no such file")
    keys = {getattr(paused_alert(campaign(id=number), stop), "key", None) for number in (7, 8)}
    assert len(keys) == 2
    assert None not in keys
    assert paused_alert(campaign(), Stop(PauseReason.OPERATOR, "paused by its user")) is None


def test_each_failure_of_a_campaign_is_an_alert_of_its_own() -> None:
    """A retry may fail again, and that is news; a repeat of one commit is the same."""
    keys = [failed_alert(campaign(notices=count), "its start came too late").key for count in (3, 3, 4)]
    assert keys[0] == keys[1] != keys[2]
    alert = failed_alert(campaign(), None)
    assert (alert.severity, alert.quiet_s, alert.text) == (Severity.ERROR, 0, "")
