"""`robotd campaign` as a person has it: among an SQS server and a WAHA, with a daemon and without one."""

import csv
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from daemon.campaign_export import COLUMNS
from daemon.store.mysql import MysqlAddress
from tests.e2e.processes import (
    BOUND_S,
    Neighbours,
    all_of,
    daemon,
    environment,
    line_with,
    neighbours,
    on_a_terminal,
    process,
    robotd,
    told,
    until,
)

LIST = ("--list", "Spring", "--owner", "user-1")
AT_ONCE = {"ROBOTD_CAMPAIGNS__GAP_MIN_S": "0", "ROBOTD_CAMPAIGNS__GAP_MAX_S": "0"}
SLOWLY = {"ROBOTD_CAMPAIGNS__GAP_MIN_S": "3600", "ROBOTD_CAMPAIGNS__GAP_MAX_S": "3600"}
NEW = ("--user", "user-1", "--name", "Spring letter", "--list", "Spring", "--session", "default")
WORDS = ("--text", "Dear {Name} of {City}", "--default-name", "friend")
RAW_WORDS = ("--text", "Dear {Name} of {City}, {LastName}", *WORDS[2:])
NEXT_YEAR = datetime.now(UTC).replace(microsecond=0) + timedelta(days=365)
LATER, LATER_STILL = (f"{at:%Y-%m-%dT%H:%M:%S}.000Z" for at in (NEXT_YEAR, NEXT_YEAR + timedelta(days=1)))


def phone(number: int) -> str:
    return f"99900{number:07d}"


@contextmanager
def sending(folder: Path, contacts: int, pace: dict[str, str], engine: str = "NOWEB") -> Iterator[Neighbours]:
    """The neighbours with a database and a list of contacts named N0, N1 and so on."""
    with neighbours(folder, waha=engine, **pace) as around:
        for call in (("migrate",), ("queues", "ensure")):
            done = around.robotd(*call)
            assert done.returncode == 0, done.stderr
        rows = ["phone_number,first_name,city", *(f"{phone(n)},N{n},Town {n}" for n in range(contacts))]
        (folder / "people.csv").write_text("\n".join(rows))
        imported = around.robotd("contacts", "import", "people.csv", *LIST)
        assert imported.returncode == 0, imported.stderr
        yield around


def created(around: Neighbours, *more: str, at: str = "now") -> int:
    """The id of a new campaign."""
    made = around.robotd("campaign", "create", *NEW, *WORDS, "--at", at, *more, "--json")
    assert made.returncode == 0, made.stdout + made.stderr
    return int(told(made)["campaignId"])


def ledger(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def until_sent(around: Neighbours, campaign_id: int, count: int) -> None:
    """Follow a campaign line by line until so many messages are out."""
    watch = ("daemon", "campaign", "status", str(campaign_id), "--watch")
    with process(*watch, folder=around.folder, more=around.variables) as watching:
        line_with(watching, f" {count} sent")
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=BOUND_S)
    assert watching.returncode == 0


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> dict[str, subprocess.CompletedProcess[str]]:
    """All that is said in the life of a campaign of five: one fails, one has opted out."""
    folder = tmp_path_factory.mktemp("life")
    said: dict[str, subprocess.CompletedProcess[str]] = {}
    with sending(folder, 5, AT_ONCE) as around, daemon(around):
        said["create"] = around.robotd("campaign", "create", *NEW, *RAW_WORDS, "--at", LATER)
        around.tell_waha("POST", "troubles", {"kind": "bad-request", "chats": [f"{phone(3)}@c.us"]})
        around.robotd("send", "opt-out.add", "-f", f"phoneNumber=+{phone(4)}", "-f", "reason=by phone")
        until(lambda: told(around.robotd("campaign", "preview", "1", "--json")), lambda seen: seen["optedOut"] == 1)
        for name, call in {
            "plan": "preview 1 --user user-1 --json",
            "plan in text": "preview 1",
            "before": "status 1 --json",
            "run": "run 1 --json",
            "waits": "status 1",
            "resume": "resume 1 --json",
            "watch": "status 1 --watch",
            "after": "status 1 --json",
            "list": "list --user user-1 --json",
            "list of another": "list --user user-2 --json",
            "save": "export 1 --out ledger.csv --json",
            "pipe": "export 1 --format jsonl",
        }.items():
            said[name] = around.robotd("campaign", *call.split())
    said["folder"] = subprocess.CompletedProcess([], 0, str(folder), "")
    assert {name: one.stderr for name, one in said.items() if one.returncode} == {}
    return said


