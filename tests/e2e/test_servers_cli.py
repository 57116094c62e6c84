"""`robotd servers` as a person has it: among a MailWizz's database and a mail host, with a daemon and without one."""

import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import all_of, daemon, on_a_terminal, robotd, told, until
from tests.e2e.server_neighbours import Login, ServerNeighbours, server_neighbours

Said = dict[str, subprocess.CompletedProcess[str]]
STEPS = ["T0", "T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8"]
FAILED = "T5 auth-rejected: 535 5.7.8 Authentication credentials invalid"


def fill(world: ServerNeighbours) -> str:
    """Two good servers, one with a wrong password, one that is off, one that nothing can test; the wrong password."""
    good, other = world.logins["good"], world.logins["other"]
    wrong = Login(good.port, good.user, good.password[::-1])
    world.add(7, good)
    world.add(8, wrong)
    world.add(9, other)
    world.add(12, other, status="disabled")
    world.add(15, other, type="sparkpost-web-api")
    return wrong.password


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Said, ServerNeighbours]]:
    """All that is said of five servers, from the first look to a cycle."""
    said: Said = {}
    with server_neighbours(tmp_path_factory.mktemp("life"), ("good", "other")) as world:
        wrong = fill(world)
        said["before"] = world.around.robotd("servers", "list", "--all")
        with daemon(world.around):
            for name, call in {
                "good": "test 7 --watch",
                "bad": "test 8 --watch",
                "dry": "test 7 --watch --dry-run --check T9 --check T9 --json",
                "unknown": "test 99 --watch",
                "begun": "test 9 --json --id nine",
                "again": "test 9 --watch --json --id nine",
            }.items():
                said[name] = world.around.robotd("servers", *call.split())
            world.write("UPDATE mw_delivery_server SET status = 'active' WHERE server_id = 8")
            for name, call in {
                "cycle": "cycle --watch --force",
                "dry cycle": "cycle --watch --force --dry-run --json",
                "list": "list --json",
                "list in text": "list",
                "history": "history 8 --json --limit 1",
                "history in text": "history 8",
            }.items():
                said[name] = world.around.robotd("servers", *call.split())
        secrets = (wrong, *(login.password for login in world.logins.values()))
        shown = "".join(one.stdout + one.stderr for one in said.values())
        assert [secret for secret in secrets if secret in shown] == []
        yield said, world


def test_a_good_server_passes_step_by_step(life: tuple[Said, ServerNeighbours]) -> None:
    """One line for each step, in their order, then the verdict; exit code 0, and MailWizz's history says so."""
    shown = life[0]["good"]
    *steps, verdict = shown.stdout.splitlines()
    assert shown.returncode == 0, shown.stderr
    assert [line.split()[0] for line in steps] == STEPS
    assert {line.split()[1] for line in steps} == {"PASS", "WARN"}
    assert verdict.startswith("server 7 smtp-7: SUCCESSFUL  directly by SMTP, ")
    assert ("SUCCESSFUL",) in life[1].rows("SELECT status FROM mw_delivery_servers_tests WHERE delivery_server_id = 7")


def test_a_bad_server_is_told_with_what_became_of_it(life: tuple[Said, ServerNeighbours]) -> None:
    """The step that failed with the server's own words, and that it is switched off; exit code 1."""
    shown = life[0]["bad"]
    *_, step, verdict = shown.stdout.splitlines()
    assert (shown.returncode, shown.stderr) == (1, "")
    assert step.split()[:2] == ["T5", "FAIL"]
    assert all_of(verdict, ("server 8 smtp-8: FAILED", FAILED, "switched off: its status in MailWizz is inactive"))


def test_a_dry_run_tells_programs_each_step_and_the_whole_test(life: tuple[Said, ServerNeighbours]) -> None:
    """An object for each step as it came, then the result that a robot would get, with the check that was asked for."""
    *steps, result = [json.loads(line) for line in life[0]["dry"].stdout.splitlines()]
    assert life[0]["dry"].returncode == 0
    assert [one["step"]["id"] for one in steps] == [*STEPS, "T9"]
    assert (result["verdict"], result["dryRun"], result["deactivated"]) == ("SUCCESSFUL", True, False)
    assert result["steps"] == [one["step"] for one in steps]


def test_what_can_t_be_tested_is_refused_or_told(life: tuple[Said, ServerNeighbours]) -> None:
    """A server that MailWizz doesn't know is refused with that; one that was asked for twice is tested once."""
    unknown, said = life[0]["unknown"], life[0]
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert unknown.stderr == "robotd: refused: no-such-server: MailWizz has no delivery server 99\n"
    begun = told(said["begun"])
    assert (said["begun"].returncode, begun["outcome"], begun["sent"]) == (0, "done", "nine")
    assert begun["note"] == f"test of server 9 begins: run {begun['runId']}"
    result = json.loads(said["again"].stdout.splitlines()[-1])
    assert (result["runId"], result["verdict"]) == (begun["runId"], "SUCCESSFUL")


def test_a_cycle_is_followed_to_its_end(life: tuple[Said, ServerNeighbours]) -> None:
    """A line for each server when it is judged, then the counts; exit code 1 since one has failed and is off now."""
    said, world = life
    *lines, end = said["cycle"].stdout.splitlines()
    assert said["cycle"].returncode == 1
    assert {"7 smtp-7 SUCCESSFUL", f"8 smtp-8 FAILED, switched off: {FAILED}", "9 smtp-9 SUCCESSFUL"} <= set(lines)
    assert end == "cycle over, 3 of 4 sending servers: 2 good, 1 failed, 1 switched off"
    assert world.rows("SELECT status FROM mw_delivery_server WHERE server_id = 8") == [("inactive",)]
    result = json.loads(said["dry cycle"].stdout.splitlines()[-1])
    assert said["dry cycle"].returncode == 0
    assert (result["tested"], result["successful"], result["leftOut"], result["dryRun"]) == (2, 2, 1, True)


