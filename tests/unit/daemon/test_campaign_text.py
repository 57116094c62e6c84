"""Campaigns for people: every fact is there at every width, and no name reaches the terminal as a command."""

import io
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rich.console import Console, RenderableType

from daemon.campaign_text import list_table, preview_text, span, status_line, status_text

NOW_MS = 1_764_060_000_000  # 2025-11-25T08:40:00Z
UTC, AMSTERDAM = ZoneInfo("UTC"), ZoneInfo("Europe/Amsterdam")
ODD = "Spring \x1b[31m[red]letter[/red] \u202e"


def report(**values: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "campaignId": 7,
        "name": "Spring letter",
        "status": "Running",
        "userId": "user-1",
        "session": "default",
        "contactListId": 3,
        "pauseReason": None,
        "detail": None,
        "advice": None,
        "totalContacts": 40,
        "handled": 9,
        "counts": {"sent": 6, "failed": 1, "skipped": 0, "unknown": 2, "inDoubt": 1, "pending": 30},
        "scheduledAt": "2025-11-25T08:00:00.000Z",
        "startedAt": "2025-11-25T08:30:00.000Z",
        "pausedAt": None,
        "completedAt": None,
        "rate": {"lastHour": 6, "perHour": 36.0},
        "nextSendAt": "2025-11-25T08:40:07.000Z",
        "waitsFor": "GAP",
        "estimatedEnd": "2025-11-25T08:46:00.000Z",
        "secondsLeft": 360,
        "reasons": [{"state": "FAILED", "code": "http-400", "count": 1, "example": "WAHA refused it with 400"}],
        "unknown": [{"position": n, "phone": f"99900…000{n}", "code": "crashed", "sendingAt": None} for n in (1, 2)],
        "notes": ["look into their chats"],
    }
    return {**plain, **values}


def printed(shown: RenderableType, width: int = 100) -> str:
    out = Console(file=io.StringIO(), width=width, highlight=False, markup=False, emoji=False)
    out.print(shown)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_every_fact_is_there_whatever_the_width(width: int) -> None:
    """And no line is wider than the terminal."""
    text = printed(status_text(report(), AMSTERDAM, NOW_MS), width)
    words = "".join(text.split())
    for fact in (
        "campaign7,Springletter:Running",
        "22%9of40",
        "sent6",
        "indoubt1",
        "pending30",
        "numberdefault,list3",
        "2025-11-2509:30:00+0100,10minago",
        "6inthelasthour,36.0anhoursincethestart",
        "in7s,afterthegapbetweentwomessages",
        "6min,untilabout2025-11-2509:46:00+0100",
        "http-400",
        "99900…0001,99900…0002",
        "note:lookintotheirchats",
    ):
        assert fact in words
    assert max(len(line) for line in text.splitlines()) <= width


def test_a_pause_says_why_and_what_to_do() -> None:
    """With the time left once it goes on, and nothing of a next send."""
    text = printed(
        status_text(
            report(
                status="Paused",
                pauseReason="AUTH",
                detail="WAHA said 401",
                advice="correct the key",
                pausedAt="2025-11-25T08:39:00.000Z",
            ),
            UTC,
            NOW_MS,
        )
    )
    for line in ("paused     AUTH: WAHA said 401", "what to do  correct the key", "6 min once it goes on", "60 s ago"):
        assert "".join(line.split()) in "".join(text.split())
    assert "next send" not in text


@pytest.mark.parametrize(
    ("at", "says"),
    [
        (None, "none is planned"),
        ("2025-11-25T08:40:00.000Z", "now"),
        ("2025-11-25T08:40:00.100Z", "in 1 s"),
        ("2025-11-25T08:39:59.000Z", "now"),
        ("2025-11-25T08:30:00.000Z", "was due 10 min ago"),
    ],
)
def test_the_next_send_is_told_from_now(at: str | None, says: str) -> None:
    """Ahead, due, or overdue because nobody takes it."""
    text = printed(status_text(report(nextSendAt=at, waitsFor=None), UTC, NOW_MS))
    assert any(line.split("next send")[1].strip() == says for line in text.splitlines() if "next send" in line)


def test_what_has_not_begun_has_no_counts() -> None:
    """Its contacts are those on the list, its end is counted from its time."""
    scheduled = report(
        status="Scheduled", startedAt=None, scheduledAt="2025-11-25T08:50:00.000Z", reasons=[], unknown=[]
    )
    text = printed(status_text({**scheduled, "rate": {"lastHour": 0, "perHour": None}}, UTC, NOW_MS))
    assert "pending" not in text
    for words in ("40 on the list now", "2025-11-25 08:50:00 +0000, in 10 min", "+0000, in 6 min"):
        assert words in text


