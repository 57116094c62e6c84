"""What users are told of a campaign: every number of it, what it waits for, and what to do."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.campaign_report import ADVICE, listed_report, masked, status_report
from daemon.campaign_view import Listed, Look, Reason
from domain.campaign import Campaign, CampaignStatus, Recipient, RecipientState
from domain.campaign_ports import PaceRow
from domain.number import Number, NumberRules
from domain.pace import PaceRules
from domain.sending import PauseReason
from domain.sending_window import SendingWindow

NOW_MS = 1_764_060_000_000  # 2025-11-25T08:40:00Z
HOUR_MS = 3_600_000
RULES = NumberRules(PaceRules(gap_min_ms=10_000, gap_max_ms=10_000))
S = RecipientState
RUNNING = Campaign(
    id=7,
    owner="user-1",
    name="Spring letter",
    session="default",
    contact_list_id=3,
    text="Dear {Name}",
    default_name="friend",
    scheduled_at_ms=NOW_MS - HOUR_MS,
    created_at_ms=NOW_MS - HOUR_MS,
    status=CampaignStatus.RUNNING,
    total_contacts=10,
    started_at_ms=NOW_MS - HOUR_MS,
)
COUNTS = {S.SENT: 3, S.FAILED: 1, S.SKIPPED: 1, S.UNKNOWN: 1, S.SENDING: 1, S.PENDING: 3}


def pace_after_a_send(ago_ms: int) -> PaceRow:
    number = Number(RULES).sending(NOW_MS - ago_ms, 0.5)
    return PaceRow(number.pace_row, number.breaker_row, 1)


def test_every_number_of_a_running_campaign_is_told() -> None:
    """Handled are all that are over; the rate is that of what was sent; the time left is what the pace says."""
    look = Look(
        campaign=RUNNING,
        counts=COUNTS,
        pace=pace_after_a_send(4_000),
        due_ms={"campaign.step": NOW_MS + 6_000},
        sent_in_hour=2,
        reasons=[Reason(S.FAILED, "http-400", 1, "WAHA refused it")],
        unknown=[Recipient(7, 4, 1, "999000000001@c.us", error_code="crashed", sending_at_ms=NOW_MS)],
    )
    report = status_report(look, RULES, NOW_MS)
    assert (report["campaignId"], report["status"], report["userId"]) == (7, "Running", "user-1")
    assert (report["handled"], report["totalContacts"]) == (6, 10)
    assert report["counts"] == {"sent": 3, "failed": 1, "skipped": 1, "unknown": 1, "inDoubt": 1, "pending": 3}
    assert sum(report["counts"].values()) == 10
    assert report["rate"] == {"lastHour": 2, "perHour": 3.0}
    assert (report["nextSendAt"], report["waitsFor"]) == ("2025-11-25T08:40:06.000Z", "GAP")
    assert (report["secondsLeft"], report["estimatedEnd"]) == (36, "2025-11-25T08:40:36.000Z")
    assert report["reasons"] == [{"state": "FAILED", "code": "http-400", "count": 1, "example": "WAHA refused it"}]
    assert [(one["position"], one["phone"], one["code"]) for one in report["unknown"]] == [(4, "99900…0001", "crashed")]
    assert ["robotd campaign retry 7 --scope unknown" in note for note in report["notes"]] == [True]


def test_a_scheduled_campaign_is_told_by_its_list() -> None:
    """Its contacts are those on the list now, and its end counts from its time; nothing is told of a next send."""
    campaign = replace(RUNNING, status=CampaignStatus.SCHEDULED, started_at_ms=None, scheduled_at_ms=NOW_MS + HOUR_MS)
    report = status_report(Look(campaign=campaign, counts={}, contacts=4), RULES, NOW_MS)
    assert (report["totalContacts"], report["handled"], report["startedAt"]) == (4, 0, None)
    assert (report["rate"], report["waitsFor"]) == ({"lastHour": 0, "perHour": None}, None)
    assert report["secondsLeft"] == 3_600 + 30


@pytest.mark.parametrize("status", [CampaignStatus.COMPLETED, CampaignStatus.FAILED, CampaignStatus.CANCELLED])
def test_what_is_over_has_no_time_left(status: CampaignStatus) -> None:
    """Its rate is that of the time in which it ran, however long ago that was."""
    campaign = replace(RUNNING, status=status, completed_at_ms=NOW_MS - HOUR_MS // 2)
    report = status_report(Look(campaign=campaign, counts={S.SENT: 9, S.PENDING: 1}), RULES, NOW_MS)
    assert (report["estimatedEnd"], report["secondsLeft"], report["waitsFor"]) == (None, None, None)
    assert report["rate"]["perHour"] == 18.0


@pytest.mark.parametrize("reason", list(PauseReason))
def test_each_pause_comes_with_what_to_do(reason: PauseReason) -> None:
    """A command names the campaign; what heals by itself is said to do so, and nothing else is."""
    campaign = replace(RUNNING, status=CampaignStatus.PAUSED, pause_reason=reason, pause_detail="so it is")
    report = status_report(Look(campaign=campaign, counts=COUNTS), RULES, NOW_MS)
    assert (report["pauseReason"], report["detail"]) == (reason.value, "so it is")
    assert ("by itself" in report["advice"]) == reason.heals_by_itself
    assert ("robotd campaign resume 7" in report["advice"]) != reason.heals_by_itself
    assert "{" not in report["advice"]
    assert report["secondsLeft"] == 30
    assert ADVICE.keys() == set(PauseReason)


def test_trouble_that_the_rows_show_is_a_note() -> None:
    """A step that nobody takes, and others who send from the same number."""
    quiet = Look(campaign=RUNNING, counts={S.PENDING: 1}, due_ms={"campaign.step": NOW_MS - 60_000})
    late = replace(quiet, due_ms={"campaign.step": NOW_MS - 60_001}, rivals=1)
    crowd = replace(quiet, rivals=2)
    assert status_report(quiet, RULES, NOW_MS)["notes"] == []
    overdue, other = status_report(late, RULES, NOW_MS)["notes"]
    assert "overdue" in overdue
    assert other.startswith("another campaign sends")
    assert status_report(crowd, RULES, NOW_MS)["notes"][0].startswith("2 other campaigns send")
    paused = replace(late, campaign=replace(RUNNING, status=CampaignStatus.PAUSED))
    assert status_report(paused, RULES, NOW_MS)["notes"] == []


def test_a_window_of_its_own_is_waited_for() -> None:
    """The time left reaches into it."""
    campaign = replace(RUNNING, window=SendingWindow(start_minute=10 * 60), session="")
    report = status_report(Look(campaign=campaign, counts={S.PENDING: 2}), RULES, NOW_MS)
    assert (report["waitsFor"], report["estimatedEnd"]) == ("WINDOW", "2025-11-25T10:00:10.000Z")
    assert report["session"] is None


def test_what_may_go_out_now_waits_for_nothing() -> None:
    """And a campaign without anybody to come waits for nobody, unless somebody is in doubt."""
    doubt = Look(campaign=RUNNING, counts={S.SENDING: 1}, pace=pace_after_a_send(1))
    assert status_report(doubt, RULES, NOW_MS)["waitsFor"] == "DOUBT"
    free = Look(campaign=RUNNING, counts={S.PENDING: 1}, pace=pace_after_a_send(20_000))
    done = Look(campaign=RUNNING, counts={S.SENT: 1}, pace=pace_after_a_send(1))
    assert [status_report(look, RULES, NOW_MS)["waitsFor"] for look in (free, done)] == [None, None]


@pytest.mark.parametrize(
    ("chat_id", "shown"),
    [
        ("999000000001@c.us", "99900…0001"),
        ("9990001@c.us", "99…01"),
        ("999000000000001@c.us", "99900…0001"),
        ("99900000000@lid", "9990…0000@lid"),
        ("99900000000-1600000000@g.us", "99900…0000@g.us"),
        ("", "…"),
    ],
)
def test_a_number_is_shown_with_its_middle_hidden(chat_id: str, shown: str) -> None:
    """Enough to find it for who knows it; a person's number stands without the suffix."""
    assert masked(chat_id) == shown


@given(st.text("0123456789", max_size=30))
def test_three_digits_at_least_are_hidden(digits: str) -> None:
    """Of a number of any length, and a quarter of the longer ones; what is shown is its own beginning and end."""
    head, _, tail = masked(f"{digits}@c.us").partition("…")
    hidden = len(digits) - len(head) - len(tail)
    assert hidden >= min(len(digits), max(3, len(digits) // 4))
    assert digits.startswith(head)
    assert digits.endswith(tail)


def test_a_line_of_a_list_says_how_far_a_campaign_is() -> None:
    """Every state is counted, also where nobody is in it."""
    line = Listed(7, "user-1", "Spring", "default", "Running", None, NOW_MS, NOW_MS, None, 10, {S.SENT: 2})
    report = listed_report(line)
    assert (report["campaignId"], report["totalContacts"], report["completedAt"]) == (7, 10, None)
    assert report["counts"] == {"sent": 2, "failed": 0, "skipped": 0, "unknown": 0, "inDoubt": 0, "pending": 0}