def test_a_list_says_who_sends_and_what_is_due(life: tuple[Said, ServerNeighbours]) -> None:
    """Before anything was tested, all of them; afterwards each with its last test, and why one can't be tested."""
    before = " ".join(life[0]["before"].stdout.split())
    assert all_of(before, ("disabled", "due: never tested", "4 servers send, 3 due, 1 can't be tested"))
    assert "note: 15 can't be tested: direct: type sparkpost-web-api speaks no SMTP" in before
    servers = {one["serverId"]: one for one in told(life[0]["list"])["servers"]}
    assert set(servers) == {7, 9, 15}
    assert (servers[7]["lastTest"]["verdict"], servers[7]["due"], servers[7]["path"]) == ("SUCCESSFUL", None, "direct")
    assert (servers[15]["lastTest"], servers[15]["due"], servers[15]["path"]) == (None, "never-tested", None)
    assert all_of(life[0]["list in text"].stdout, ("SUCCESSFUL", "smtp-9", "not due"))


def test_a_history_has_what_mailwizz_says_and_our_own_runs(life: tuple[Said, ServerNeighbours]) -> None:
    """As many as were asked for, the newest first, with each step."""
    history = told(life[0]["history"])
    assert (history["server"]["status"], history["notes"]) == ("inactive", [])
    assert [line["error"] for line in history["history"]] == [f"{FAILED} (switched off)"]
    (run,) = history["runs"]
    assert (run["verdict"], run["deactivated"], [step["id"] for step in run["steps"]]) == ("FAILED", True, STEPS[:6])
    text = life[0]["history in text"].stdout
    assert text.count("FAILED") == 4
    assert text.count("sign in: auth-rejected") == 2


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerNeighbours]:
    """Nobody handles anything, and nothing needs to be handled."""
    with server_neighbours(tmp_path_factory.mktemp("quiet")) as world:
        world.add(7, world.logins["good"], status="disabled")
        yield world


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("test",), 2, "ID"),
        (("test", "0"), 2, "ID"),
        (("test", "seven"), 2, "ID"),
        (("test", "9" * 30), 2, "ID"),
        (("test", "7", "--path", "post"), 2, "--path"),
        (("test", "7", "--check", "T1"), 2, "--check"),
        (("test", "7", "--watch", "--no-wait"), 2, "name either --watch or --no-wait"),
        (("cycle", "--watch", "--no-wait"), 2, "name either --watch or --no-wait"),
        (("cycle", "--wait", "-1"), 2, "--wait"),
        (("history", "99"), 1, "MailWizz has no delivery server 99, and nobody has tested one"),
        (("history", "7", "--limit", "0"), 2, "--limit"),
        (("cycle", "--watch", "--wait", "0"), 1, "not handled within 0 s; it stays in robotd-commands"),
    ],
)
def test_a_wrong_call_names_what_is_wrong(
    quiet: ServerNeighbours, arguments: tuple[str, ...], code: int, says: str
) -> None:
    """One sentence and the exit code of the README."""
    refused = quiet.around.robotd("servers", *arguments)
    assert (refused.returncode, refused.stdout) == (code, "")
    assert says in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr


def test_a_mailwizz_without_servers_that_send_is_said_to_be_so(quiet: ServerNeighbours) -> None:
    """With the option that shows the others; a history of a server that nobody has tested has no lines."""
    shown = quiet.around.robotd("servers", "list")
    assert "MailWizz sends through no delivery server; --all shows" in shown.stdout
    history = quiet.around.robotd("servers", "history", "7").stdout
    assert all_of(history, ("server 7, smtp-7: disabled", "MailWizz's history", "none"))


def test_a_database_that_is_not_there_is_one_sentence(quiet: ServerNeighbours, tmp_path: Path) -> None:
    """No MailWizz in the settings, one without its tables, a database of our own that was never made."""
    none = quiet.around.robotd("servers", "list", ROBOTD_MAILWIZZ__DATABASE_URL="")
    empty = quiet.around.robotd(
        "servers", "list", "--json", ROBOTD_MAILWIZZ__DATABASE_URL=f"sqlite:///{tmp_path / 'x'}"
    )
    missing = robotd("servers", "history", "7", folder=tmp_path, more=quiet.around.variables)
    assert (none.returncode, "mailwizz.database_url is not set" in none.stderr) == (1, True)
    assert (empty.returncode, "there is no table mw_delivery_server" in told(empty)["error"]) == (1, True)
    assert (missing.returncode, "robotd migrate" in missing.stderr) == (1, True)


def test_a_person_may_leave_a_test_and_it_goes_on(tmp_path: Path) -> None:
    """Ctrl-C on a terminal: exit code 130 and where to look; the test comes to its verdict without us, a cycle too."""
    with server_neighbours(tmp_path) as world, daemon(world.around), socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens there: who connects is refused, and tried again in five seconds
        world.add(7, Login(taken.getsockname()[1], "", ""))
        world.add(9, world.logins["good"])
        code, seen = on_a_terminal(world.around, "servers", "test", "7", "--watch", until="refused")
        assert code == 130
        assert all_of(seen, ("connect", "robotd servers history 7"))
        assert "Traceback" not in seen
        look = ("servers", "history", "7", "--json")
        until(lambda: told(world.around.robotd(*look))["runs"][0], lambda run: run["verdict"] == "FAILED")
        code, seen = on_a_terminal(world.around, "servers", "cycle", "--watch", "--wait", "30")
    assert code == 0
    assert "\x1b[32m1 good" in seen
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")
