"""When servers that fail together are not at fault; where the mails of tests go."""

from dataclasses import replace

import pytest

from domain.server_rules import Judged, OutageRules, ProbeAddresses, outage_of

RULES = OutageRules()


def judged(steps: str) -> list[Judged]:
    """One server for each letter: `.` is a good one, others the step at which it failed."""
    return [Judged(f"run-{at}", at, "" if step == "." else step, at) for at, step in enumerate(steps)]


@pytest.mark.parametrize(
    ("steps", "outage"),
    [
        ("", None),
        ("a", None),
        ("aa", None),
        ("aaa", ("a", 3, 3)),
        ("aaa...", ("a", 3, 6)),
        ("a.a.a.", ("a", 3, 6)),
        ("a.a.a..", None),
        ("aabbcc", None),
        ("aaabbb", ("a", 3, 6)),
        ("....aaaa......", None),
        ("....aaaaa......", ("a", 5, 15)),
        (".a.a.a.a.a.a......", None),
        ("..aabaabaabaab.......................", None),
    ],
)
def test_an_outage_is_a_share_or_a_row(steps: str, outage: tuple[str, int, int] | None) -> None:
    """Three servers and half of those judged at one step, or five at one step one after the other."""
    found = outage_of(judged(steps), RULES)
    assert (None if found is None else (found.step, found.failed, found.judged)) == outage


def test_a_row_can_be_switched_off() -> None:
    """Then the share alone decides."""
    assert outage_of(judged("....aaaaa......"), replace(RULES, in_row=0)) is None


def test_of_a_server_only_the_last_test_counts() -> None:
    """One server that fails three times is one server."""
    again = [Judged(f"run-{at}", 7, "T3", at) for at in range(3)]
    assert outage_of(again, RULES) is None
    mended = [*judged("aaa"), *(Judged(f"later-{at}", at, "", 10 + at) for at in range(2))]
    assert outage_of(mended, RULES) is None


def test_a_probe_s_recipient_carries_its_token() -> None:
    """Behind a plus, unless the mailbox takes none."""
    tagged = ProbeAddresses("probe@mailbox.test", "back@mailbox.test")
    assert tagged.recipient("t-1") == "probe+t-1@mailbox.test"
    assert replace(tagged, is_tagged=False).recipient("t-1") == "probe@mailbox.test"
