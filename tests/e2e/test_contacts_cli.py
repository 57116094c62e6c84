"""`robotd contacts` as a person has it: files into the database, again and at once, and what is told of bad rows."""

import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.processes import BOUND_S, environment, robotd, told

LIST = ("--list", "Spring", "--owner", "user-1")


def phone(number: int) -> str:
    return f"99900{number:07d}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a database that is up to date."""
    migrated = robotd("migrate", folder=tmp_path)
    assert migrated.returncode == 0, migrated.stderr
    return tmp_path


def count(folder: Path) -> list[tuple[int, int]]:
    """What each list says of itself, beside what is there."""
    with closing(sqlite3.connect(folder / "robotd.db")) as database:
        sql = (
            "SELECT contact_count, (SELECT COUNT(*) FROM contact c WHERE c.contact_list_id = l.id) FROM contact_list l"
        )
        return list(database.execute(f"{sql} ORDER BY l.id"))


def test_a_file_comes_in_and_can_come_in_again(folder: Path) -> None:
    """Counts, ignored columns, each bad row with its number, exit code 1 for it; the second time all are duplicates."""
    lines = ["Phone_Number;First_Name;City;Last name", f"+{phone(1)};Ann;Utrecht;x", "0612;Bob;;", f"00{phone(1)};Ann"]
    (folder / "a.csv").write_text("\ufeff" + "\r\n".join([*lines, "", phone(2), "0900000003"]))
    first = robotd("contacts", "import", "a.csv", *LIST, folder=folder)
    again = robotd("contacts", "import", "a.csv", *LIST, "--json", "--default-country", "999", folder=folder)
    assert (first.returncode, first.stderr) == (1, "")
    assert first.stdout.splitlines() == [
        "Spring (list 1 of user-1): 2 imported, 1 duplicates, 2 bad of 5 rows",
        "columns that are not kept: 'last name'",
        "Row 3: a leading 0 needs a default country, or write the number with its country code",
        "Row 7: a leading 0 needs a default country, or write the number with its country code",
    ]
    assert again.returncode == 1
    assert told(again) == {
        "listId": 1,
        "listName": "Spring",
        "owner": "user-1",
        "rows": 5,
        "imported": 1,
        "duplicates": 3,
        "bad": 1,
        "ignoredColumns": ["'last name'"],
        "errors": [{"row": 3, "message": "a number with its country code has 7 to 15 digits, not 6"}],
    }
    assert count(folder) == [(3, 3)]


def test_lists_are_shown(folder: Path) -> None:
    """As a table and as JSON, of everybody or of one owner; a good file ends with 0."""
    (folder / "a.csv").write_text(f"phone_number\n{phone(1)}\n")
    none = robotd("contacts", "lists", folder=folder)
    for owner in ("user-1", "user-2"):
        imported = robotd("contacts", "import", "a.csv", "--list", "Spring", "--owner", owner, folder=folder)
        assert imported.returncode == 0, imported.stderr
    table = robotd("contacts", "lists", folder=folder)
    one = robotd("contacts", "lists", "--owner", "user-2", "--json", folder=folder)
    assert (none.returncode, none.stdout) == (0, "there is no list\n")
    assert ["user-1", "Spring", "1"] in [line.split()[1:] for line in table.stdout.splitlines()]
    assert [(each["owner"], each["listName"], each["contactCount"]) for each in told(one)] == [("user-2", "Spring", 1)]


def test_twenty_bad_rows_are_shown_and_all_are_in_the_file_of_errors(folder: Path) -> None:
    """As many lines as bad rows there, in their order; the file that is imported is never overwritten."""
    rows = ["phone_number", *(phone(number) if number % 2 else "x" for number in range(1_200))]
    (folder / "a.csv").write_text("\n".join(rows))
    shown = robotd("contacts", "import", "a.csv", *LIST, "--errors", "bad.txt", folder=folder)
    same = robotd("contacts", "import", "a.csv", *LIST, "--errors", "./a.csv", folder=folder)
    assert shown.returncode == 1
    assert len([line for line in shown.stdout.splitlines() if line.startswith("Row ")]) == 20
    assert shown.stdout.splitlines()[-1] == "and 580 more: --errors FILE or --json tells all"
    bad = (folder / "bad.txt").read_text().splitlines()
    assert bad == [f"Row {number}: 'x' is not a digit" for number in range(2, 1_202, 2)]
    assert (same.returncode, "would overwrite" in same.stderr) == (2, True)
    assert (folder / "a.csv").read_text() == "\n".join(rows)
    assert count(folder) == [(600, 600)]