def test_a_campaign_is_made_and_previewed(life: dict[str, subprocess.CompletedProcess[str]]) -> None:
    """Its id is told; the preview names who is left out, what would go out raw, and what is too fast."""
    assert life["create"].stdout == "campaign 1 scheduled\n"
    plan = told(life["plan"])
    assert (plan["contacts"], plan["leftOut"]) == (5, [{"phone": "99900…0004", "reason": "by phone"}])
    assert plan["unknownPlaceholders"] == ["{LastName}"]
    assert plan["examples"][1]["text"] == "Dear N1 of Town 1, {LastName}"
    assert plan["startsAt"] == LATER
    assert "WAHA advises" in plan["warnings"][0]
    shown = life["plan in text"].stdout
    assert all_of(shown, ("99900…0004", "{LastName}", "Dear N1 of Town 1", "warning: "))
    assert told(life["before"])["totalContacts"] == 5


def test_a_campaign_is_followed_to_its_end(life: dict[str, subprocess.CompletedProcess[str]]) -> None:
    """It waits for a word about its braces; then one line for each change, and what went wrong with its count."""
    assert told(life["run"])["note"] == "campaign 1 paused: PLACEHOLDERS"
    assert all_of(
        " ".join(life["waits"].stdout.split()), ("{LastName} would reach people as it is", "robotd campaign resume 1")
    )
    assert told(life["resume"])["note"] == "campaign 1 resumed"
    lines = life["watch"].stdout.splitlines()
    assert lines[-1].endswith("campaign 1 Completed, 5 of 5: 3 sent, 1 failed, 1 skipped")
    assert len(lines) == len(set(lines))
    status = told(life["after"])
    assert status["counts"] == {"sent": 3, "failed": 1, "skipped": 1, "unknown": 0, "inDoubt": 0, "pending": 0}
    assert {(one["state"], one["code"], one["count"]) for one in status["reasons"]} == {
        ("FAILED", "http-400", 1),
        ("SKIPPED", "opt-out", 1),
    }
    (line,) = told(life["list"])
    assert (line["campaignId"], line["status"], line["counts"]) == (1, "Completed", status["counts"])
    assert told(life["list of another"]) == []


def test_a_ledger_is_exported_in_two_forms_that_say_the_same(
    life: dict[str, subprocess.CompletedProcess[str]],
) -> None:
    """Each contact with what became of it; the file is its owner's alone, and nothing is left beside it."""
    folder = Path(life["folder"].stdout)
    assert told(life["save"]) == {"campaignId": 1, "rows": 5, "format": "csv", "file": "ledger.csv"}
    rows = ledger(folder / "ledger.csv")
    assert tuple(rows[0]) == COLUMNS
    states = ["SENT", "SENT", "SENT", "FAILED", "SKIPPED"]
    assert [(row["phone"], row["firstName"], row["state"]) for row in rows] == [
        (phone(number), f"N{number}", state) for number, state in enumerate(states)
    ]
    objects = [json.loads(line) for line in life["pipe"].stdout.splitlines()]
    assert [{name: "" if value is None else str(value) for name, value in one.items()} for one in objects] == rows
    assert (folder / "ledger.csv").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir() if path.name.endswith(".part")] == []


def test_a_campaign_is_paused_resumed_retried_and_cancelled(tmp_path: Path) -> None:
    """Each command says what came of it, also of what was so already; the status says how it goes on."""
    with sending(tmp_path, 3, SLOWLY, "WEBJS") as around, daemon(around):  # it has no ids to look a message up by
        around.tell_waha("POST", "faults", {"kind": "reset", "route": "sendText", "when": "after", "times": 1})
        assert created(around) == 1
        look = ("campaign", "status", "1", "--json")
        until(lambda: told(around.robotd(*look)), lambda seen: seen["counts"]["unknown"] == 1)
        paused = around.robotd("campaign", "pause", "1")
        again = around.robotd("campaign", "pause", "1", "--user", "user-1", "--json")
        assert (paused.returncode, paused.stdout, paused.stderr) == (0, "campaign 1 paused: OPERATOR\n", "")
        assert (told(again)["outcome"], told(again)["note"]) == ("done", "campaign 1 is Paused already")
        shown = " ".join(around.robotd("campaign", "status", "1").stdout.split())
        assert all_of(shown, ("Paused", "robotd campaign resume 1", "UNKNOWN", "99900…0000", "retry 1 --scope unknown"))
        assert around.robotd("campaign", "resume", "1").stdout == "campaign 1 resumed\n"
        assert around.robotd("campaign", "pause", "1").returncode == 0
        assert around.robotd("campaign", "retry", "1", "--scope", "unknown").returncode == 0
        retried = told(around.robotd(*look))
        assert (retried["status"], retried["counts"]["unknown"], retried["waitsFor"]) == ("Running", 0, "GAP")
        assert around.robotd("campaign", "cancel", "1").stdout == "campaign 1 Cancelled\n"


