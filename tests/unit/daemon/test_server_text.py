"""Tests of delivery servers for people: every fact is there at every width, and no reply reaches the terminal raw."""

import io
from dataclasses import replace
from datetime import UTC
from typing import Any

import pytest
from rich.console import Console, RenderableType

from daemon.server_report import (
    cycle_line_report,
    cycle_report,
    is_well,
    line_report,
    listed_report,
    offset_of,
    run_report,
    server_report,
)
from daemon.server_step_text import STAGE_WORDS, STEP_NAMES, became, step_line, steps_table, verdict_line, verdict_text
from daemon.server_text import (
    cycle_line,
    cycle_line_text,
    cycle_live,
    cycle_text,
    history_text,
    list_notes,
    list_reasons,
    list_summary,
    list_table,
)
from daemon.server_view import HistoryLine, ListedServer
from daemon.server_watch import Steps
from domain.server_cycle import RunLine, ServerCycle
from domain.server_run import Phase, ServerRun, Stage, Way, Wish
from domain.server_test import LONGEST_DETAIL, Finding, StepId, StepOutcome, Verdict
from tests.memory_servers import server

NOW_MS = 1_764_060_000_000  # 2025-11-25T08:40:00Z
STARTED = "2025-11-25 08:40:00"
ODD = "mx \x1b[31m[red]relay[/red] \u202e"
REPLY = "535 5.7.8 Authentication credentials invalid"
WHY = f"T5 auth-rejected: {REPLY}"
WIDTHS = pytest.mark.parametrize("width", [30, 80, 200])


def new_run(**changes: Any) -> ServerRun:
    """A run that found a wrong password and switched its server off."""
    found = (
        Finding(StepId.CONNECT, StepOutcome.PASS, ms=12),
        Finding(StepId.TLS, StepOutcome.WARN, "unencrypted", "TLS is not offered", 3),
        Finding(StepId.AUTH, StepOutcome.FAIL, "auth-rejected", REPLY, 8_012),
    )
    plain = replace(
        ServerRun.begun("run-1", Wish(7), NOW_MS).loading(server(), STARTED, Way.DIRECT),
        phase=Phase.ENDED,
        findings=found,
        verdict=Verdict.FAILED,
        failed_step=StepId.AUTH,
        reason=WHY,
        judged_at_ms=NOW_MS + 9_000,
        ended_at_ms=NOW_MS + 9_100,
        deactivated=True,
    )
    return replace(plain, **changes)


def line_of(server_id: int = 7, **changes: Any) -> RunLine:
    plain = RunLine(
        run_id=f"run-{server_id}",
        server_id=server_id,
        name=f"smtp-{server_id}",
        phase="ENDED",
        way="direct",
        verdict=Verdict.FAILED,
        step="T5",
        reason=WHY,
        deactivated=True,
        kept="",
        dry_run=False,
        began_at_ms=NOW_MS,
        ended_at_ms=NOW_MS + 9_000,
    )
    return replace(plain, **changes)


def told(text: RenderableType, width: int = 80, **options: Any) -> str:
    """What a terminal of so many columns would show; no line is longer than that."""
    out = io.StringIO()
    Console(file=out, width=width, highlight=False, markup=False, emoji=False, **options).print(text)
    assert options or max(map(len, out.getvalue().splitlines())) <= width
    return out.getvalue()


def words(text: RenderableType, width: int = 80) -> str:
    """The same without regard to where lines end."""
    return "".join(told(text, width).split())


def holds(shown: str, *parts: str) -> bool:
    """Whether each part is there, wherever its lines end."""
    return [part for part in parts if "".join(part.split()) not in shown] == []


@WIDTHS
@pytest.mark.parametrize("outcome", list(StepOutcome))
@pytest.mark.parametrize("step", list(StepId))
def test_a_step_is_whole_at_every_width(width: int, outcome: StepOutcome, step: StepId) -> None:
    """Its id, its name in words, its outcome, what it took, its kind and its detail; nothing is cut away."""
    report = run_report(new_run(findings=(Finding(step, outcome, "some-kind", "a longer word of its server", 1_234),)))
    assert holds(words(steps_table(report["steps"]), width), step, outcome, "1.2 s", "some-kind", "of its server")
    assert STEP_NAMES[step] in step_line(report["steps"][0])


def test_each_stage_has_words() -> None:
    """Whatever a run is at can be told."""
    assert set(STAGE_WORDS) == {stage.value for stage in Stage}