@pytest.mark.parametrize(
    ("arguments", "content", "says"),
    [
        (LIST, "phone;name\n1;x\n", "no column phone_number"),
        (LIST, "", "the file is empty"),
        (("--list", " ", "--owner", "u"), "phone_number\n", "--list: a list's name is one line"),
        (("--list", "x", "--owner", "a b"), "phone_number\n", "--owner: "),
        ((*LIST, "--default-country", "+31"), "phone_number\n", "--default-country: "),
        ((*LIST, "--errors", "missing/bad.txt"), "phone_number\n", "--errors missing/bad.txt: No such file"),
        (("--list", "x"), "phone_number\n", "--owner"),
    ],
)
def test_a_wrong_call_writes_nothing(folder: Path, arguments: tuple[str, ...], content: str, says: str) -> None:
    """Exit code 2 and a sentence; no list is made."""
    (folder / "a.csv").write_text(content)
    refused = robotd("contacts", "import", "a.csv", *arguments, folder=folder)
    assert refused.returncode == 2
    assert says in refused.stderr
    assert "Traceback" not in refused.stderr
    assert count(folder) == []


def test_a_database_that_is_not_ready_is_one_sentence(tmp_path: Path) -> None:
    """Neither made nor migrated by an import: exit code 1 and what to do."""
    (tmp_path / "a.csv").write_text("phone_number\n")
    missing = robotd("contacts", "import", "a.csv", *LIST, folder=tmp_path)
    (tmp_path / "robotd.db").touch()
    empty = robotd("contacts", "lists", folder=tmp_path)
    assert [(each.returncode, "robotd migrate" in each.stderr) for each in (missing, empty)] == [(1, True)] * 2


def test_what_a_crash_interrupts_is_finished_by_running_it_again(folder: Path) -> None:
    """Killed when some batches are in: whole batches, a true count; the second run brings the rest in."""
    lines = [phone(number) for number in range(40_000)]
    (folder / "a.csv").write_text("\n".join(["phone_number", *lines]))
    call = [sys.executable, "-m", "daemon", "contacts", "import", "a.csv", *LIST]
    with subprocess.Popen(call, cwd=folder, env=environment({})) as running:  # noqa: S603  our own command
        while not count(folder) or count(folder)[0][0] < 1_000:
            assert running.poll() is None
        running.send_signal(signal.SIGKILL)
        running.wait(BOUND_S)
    ((said, there),) = count(folder)
    assert said == there
    assert (there % 500, there < 40_000) == (0, True)
    finished = robotd("contacts", "import", "a.csv", *LIST, "--json", folder=folder)
    assert finished.returncode == 0, finished.stderr
    assert (told(finished)["imported"], told(finished)["duplicates"]) == (40_000 - there, there)
    assert count(folder) == [(40_000, 40_000)]


def test_two_imports_at_once_share_a_list(folder: Path) -> None:
    """Files that overlap, into a list that neither has found: each contact came in by one of them."""
    for name, numbers in (("a.csv", range(3_000)), ("b.csv", range(1_500, 4_500))):
        (folder / name).write_text("\n".join(["phone_number", *map(phone, numbers)]))
    with ThreadPoolExecutor(2) as threads:
        calls = [
            threads.submit(robotd, "contacts", "import", name, *LIST, "--json", folder=folder)
            for name in ("a.csv", "b.csv")
        ]
        ended = [call.result() for call in calls]
    assert [each.returncode for each in ended] == [0, 0], [each.stderr for each in ended]
    assert sum(told(each)["imported"] for each in ended) == 4_500
    assert count(folder) == [(4_500, 4_500)]


def test_the_commands_explain_themselves(tmp_path: Path) -> None:
    """`--help` names what each of them is for, and ends with 0."""
    helped = [robotd("contacts", name, "--help", folder=tmp_path) for name in ("import", "lists")]
    assert [each.returncode for each in helped] == [0, 0]
    assert "--default-country" in helped[0].stdout
    assert "--owner" in helped[1].stdout


def test_nobody_waits_for_an_answer_that_goes_to_nobody(tmp_path: Path) -> None:
    """`send --wait` without a robot is refused before anything is sent."""
    sent = robotd("send", "opt-out.add", "-f", f"phoneNumber=+{phone(1)}", "--wait", "1", folder=tmp_path)
    assert (sent.returncode, "--wait needs a robotId or replyTo" in sent.stderr) == (2, True)