def variables_of(place: Path | MysqlAddress) -> dict[str, str]:
    """Where the database is."""
    if isinstance(place, Path):
        return {"ROBOTD_DATABASE__URL": f"sqlite:///{place}"}
    url = f"mysql://{place.user}@localhost/{place.database}?unix_socket={place.unix_socket}"
    return {"ROBOTD_DATABASE__URL": url, "ROBOTD_DATABASE__PASSWORD": place.password}


def test_what_is_refused_is_told_with_the_reason(tmp_path: Path, place: Path | MysqlAddress) -> None:
    """Another user's campaign, a wrong state: exit code 1; a start that has not come can be moved, and run at once."""
    with sending(tmp_path, 2, {**AT_ONCE, **variables_of(place)}) as around, daemon(around):
        assert created(around, at=LATER) == 1
        foreign = around.robotd("campaign", "run", "1", "--user", "user-2")
        wrong = around.robotd("campaign", "resume", "1", "--json")
        assert (foreign.returncode, foreign.stdout) == (1, "")
        assert foreign.stderr == "robotd: refused: not-found: user user-2 has no campaign 1\n"
        assert (wrong.returncode, told(wrong)["outcome"]) == (1, "rejected")
        assert told(wrong)["reason"] == "wrong-state: campaign 1 is Scheduled, not Paused"
        tried = around.robotd("campaign", "test-send", "1", "--to", f"+{phone(9)}", "--first-name", "Zoe", "--json")
        assert (tried.returncode, told(tried)["note"]) == (0, "test send of campaign 1: SENT")
        moved = around.robotd("campaign", "schedule", "1", "--at", LATER_STILL)
        assert (moved.returncode, moved.stdout) == (0, "campaign 1 scheduled\n")
        assert told(around.robotd("campaign", "status", "1", "--json"))["scheduledAt"] == LATER_STILL
        assert around.robotd("campaign", "run", "1").returncode == 0
        assert around.robotd("campaign", "status", "1", "--watch").stdout.endswith("2 of 2: 2 sent\n")
        exported = around.robotd("campaign", "export", "1", "--format", "jsonl").stdout.splitlines()
        assert [json.loads(line)["state"] for line in exported] == ["SENT", "SENT"]


def test_a_command_that_nobody_handles_waits_in_the_queue(tmp_path: Path) -> None:
    """Exit code 1 and where it is; a daemon handles it later, once, and the same id hears of that one handling."""
    with sending(tmp_path, 1, AT_ONCE) as around:
        call = ("campaign", "create", *NEW, *WORDS, "--at", LATER, "--id", "letter-1")
        early = around.robotd(*call, "--wait", "0.3")
        as_json = around.robotd(*call, "--wait", "0", "--json")
        unheard = around.robotd(*call, "--no-wait")
        assert (early.returncode, early.stdout) == (1, "")
        assert early.stderr == (
            "robotd: not handled within 0.3 s; it stays in robotd-commands until a robotd handles it\n"
        )
        assert (as_json.returncode, told(as_json)["outcome"], told(as_json)["sent"]) == (1, "waiting", "letter-1")
        assert (unheard.returncode, unheard.stdout) == (0, "sent campaign.create letter-1\n")
        with daemon(around):
            done = around.robotd(*call)
            assert (done.returncode, done.stdout) == (0, "campaign 1 scheduled\n")
            assert [one["campaignId"] for one in told(around.robotd("campaign", "list", "--json"))] == [1]


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbours]:
    """Neighbours without a daemon: nothing is handled, and nothing needs to be."""
    with sending(tmp_path_factory.mktemp("quiet"), 1, AT_ONCE) as around:
        yield around


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("status", "7"), 1, "the database has no campaign 7"),
        (("status", "7", "--user", "u", "--watch"), 1, "user u has no campaign 7"),
        (("preview", "7"), 1, "the database has no campaign 7"),
        (("export", "7", "--out", "x.csv"), 1, "the database has no campaign 7"),
        (("pause", "7"), 1, "the database has no campaign 7"),
        (("status", "0"), 2, "ID"),
        (("status", "x"), 2, "ID"),
        (("status", "9" * 30), 2, "ID"),
        (("retry", "1", "--scope", "all"), 2, "--scope"),
        (("list", "--limit", "0"), 2, "--limit"),
        (("create", *NEW[:4], "--list", "Autumn", *WORDS, "--at", "now"), 1, "has no contact list 'Autumn'"),
        (("create", *NEW, *WORDS, "--at", "tomorrow"), 2, "--at: expected an ISO 8601 time"),
        (("create", *NEW, *WORDS, "--at", "2099-01-01T00:00:00"), 2, "--at: a time needs its zone"),
        (("create", *NEW, *WORDS, "--text-file", "x", "--at", "now"), 2, "either --text or --text-file"),
        (("create", *NEW, *WORDS[2:], "--at", "now"), 2, "either --text or --text-file"),
        (("create", *NEW, *WORDS[2:], "--text-file", "gone", "--at", "now"), 2, "--text-file gone: No such file"),
        (("create", *NEW, *WORDS[:2], "--at", "now"), 2, "--default-name: "),
        (("create", *NEW, *WORDS, "--at", "now", "--media", "../x"), 2, "--media: "),
        (("create", *NEW, *WORDS, "--at", "now", "--robot", "0"), 2, "--robot: "),
        (("create", *NEW, *WORDS, "--at", "now", "--expires-after", "1"), 2, "--expires-after: "),
        (("create", *NEW, *WORDS, "--at", "now", "-f", "nonsense=1"), 2, "nonsense: "),
        (("schedule", "1", "--user", "user-1", "--at", "soon"), 2, "--at: expected an ISO 8601 time"),
        (("pause", "1", "--user", "user 1"), 2, "--user: "),
    ],
)
def test_a_wrong_call_names_what_is_wrong(quiet: Neighbours, arguments: tuple[str, ...], code: int, says: str) -> None:
    """One sentence and the exit code of the README."""
    refused = quiet.robotd("campaign", *arguments)
    assert (refused.returncode, refused.stdout) == (code, "")
    assert says in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr


