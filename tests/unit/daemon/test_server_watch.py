"""Following a test: what is told while its database comes and goes, and which exit code it ends with."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from daemon.server_watch import watch_run
from daemon.store.server_reads import SqlServerReads
from domain.errors import RobotdError, Unavailable
from domain.server_run import Phase, ServerRun, Way, Wish
from domain.server_test import Finding, StepId, StepOutcome, Verdict
from tests.memory_servers import server

AWAY = Unavailable("database", "it is away")
FOUND = (
    Finding(StepId.CONNECT, StepOutcome.PASS, ms=3),
    Finding(StepId.AUTH, StepOutcome.FAIL, "auth-rejected", "535"),
)


class Script(SqlServerReads):
    """A database that says one thing after the other, and is away in between."""

    def __init__(self, says: Sequence[ServerRun | Unavailable | None]) -> None:
        super().__init__(cast("Any", None))
        self._says = iter(says)

    async def run(self, run_id: str) -> ServerRun | None:
        assert run_id == "run-1"
        said = next(self._says)
        if isinstance(said, Unavailable):
            raise said
        return said


def runs() -> tuple[ServerRun, ServerRun]:
    """One that is under way, and the same at its end."""
    begun = ServerRun.begun("run-1", Wish(7), 1_000).loading(server(), "2025-11-25 08:40:00", Way.DIRECT)
    over = replace(begun, findings=FOUND, phase=Phase.ENDED, verdict=Verdict.FAILED, reason="T5", ended_at_ms=2_000)
    return replace(begun, findings=FOUND[:1]), over


async def test_an_outage_is_told_once_and_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Each step is told once, the verdict at the end; a warning for each outage, however many looks it lasts."""
    under_way, over = runs()
    script = Script([under_way, AWAY, AWAY, under_way, AWAY, over])
    assert await watch_run(script, "run-1", as_json=False) == 1
    told = capsys.readouterr()
    connect, auth, verdict = told.out.splitlines()
    assert connect.split() == ["T3", "PASS", "3", "ms", "connect"]
    assert auth.split()[:2] == ["T5", "FAIL"]
    assert verdict.startswith("server 7 smtp-7: FAILED")
    assert told.err.splitlines() == ["warning: database: it is away; trying again, the test goes on without us"] * 2


async def test_a_database_that_was_never_there_is_an_error() -> None:
    """It is not waited for: perhaps the settings are wrong."""
    with pytest.raises(Unavailable, match="it is away"):
        await watch_run(Script([AWAY]), "run-1", as_json=False)


async def test_a_run_that_is_forgotten_is_an_error() -> None:
    """Its rows go after a time, also while somebody looks."""
    with pytest.raises(RobotdError, match="no run run-1 any more"):
        await watch_run(Script([runs()[0], None]), "run-1", as_json=False)


@pytest.mark.parametrize(("verdict", "code"), [("SUCCESSFUL", 0), ("FAILED", 1), ("ERROR", 1)])
async def test_the_exit_code_is_that_of_the_verdict(
    verdict: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """For programs the last object is the whole test, as its robot is told of it."""
    over = replace(runs()[1], verdict=Verdict(verdict))
    assert await watch_run(Script([over]), "run-1", as_json=True) == code
    *steps, result = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["step"]["id"] for one in steps] == ["T3", "T5"]
    assert (result["verdict"], result["steps"]) == (verdict, [one["step"] for one in steps])
