"""What is told of tests of delivery servers, and of which of them operators are alarmed."""

from dataclasses import replace

import pytest

from domain.alerts import Severity
from domain.server_cycle import RunLine, ServerCycle, due_for
from domain.server_ports import Candidate
from domain.server_run import ServerRun, Way, Wish
from domain.server_test import Verdict
from domain.server_words import cycle_alert, cycle_payload, run_alert, run_payload
from domain.wire import write_json
from tests.memory_servers import server

CYCLE = ServerCycle("cycle-1", 1_000, looked_at=9, servers=3, ended_at_ms=2_000)
LINE = RunLine(
    run_id="run-1",
    server_id=7,
    name="smtp-7",
    phase="ENDED",
    way="direct",
    verdict=Verdict.SUCCESSFUL,
    step="",
    reason="",
    deactivated=False,
    kept="",
    dry_run=False,
    began_at_ms=1_000,
    ended_at_ms=2_000,
)
FAILED = replace(LINE, verdict=Verdict.FAILED, reason="T5 auth-rejected: 535", deactivated=True)
UNJUDGED = replace(LINE, verdict=Verdict.ERROR, reason="T7 mailbox: away")


def ended(**changes: object) -> ServerRun:
    run = ServerRun.begun("run-1", Wish(7), 0).loading(server(), "2025-11-25 08:40:00", Way.DIRECT)
    whole = replace(run, verdict=Verdict.FAILED, reason="T5 auth-rejected: 535", ended_at_ms=2_000)
    return replace(whole, **changes)  # type: ignore[arg-type]  # fields by name


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({"deactivated": True}, Severity.WARNING),
        ({"kept": "changed"}, Severity.ERROR),
        ({"verdict": Verdict.SUCCESSFUL}, None),
        ({"verdict": Verdict.ERROR}, None),
        ({"wish": Wish(7, dry_run=True)}, None),
    ],
)
def test_operators_hear_of_a_test_that_failed(changes: dict[str, object], severity: Severity | None) -> None:
    """Switched off, or not and why; of no other test."""
    alert = run_alert(ended(**changes))
    assert (None if alert is None else alert.severity) is severity
    assert alert is None or "7" in alert.title


def test_a_skipped_deactivation_is_visible() -> None:
    """Where it was wanted and something came between; not where nobody wanted it."""
    told = {
        kept: run_payload(ended(kept=kept))["deactivationSkipped"] for kept in ("changed", "last-active", "dry", "off")
    }
    assert told == {"changed": True, "last-active": True, "dry": False, "off": False}


@pytest.mark.parametrize(
    ("cycle", "lines", "title"),
    [
        (CYCLE, [LINE], None),
        (CYCLE, [], None),
        (CYCLE, [LINE, FAILED], "1 delivery servers failed, 1 are switched off"),
        (CYCLE, [LINE, UNJUDGED], "1 delivery servers could not be tested"),
        (replace(CYCLE, outage="many"), [UNJUDGED], "Delivery servers fail together: none is switched off"),
        (replace(CYCLE, dry_run=True), [FAILED], None),
    ],
)
def test_a_cycle_is_one_alert_at_most(cycle: ServerCycle, lines: list[RunLine], title: str | None) -> None:
    """Of a good one, and of a dry one, there is none."""
    alert = cycle_alert(cycle, lines)
    assert (None if alert is None else alert.title) == title


def test_a_large_cycle_fits_into_a_message() -> None:
    """Counts are of all, names of the first hundred; an alert names fifteen."""
    lines = [replace(FAILED, server_id=number, reason="x" * 1_000, name="n" * 255) for number in range(5_000)]
    payload = cycle_payload(CYCLE, lines)
    assert (payload["failed"], len(payload["failures"])) == (5_000, 100)
    assert len(write_json(payload)) < 200_000
    alert = cycle_alert(CYCLE, lines)
    assert alert is not None
    assert alert.text.endswith("and 4985 more")


@pytest.mark.parametrize(
    ("reason", "known", "force", "is_due"),
    [
        ("", None, False, False),
        ("", "same", False, False),
        ("", "other", False, True),
        ("updated", "same", False, True),
        ("never-tested", None, False, True),
        ("", "same", True, True),
    ],
)
def test_a_server_is_due_for_a_reason(reason: str, known: str | None, *, force: bool, is_due: bool) -> None:
    """MailWizz's, a changed fingerprint, or the word of who asked; never twice."""
    candidate = Candidate(server(), None, reason)
    fingerprints = {} if known is None else {7: server().fingerprint if known == "same" else "other"}
    assert due_for([candidate, candidate], fingerprints, force=force) == ([candidate] if is_due else [])