def test_a_wrong_call_sends_nothing(quiet: Neighbours) -> None:
    """Refused before the queue sees it, whether it is the words or the data that are wrong."""
    wrong = [("pause", "7"), ("create", *NEW, *WORDS, "--at", "tomorrow"), ("pause", "1", "--user", "user 1")]
    assert [quiet.robotd("campaign", *call).returncode for call in wrong] == [1, 2, 2]
    (queue,) = [one for one in told(quiet.robotd("queues", "--json")) if one["name"] == "robotd-commands"]
    assert queue["ready"] == 0


def test_a_text_may_come_from_a_file(quiet: Neighbours) -> None:
    """As it stands there, less the line end at its end; numbers and quotes are no JSON to it."""
    (quiet.folder / "letter.txt").write_text('123\n"Dear" {Name}\n', encoding="utf-8")
    (quiet.folder / "latin.txt").write_bytes(b"\xe9")
    call = ("campaign", "create", *NEW, *WORDS[2:], "--at", LATER)
    bad = quiet.robotd(*call, "--text-file", "latin.txt")
    assert (bad.returncode, bad.stderr) == (2, "robotd: --text-file latin.txt: not UTF-8\n")
    with daemon(quiet):
        made = told(quiet.robotd(*call, "--text-file", "letter.txt", "--json"))
        number = told(quiet.robotd(*call[:-1], LATER, "--text", "123", "--json"))
    with closing(sqlite3.connect(quiet.folder / "robotd.db")) as database:
        sql = "SELECT text_content FROM campaign WHERE id IN (?, ?) ORDER BY id"
        texts = [text for (text,) in database.execute(sql, (made["campaignId"], number["campaignId"]))]
    assert texts == ['123\n"Dear" {Name}', "123"]


def test_a_database_or_queue_that_is_not_ready_is_one_sentence(tmp_path: Path, quiet: Neighbours) -> None:
    """Neither made nor migrated by a look; a queue that is missing is named, with what creates it."""
    missing = robotd("campaign", "list", folder=tmp_path)
    (tmp_path / "robotd.db").touch()
    empty = robotd("campaign", "status", "1", "--watch", folder=tmp_path)
    assert [(each.returncode, "robotd migrate" in each.stderr) for each in (missing, empty)] == [(1, True)] * 2
    call = ("campaign", "create", *NEW, *WORDS, "--at", "now", "--json")
    unsent = quiet.robotd(*call, ROBOTD_QUEUES__COMMANDS="robotd-nowhere")
    assert (unsent.returncode, "robotd queues ensure" in told(unsent)["error"]) == (1, True)
    wrong = quiet.robotd("campaign", "list", ROBOTD_CAMPAIGNS__TIME_ZONE="Nowhere")
    assert (wrong.returncode, "campaigns.time_zone" in wrong.stderr) == (3, True)