def test_a_long_reply_is_one_line_for_a_log_and_none_is_lost() -> None:
    """A thousand characters stay on their line off a terminal; on a narrow one they go on below themselves."""
    reply = " ".join(["word"] * 300)
    (step,) = run_report(new_run(findings=(Finding(StepId.SEND, StepOutcome.FAIL, "deferred", reply),)))["steps"]
    assert len(step["detail"]) == LONGEST_DETAIL
    assert step_line(step).endswith(step["detail"])
    assert words(steps_table([step]), 40).count("word") >= 198


def test_what_a_server_says_is_no_command_to_the_terminal() -> None:
    """Escapes and marks of direction are written out, brackets are no markup."""
    odd = new_run(
        loaded=server(name=ODD), findings=(Finding(StepId.SEND, StepOutcome.FAIL, "x", ODD),), reason=ODD, kept=ODD
    )
    report = run_report(odd)
    listed = listed_report(ListedServer(server(name=ODD, hostname=ODD, status=ODD), "", run=line_of(reason=ODD)), UTC)
    history = {
        "serverId": 7,
        "server": server_report(server(name=ODD)),
        "history": [line_report(HistoryLine(7, Verdict.FAILED, STARTED, ODD))],
        "runs": [report],
        "notes": [ODD],
    }
    lines = [line_of(name=ODD, reason=ODD)]
    cycle = cycle_report(ServerCycle("c", NOW_MS, servers=1, outage=ODD, ended_at_ms=NOW_MS), lines)
    live = cycle_live(cycle, [report], [cycle_line_report(line) for line in lines])
    texts = [
        verdict_text(report),
        steps_table(report["steps"]),
        list_table([listed], NOW_MS),
        history_text(history, UTC),
        cycle_text(cycle),
        live,
    ]
    shown = [told(text, 200) for text in texts] + [
        verdict_line(report),
        cycle_line(cycle),
        step_line(report["steps"][0]),
    ]
    shown.append(cycle_line_text(cycle_line_report(lines[0])))
    assert [text for text in shown if "\x1b" in text or "\u202e" in text] == []
    assert all("[red]relay[/red]" in text for text in shown)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "switched off"),
        ({"deactivated": False, "kept": "changed"}, "changed while it was tested"),
        ({"deactivated": False, "kept": "last-active"}, "the last one of its customers"),
        ({"deactivated": False, "kept": "not-asked"}, "nobody asked"),
        ({"deactivated": False, "kept": "off"}, "server_tests.deactivate is off"),
        ({"deactivated": False, "kept": "dry"}, "server_tests.deactivate is dry"),
        ({"deactivated": False, "kept": "not-sending"}, "does not send through it anyway"),
        ({"deactivated": False, "kept": "too-few-failures"}, "server_tests.failures_before_deactivate"),
        ({"deactivated": False, "kept": "not-recorded"}, "dead letters of the timers"),
        ({"deactivated": False, "kept": "dry-run", "wish": Wish(7, dry_run=True)}, "a dry run"),
        ({"deactivated": False, "kept": "outage", "verdict": Verdict.ERROR}, "too many failed alike"),
        ({"deactivated": False, "verdict": Verdict.ERROR}, "nobody can say whether it is good"),
        ({"deactivated": False, "verdict": Verdict.SUCCESSFUL, "reason": ""}, "good; MailWizz's history says so"),
    ],
)
def test_what_became_of_a_server_is_a_sentence(changes: dict[str, Any], says: str) -> None:
    """For each verdict, and each reason why a server that failed was kept; with the reason of the verdict."""
    report = run_report(new_run(**changes))
    assert says in became(report)
    assert holds(words(verdict_text(report)), says, report["verdict"], report["reason"])
    assert says in verdict_line(report)


def test_a_promotion_that_failed_is_told() -> None:
    """The verdict stays, and the reason stands beside it."""
    good = new_run(verdict=Verdict.SUCCESSFUL, reason="", deactivated=False, promotion_error="no group 2")
    assert "not added to the customer group: no group 2" in verdict_line(run_report(good))


def test_only_good_is_well() -> None:
    """A script goes by it: a test that judged nothing is not well, nor is a cycle with an outage."""
    verdicts = {verdict: is_well(run_report(new_run(verdict=verdict))) for verdict in Verdict}
    assert verdicts == {Verdict.SUCCESSFUL: True, Verdict.FAILED: False, Verdict.ERROR: False}
    good = line_of(verdict=Verdict.SUCCESSFUL, deactivated=False)
    over = ServerCycle("c", NOW_MS, ended_at_ms=NOW_MS)
    assert is_well(cycle_report(over, [good]))
    assert not is_well(cycle_report(over, [good, line_of(8)]))
    assert not is_well(cycle_report(over, [line_of(verdict=Verdict.ERROR)]))
    assert not is_well(cycle_report(over.with_outage("3 of 4"), [good]))