def test_what_is_long_is_cut_and_says_so() -> None:
    """Five reasons and five numbers; the rest is in the JSON."""
    reasons = [{"state": "FAILED", "code": f"c{n}", "count": 1, "example": "x"} for n in range(8)]
    unknown = [{"position": n, "phone": f"99900…000{n}", "code": None, "sendingAt": None} for n in range(7)]
    counts = {"sent": 0, "failed": 8, "skipped": 0, "unknown": 25, "inDoubt": 0, "pending": 0}
    text = printed(status_text(report(reasons=reasons, unknown=unknown, counts=counts), UTC, NOW_MS))
    assert "and 3 more reasons: --json has them" in text
    assert "99900…0004 and 20 more" in text
    assert "c5" not in text


def test_one_line_says_how_it_stands() -> None:
    """For a log: only what there is."""
    assert status_line(report()) == ("campaign 7 Running, 9 of 40: 6 sent, 1 failed, 2 unknown, 1 in doubt, 30 pending")
    none = dict.fromkeys(("sent", "failed", "pending"), 0)
    paused = report(status="Paused", pauseReason="AUTH", detail="WAHA\nsaid 401", handled=0, counts=none)
    assert status_line(paused) == "campaign 7 Paused (AUTH: WAHA\\nsaid 401), 0 of 40"


def test_names_are_neither_markup_nor_commands() -> None:
    """What a terminal would obey is written out, in each of the views."""
    listed = {**report(name=ODD), "pauseReason": None}
    shown = [
        printed(list_table([listed], UTC), 150),
        printed(status_text(report(name=ODD), UTC, NOW_MS)),
        status_line(listed),
    ]
    for text in shown[:2]:
        assert "\\x1b[31m[red]letter[/red] \\u202e" in text
    assert not any(sign in text for text in shown for sign in "\x1b\u202e")


def test_a_list_has_one_line_for_each() -> None:
    """With how far it is, what went wrong, and when it started or will."""
    quiet = {"sent": 0, "failed": 0, "skipped": 0, "unknown": 0, "inDoubt": 0, "pending": 0}
    lines = [report(), report(campaignId=6, status="Scheduled", startedAt=None, counts=quiet, name="x" * 300)]
    text = printed(list_table(lines, UTC), 80)
    first, second = text.splitlines()[1:3]
    assert " ".join(first.split()) == "7 Spring letter user-1 Running 9/40 1 2 2025-11-25 08:30"
    assert second.split()[-3:] == ["0/40", "2025-11-25", "08:00"]
    assert max(len(line) for line in text.splitlines()) <= 80


def test_a_preview_shows_whom_and_what() -> None:
    """Left out, examples with more than one line, warnings; each where it is found."""
    plan = {
        **{name: report()[name] for name in ("campaignId", "name", "status", "userId", "session", "contactListId")},
        "mediaFile": "garden.jpg",
        "audience": "list",
        "contacts": 40,
        "optedOut": 7,
        "leftOut": [{"phone": f"99900…000{n}", "reason": "STOP" if n else ""} for n in range(7)],
        "unknownPlaceholders": ["{LastName}"],
        "examples": [
            {"phone": "99900…0001", "firstName": "Ann", "text": "Dear Ann,\nthe garden"},
            {"phone": None, "firstName": None, "text": "Dear friend"},
        ],
        "startsAt": "2025-11-25T08:50:00.000Z",
        "estimatedEnd": "2025-11-25T08:56:40.000Z",
        "seconds": 400,
        "window": "at any time",
        "ownWindow": None,
        "warnings": ["too fast"],
    }
    text = printed(preview_text(plan, UTC))
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for line in (
        "contacts 40, 7 of them left out",
        "ends about 2025-11-25 08:56:40 +0000, 7 min later",
        "goes out raw {LastName}",
        "file garden.jpg",
        "99900…0000 opted out",
        "99900…0001 opted out: STOP",
        "and 2 more",
        "99900…0001 Dear Ann,",
        "the garden",
        "no name Dear friend",
        "warning: too fast",
    ):
        assert line in lines
    bare = {**plan, "leftOut": [], "optedOut": 0, "unknownPlaceholders": [], "examples": [], "warnings": []}
    more = {"mediaFile": None, "audience": "ledger", "session": None, "ownWindow": "Mon (UTC)"}
    begun = printed(preview_text({**bare, **more}, UTC))
    assert "at any time, and the campaign's own: Mon (UTC)" in begun
    assert "the first number of its user" in begun
    assert all(words in begun for words in ("still to come  40", "nothing: every placeholder is known", "goes on"))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (3_569, "59 min"),
        (3_580, "1 h"),
        (3_600, "1 h"),
        (12_000, "3 h 20 min"),
        (86_399, "1 d"),
        (187_200, "2 d 4 h"),
        (864_000, "10 d"),
    ],
)
def test_a_span_has_two_units_at_most(seconds: int, words: str) -> None:
    """Rounded, so that 59 min 40 s is an hour."""
    assert span(seconds) == words