def big(folder: Path, campaign_id: int, count: int) -> None:
    """A finished campaign of so many contacts, written beside the daemon."""
    with closing(sqlite3.connect(folder / "robotd.db")) as database, database:
        database.execute(
            "INSERT INTO campaign (id, owner, name, session, contact_list_id, text_content, default_name_value, "
            "scheduled_at_ms, status, total_contacts, created_at_ms, started_at_ms, completed_at_ms, notices, version) "
            "VALUES (?, 'user-9', 'Large', 'default', 9, 'x', 'friend', 1, 'Completed', ?, 1, 1, 2, 0, 1)",
            (campaign_id, count),
        )
        database.executemany(
            "INSERT INTO campaign_recipient (campaign_id, position, contact_id, chat_id, first_name, state, attempt, "
            "ended_at_ms) VALUES (?, ?, ?, ?, ?, 'SENT', 1, 1764060000000)",
            ((campaign_id, number, number, f"{phone(number)}@c.us", "=HYPERLINK(1)") for number in range(count)),
        )


def test_a_hundred_thousand_rows_are_exported_and_neutralised(quiet: Neighbours) -> None:
    """Each once, in order; a file that was there is replaced whole; a reader who leaves early is no traceback."""
    big(quiet.folder, 900, 100_000)
    target = quiet.folder / "large.csv"
    target.write_text("old")
    done = quiet.robotd("campaign", "export", "900", "--out", "large.csv")
    assert (done.returncode, done.stdout, done.stderr) == (0, "100000 rows of campaign 900 in large.csv\n", "")
    rows = ledger(target)
    assert [int(row["position"]) for row in rows] == list(range(100_000))
    assert {row["firstName"] for row in rows} == {"'=HYPERLINK(1)"}
    call = [sys.executable, "-m", "daemon", "campaign", "export", "900"]
    with subprocess.Popen(  # noqa: S603  our own command
        call, cwd=quiet.folder, env=environment(quiet.variables), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline().startswith(b"position,contactId")
        running.stdout.close()
        assert running.wait(BOUND_S) == 1
        assert running.stderr.read() == b""


def test_an_export_that_fails_leaves_what_was_there(quiet: Neighbours) -> None:
    """A place that can't be written to is refused; one that fails on its way leaves the old file as it was."""
    folder = quiet.folder
    big(folder, 901, 2_000)
    (folder / "taken").mkdir()
    (folder / "old.csv").write_text("old")
    none = quiet.robotd("campaign", "export", "901", "--out", "missing/x.csv")
    taken = quiet.robotd("campaign", "export", "901", "--out", "taken")
    assert [(one.returncode, one.stdout) for one in (none, taken)] == [(2, "")] * 2
    assert "--out missing/x.csv: No such file" in none.stderr
    assert "not a file" in taken.stderr
    with closing(sqlite3.connect(folder / "robotd.db")) as database, database:
        database.execute("UPDATE campaign_recipient SET state = 'ODD' WHERE campaign_id = 901 AND position = 1999")
    failed = quiet.robotd("campaign", "export", "901", "--out", "old.csv")
    assert failed.returncode == 1
    assert (folder / "old.csv").read_text() == "old"
    assert [path.name for path in folder.iterdir() if path.name.endswith(".part")] == []


def test_a_terminal_shows_a_campaign_in_place_until_ctrl_c(tmp_path: Path) -> None:
    """Exit code 0, the cursor is shown again, and there is no traceback."""
    with sending(tmp_path, 2, SLOWLY) as around, daemon(around):
        created(around)
        until_sent(around, 1, 1)
        code, seen = on_a_terminal(around, "campaign", "status", "1", "--watch", until="time left")
    assert code == 0
    assert seen.rindex("\x1b[?25h") > seen.rindex("\x1b[?25l")
    assert "Spring letter" in seen
    assert "Traceback" not in seen


def test_the_bars_tell_rate_and_time_left(quiet: Neighbours) -> None:
    """Of an import and of an export, on a terminal; they are gone when it is done."""
    rows = "\n".join(["phone_number", *(phone(number) for number in range(20_000))])
    (quiet.folder / "many.csv").write_text(rows)
    code, imported = on_a_terminal(quiet, "contacts", "import", "many.csv", "--list", "Many", "--owner", "user-1")
    assert code == 0
    assert all_of(imported, ("importing", " rows, ", " a second, left", "20000 imported"))
    big(quiet.folder, 902, 5_000)
    code, exported = on_a_terminal(quiet, "campaign", "export", "902", "--out", "large.jsonl", "--format", "jsonl")
    assert code == 0
    assert all_of(exported, ("exporting", " of 5000 rows", "5000 rows of campaign 902 in large.jsonl"))