def listed(server_id: int = 7, due: str = "", **changes: Any) -> dict[str, Any]:
    values = {"way": Way.DIRECT, **changes}
    return listed_report(ListedServer(server(server_id, **values.pop("server", {})), due, **values), UTC)


@pytest.mark.parametrize("width", [80, 120, 200])
def test_a_list_has_every_server_with_its_last_test_and_the_next(width: int) -> None:
    """Verdict, age and reason; why a test is due; that one is under way; what can't be tested, and why."""
    lines = [
        listed(7, "updated", run=line_of()),
        listed(8, line=HistoryLine(8, Verdict.SUCCESSFUL, "2025-11-25 05:40:00", None), run_id="run-8"),
        listed(9, "never-tested", way=None, missing="direct: no", server={"type": "sparkpost-web-api"}),
        listed(12, server={"status": "inactive"}),
    ]
    assert told(list_table(lines, NOW_MS + 60_000), 30)
    shown = told(list_table(lines, NOW_MS + 60_000), width)
    seen = "FAILED SUCCESSFUL switched off due: saved since under test now never can't be tested inactive does not send"
    assert [word for word in (*seen.split(), "smtp-7", "smtp-12", "sparkpost-web-api") if word not in shown] == []
    wide = words(list_table(lines, NOW_MS + 60_000), 200)
    assert holds(wide, "smtp7.sender.test:587", "FAILED 60 s ago", "SUCCESSFUL 3 h 1 min ago", "does not send")
    reasons = list_reasons(lines)
    assert reasons is not None
    assert words(reasons, width) == "".join(f"7 {WHY}".split())
    assert list_reasons(lines[1:]) is None
    assert list_notes(lines) == ["note: 9 can't be tested: direct: no"]
    schedule = {"runningCycle": None, "nextCycleAt": "2025-11-25T09:00:00.000Z"}
    said = "3 servers send, 1 due, 1 under test, 1 can't be tested; the next cycle begins in 20 min"
    assert list_summary(lines, schedule, NOW_MS) == said


def test_a_reason_many_servers_share_is_told_once() -> None:
    """With the first few of them by id."""
    lines = [listed(number, way=None, missing="direct: no") for number in range(1, 12)]
    assert list_notes(lines) == ["note: 1, 2, 3, 4, 5, 6, 7, 8 and 3 more can't be tested: direct: no"]


def test_the_newest_word_is_the_last_test() -> None:
    """A run of ours that ended after MailWizz's line began knows more; one that ended before is old; both may lack."""
    line = HistoryLine(7, Verdict.SUCCESSFUL, STARTED, None)
    ours = listed(line=line, run=line_of(verdict=Verdict.ERROR, deactivated=False, kept="outage"))["lastTest"]
    assert (ours["by"], ours["verdict"], ours["kept"]) == ("robotd", "ERROR", "outage")
    theirs = listed(line=line, run=line_of(ended_at_ms=NOW_MS - 1))["lastTest"]
    assert (theirs["by"], theirs["verdict"], theirs["at"]) == ("history", "SUCCESSFUL", "2025-11-25T08:40:00.000Z")
    east = listed_report(ListedServer(server(), "", line=line), offset_of("+05:30"))["lastTest"]
    assert east["at"] == "2025-11-25T03:10:00.000Z"
    assert listed_report(ListedServer(server(), "", line=line), offset_of("-01:00"))["lastTest"]["at"].startswith(
        "2025-11-25T09:40"
    )
    zero = listed(line=replace(line, started="0000-00-00 00:00:00"), run=None)["lastTest"]
    assert (zero["verdict"], zero["at"]) == ("SUCCESSFUL", None)
    assert listed(run=line_of(ended_at_ms=None))["lastTest"] is None


def test_no_password_is_in_any_report() -> None:
    """Neither in what programs get nor in what people see, whatever the row of the server holds."""
    secret = server(password="made-up for this test")  # noqa: S106  no real one
    run = new_run().loading(secret, STARTED, Way.DIRECT)
    reports = [server_report(secret), listed_report(ListedServer(secret, ""), UTC), run_report(run)]
    assert "made-up" not in repr(reports)


@WIDTHS
def test_a_history_has_both_sides(width: int) -> None:
    """MailWizz's lines as they stand there, our own runs with their steps, and that one is under way."""
    still = new_run(id="run-2", phase=Phase.RUNNING, stage=Stage.ARRIVAL, verdict=None, reason="", ended_at_ms=None)
    report = {
        "serverId": 7,
        "server": server_report(server()),
        "history": [line_report(HistoryLine(7, Verdict.FAILED, STARTED, f"{WHY} (switched off)"))],
        "runs": [run_report(still), run_report(new_run())],
        "notes": [],
    }
    shown = words(history_text(report, UTC), width)
    assert holds(shown, "server 7, smtp-7: active", "smtp at smtp7.sender.test:587, tls, from news@sender.test")
    assert holds(shown, f"{STARTED} FAILED", "(switched off)", "RUNNING", "under way: it waits for the mail", "run-2")
    assert holds(shown, "FAILED directly by SMTP, 9.1 s", "run-1", "auth-rejected", "8.0 s")


