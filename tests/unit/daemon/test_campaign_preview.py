"""A preview: who would get what, who would not, until when, and what speaks against it."""

from dataclasses import replace
from datetime import date

import pytest

from daemon.campaign_preview import preview_report, window_words
from daemon.campaign_view import Addressee, Audience
from domain.campaign import Campaign, CampaignStatus
from domain.number import Number, NumberRules
from domain.pace import PaceRules
from domain.sending_window import SendingWindow

NOW_MS = 1_764_060_000_000  # 2025-11-25T08:40:00Z, a Tuesday
RULES = NumberRules(PaceRules(gap_min_ms=30_000, gap_max_ms=30_000))
SCHEDULED = Campaign(
    id=7,
    owner="user-1",
    name="Spring letter",
    session="default",
    contact_list_id=3,
    text="Dear {Name} of {City}, {LastName}",
    default_name="friend",
    scheduled_at_ms=NOW_MS + 60_000,
    created_at_ms=NOW_MS,
)
AUDIENCE = Audience(
    contacts=5,
    opt_outs=1,
    first=[Addressee("999000000001@c.us", "Ann", {"city": "Utrecht"}), Addressee("999000000002@c.us", "  ")],
    opted_out=[Addressee("999000000002@c.us", None, reason="STOP")],
    field_names=frozenset({"city"}),
)


def test_a_preview_tells_who_gets_what() -> None:
    """Texts as they would go out, with and without a name; who opted out, masked, with the reason; what is unknown."""
    report = preview_report(SCHEDULED, AUDIENCE, Number(RULES), NOW_MS)
    assert (report["audience"], report["contacts"], report["optedOut"]) == ("list", 5, 1)
    assert report["leftOut"] == [{"phone": "99900…0002", "reason": "STOP"}]
    assert report["unknownPlaceholders"] == ["{LastName}"]
    assert [(one["phone"], one["text"]) for one in report["examples"]] == [
        ("99900…0001", "Dear Ann of Utrecht, {LastName}"),
        ("99900…0002", "Dear friend of {City}, {LastName}"),
        (None, "Dear friend of {City}, {LastName}"),
    ]
    assert (report["startsAt"], report["estimatedEnd"]) == ("2025-11-25T08:41:00.000Z", "2025-11-25T08:42:30.000Z")
    assert (report["seconds"], report["window"], report["warnings"]) == (90, "at any time", [])


def test_a_start_waits_for_the_window() -> None:
    """The first message goes out when the number's and the campaign's own are open, not at the campaign's time."""
    rules = replace(RULES, window=SendingWindow(start_minute=9 * 60, end_minute=10 * 60))
    report = preview_report(SCHEDULED, AUDIENCE, Number(rules), NOW_MS)
    assert (report["startsAt"], report["seconds"]) == ("2025-11-25T09:00:00.000Z", 90)
    assert (report["window"], report["ownWindow"]) == ("09:00 to 10:00 (UTC)", None)
    own = replace(SCHEDULED, window=SendingWindow(start_minute=9 * 60 + 30), session="")
    later = preview_report(own, AUDIENCE, Number(rules), NOW_MS)
    assert (later["startsAt"], later["ownWindow"]) == ("2025-11-25T09:30:00.000Z", "09:30 to 24:00 (UTC)")
    assert (later["estimatedEnd"], later["session"]) == ("2025-11-25T09:31:30.000Z", None)


@pytest.mark.parametrize(
    ("campaign", "audience", "says"),
    [
        (replace(SCHEDULED, status=CampaignStatus.COMPLETED), AUDIENCE, "the campaign is Completed"),
        (SCHEDULED, replace(AUDIENCE, contacts=0, opt_outs=0, first=[], opted_out=[]), "nobody to send to"),
        (SCHEDULED, replace(AUDIENCE, contacts=1), "everybody has opted out"),
    ],
)
def test_what_would_send_nothing_is_warned_of_first(campaign: Campaign, audience: Audience, says: str) -> None:
    """Before what the pace is warned of; the end is never before the start."""
    rules = NumberRules(PaceRules())
    report = preview_report(campaign, audience, Number(rules), NOW_MS)
    assert says in report["warnings"][0]
    assert "WAHA advises" in report["warnings"][1]
    assert report["estimatedEnd"] >= report["startsAt"]


@pytest.mark.parametrize(
    ("window", "words"),
    [
        (SendingWindow(), "at any time"),
        (SendingWindow("Europe/Amsterdam", frozenset({1, 5})), "Mon, Fri (Europe/Amsterdam)"),
        (SendingWindow("UTC", frozenset({7}), 540, 1020), "Sun; 09:00 to 17:00 (UTC)"),
        (SendingWindow(excluded=frozenset({date(2026, 12, 25)})), "not on 2026-12-25 (UTC)"),
    ],
)
def test_a_window_is_told_in_words(window: SendingWindow, words: str) -> None:
    """Only what is not the whole week, day or year, with the zone that it is of."""
    assert window_words(window) == words