def test_a_history_without_anything_says_so() -> None:
    """A server that is gone, or that nobody has tested, has no empty heading."""
    empty: dict[str, Any] = {"serverId": 7, "server": None, "history": [], "runs": [], "notes": ["it is gone"]}
    assert holds(words(history_text(empty, UTC)), "server 7", "note: it is gone", "clocknone", "runsnone")


@WIDTHS
def test_a_cycle_is_counted_and_names_who_failed(width: int) -> None:
    """Counts, the outage, each that failed with what became of it, each that was not judged, who was not in it."""
    lines = [
        line_of(7),
        line_of(8, deactivated=False, kept="last-active"),
        line_of(9, verdict=Verdict.ERROR, deactivated=False, reason="T7 mailbox: neither has arrived"),
        line_of(10, verdict=Verdict.SUCCESSFUL, deactivated=False, reason=""),
    ]
    cycle = ServerCycle("c", NOW_MS, looked_at=4, left_out=2, busy=1, outage="3 of 4 failed", ended_at_ms=NOW_MS)
    report = cycle_report(cycle, lines)
    shown = words(cycle_text(report), width)
    assert holds(shown, "cycle over, 4 of 4 sending servers: 1 good", "2 failed", "1 not judged", "1 switched off")
    assert holds(
        shown,
        "7smtp-7switched off: T5",
        "8smtp-8kept: last-active: T5",
        "9smtp-9",
        "neither has arrived",
        "3 of 4 failed",
    )
    assert holds(shown, "2 can't be tested", "1 was under test already")
    assert "\n" not in cycle_line(report)


def test_a_cycle_under_way_shows_what_is_tested_and_what_was_found() -> None:
    """The stage of the first few, how often it was tried, why it is tried again; held ones are named as such."""
    trouble = Finding(StepId.ARRIVAL, StepOutcome.ERROR, "unavailable", "mailbox: it is down")
    runs = [
        new_run(id="run-1", phase=Phase.RUNNING, stage=Stage.DELIVER, tries=1, findings=()),
        new_run(id="run-2", phase=Phase.RUNNING, stage=Stage.ARRIVAL, troubles=2, findings=(trouble,)),
    ]
    held = line_of(9, phase="HELD", deactivated=False)
    lines = [*(line_of(number, phase="RUNNING", verdict=None) for number in range(20, 40)), held]
    report = cycle_report(ServerCycle("c", NOW_MS, looked_at=21), lines)
    shown = words(cycle_live(report, [run_report(run) for run in runs], [cycle_line_report(line) for line in lines]))
    assert holds(shown, "cycle under way, 21 of 21 sending servers", "20 under way", "1 held", "talks to it (2. try)")
    assert holds(
        shown, "waits for the mail (tried again: mailbox: it is down)", "and 18 more", "smtp-9", "FAILED, held: T5"
    )
    assert cycle_line_text(cycle_line_report(held)).startswith("9 smtp-9 FAILED, held until all are judged: T5")


def test_a_step_is_shown_once_and_again_when_it_is_news() -> None:
    """Another time is no news; another outcome, a failure that was tried again and a test that begins anew are."""
    seen, running = Steps(), new_run(phase=Phase.RUNNING, verdict=None, ended_at_ms=None)

    def new(run: ServerRun) -> list[str]:
        return [step["id"] for step in seen.new(run_report(run))]

    assert new(running) == ["T3", "T4", "T5"]
    slower = replace(running, findings=tuple(replace(one, ms=one.ms + 1) for one in running.findings))
    assert new(slower) == []
    assert new(replace(slower, tries=1)) == ["T5"]
    assert new(replace(slower, tries=1, phase=Phase.ENDED)) == []
    assert new(replace(slower, findings=(*slower.findings[:2], Finding(StepId.AUTH, StepOutcome.PASS)))) == ["T5"]
    assert new(replace(slower, reloads=1)) == ["T3", "T4", "T5"]


def test_colours_are_left_out_where_nobody_wants_them() -> None:
    """NO_COLOR keeps every word and drops every colour."""
    report = run_report(new_run())
    in_colour = told(verdict_text(report), force_terminal=True, color_system="standard", no_color=False)
    without = told(verdict_text(report), force_terminal=True, color_system="standard", no_color=True)
    assert "\x1b[1;31m" in in_colour
    assert "31m" not in without
    assert WHY in without
