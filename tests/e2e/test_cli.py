"""The command line as a person has it: real processes, real exit codes, simulators beside them."""

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from daemon.cli_send import example_of
from domain.messages import COMMANDS
from tests.e2e.processes import BOUND_S, ROOT, Neighbours, daemon, line_with, neighbours, process, robotd, told

HELPS = (
    (("run",), "Run the daemon"),
    (("demo",), "--keep"),
    (("check-config",), "--json"),
    (("migrate",), "--check"),
    (("send",), "--example"),
    (("queues",), "ensure"),
    (("queues", "ensure"), "--robot"),
    ((), "check-config"),
)
CREATE = ("send", "status-check.create", "-f", "robotId=61001", "-f", "scheduledId=7", "-f", "scriptVersionId=5310")
PLANNED = ("-f", "plannedAt=2026-01-05T08:00:00Z")


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbours]:
    """Simulators without a single queue, for the whole module."""
    with neighbours(tmp_path_factory.mktemp("neighbours")) as found:
        yield found


@pytest.fixture(scope="module")
def ready(around: Neighbours) -> Neighbours:
    """The same, with the queues that robotd needs and one robot's."""
    ensured = around.robotd("queues", "ensure", "--robot", "61001")
    assert ensured.returncode == 0, ensured.stderr
    return around


def test_each_command_explains_itself(tmp_path: Path) -> None:
    """`--help` of each command exits with 0 and names what is special to it."""
    calls = [partial(robotd, *command, "--help", folder=tmp_path) for command, _ in HELPS]
    with ThreadPoolExecutor(4) as threads:
        answers = [future.result() for future in [threads.submit(call) for call in calls]]
    for (command, word), answer in zip(HELPS, answers, strict=True):
        assert answer.returncode == 0, (command, answer.stderr)
        assert word in answer.stdout, command


def test_check_config_shows_every_setting_and_no_secret(tmp_path: Path) -> None:
    """As text and as JSON it exits with 0, says where a value came from, and masks what is secret."""
    variables = {
        "ROBOTD_CONSUMER__WAIT_S": "7",
        "ROBOTD_AWS__ACCESS_KEY_ID": "key-of-the-test",
        "ROBOTD_AWS__SECRET_ACCESS_KEY": "secret-of-the-test",
    }
    text = robotd("check-config", folder=tmp_path, more={**variables, "COLUMNS": "240"})
    as_json = robotd("check-config", "--json", folder=tmp_path, more=variables)
    assert (text.returncode, as_json.returncode) == (0, 0)
    assert "ROBOTD_CONSUMER__WAIT_S" in text.stdout
    assert "secret-of-the-test" not in text.stdout + as_json.stdout
    found = {row["path"]: row for row in told(as_json)["settings"]}
    assert (found["consumer.wait_s"]["value"], found["consumer.wait_s"]["source"]) == (7, "ROBOTD_CONSUMER__WAIT_S")
    assert found["aws.secret_access_key"]["value"] == "***"


def test_a_bad_configuration_is_told_whole_and_exits_with_3(tmp_path: Path) -> None:
    """Every command names all problems at once: a value out of bounds, two that disagree, a variable nobody knows."""
    (tmp_path / "robotd.yaml").write_text("consumer: {wait_s: 99}\nqueues: {max_receive_count: 2, colour: red}\n")
    unknown = {"ROBOTD_TYPO": "1"}
    answers = [
        robotd("check-config", folder=tmp_path, more=unknown),
        robotd("run", folder=tmp_path, more=unknown),
        robotd("migrate", "--json", folder=tmp_path, more=unknown),
        robotd("check-config", "--json", folder=tmp_path, more=unknown),
    ]
    assert [answer.returncode for answer in answers] == [3, 3, 3, 3]
    problems = json.dumps(told(answers[3])["problems"])
    for text in (answers[0].stderr, answers[1].stderr, told(answers[2])["error"], problems):
        assert "consumer.wait_s" in text
        assert "colour" in text
        assert "ROBOTD_TYPO" in text
    assert told(answers[2])["exitCode"] == 3
    assert "Traceback" not in "".join(answer.stderr for answer in answers)


def test_a_folder_without_templates_is_a_configuration_error(tmp_path: Path) -> None:
    """`run` says what is wrong in its log and exits with 3, not with 1."""
    empty = tmp_path / "empty"
    empty.mkdir()
    ended = robotd("run", folder=tmp_path, more={"ROBOTD_TEMPLATES__FOLDER": str(empty)})
    assert ended.returncode == 3, ended.stderr
    last = json.loads(ended.stdout.splitlines()[-1])
    assert last["event"] == "daemon.failed"
    assert "templates.folder" in last["reason"]


def test_migrate_brings_sqlite_up_to_date(tmp_path: Path) -> None:
    """`--check` fails while something is pending and changes nothing; `migrate` applies it; then both are content."""
    before = robotd("migrate", "--check", folder=tmp_path)
    applied = robotd("migrate", "--json", folder=tmp_path)
    after = robotd("migrate", "--check", "--json", folder=tmp_path)
    again = robotd("migrate", folder=tmp_path)
    assert (before.returncode, applied.returncode, after.returncode, again.returncode) == (1, 0, 0, 0)
    names = told(applied)["applied"]
    assert names == sorted(file.name for file in (ROOT / "daemon" / "store" / "migrations").glob("*.sql"))
    assert before.stdout.split() == [word for name in names for word in ("pending", name)]
    assert told(after) == {"pending": []}
    assert "up to date" in again.stdout


def test_a_database_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    """`migrate` exits with 1 and a sentence, and `run` with 1 and a log line."""
    nowhere = {"ROBOTD_DATABASE__URL": f"sqlite:///{tmp_path}/missing/robotd.db"}
    migrated = robotd("migrate", folder=tmp_path, more=nowhere)
    ran = robotd("run", folder=tmp_path, more=nowhere)
    assert (migrated.returncode, ran.returncode) == (1, 1)
    assert "database" in migrated.stderr
    assert migrated.stderr.count("\n") == 1
    assert json.loads(ran.stdout.splitlines()[-1])["event"] == "daemon.failed"


def test_queues_are_missing_until_they_are_ensured(tmp_path: Path) -> None:
    """`queues` fails while one is missing; `ensure` creates them once, says so in pure JSON, and finds nothing more."""
    with process("localstack.sqs", folder=tmp_path) as server:
        url = line_with(server, " on http").rsplit(" on ", 1)[1]
        keys = {"ROBOTD_AWS__ACCESS_KEY_ID": "test", "ROBOTD_AWS__SECRET_ACCESS_KEY": "test"}
        run = partial(robotd, folder=tmp_path, more={"ROBOTD_AWS__ENDPOINT_URL": url, **keys})
        missing, created = run("queues"), run("queues", "ensure", "--json")
        unchanged, shown = run("queues", "ensure"), run("queues", "--json")
    assert (missing.returncode, created.returncode, unchanged.returncode, shown.returncode) == (1, 0, 0, 0)
    assert "missing" in missing.stdout
    assert "robotd queues ensure" in missing.stdout
    names = [line.removeprefix("created ") for line in told(created)]
    assert set(names) == {
        "robotd-commands",
        "robotd-commands-dlq",
        "status-queue-robotd",
        "status-queue-robotd-dlq",
        "robotd-timers-dlq",
    }
    assert "as it should be" in unchanged.stdout
    assert {row["name"]: row["ready"] for row in told(shown)} == dict.fromkeys(names, 0)


def test_sqs_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    """A refused connection ends as exit code 1 and a sentence, not as a traceback."""
    keys = {"ROBOTD_AWS__ACCESS_KEY_ID": "test", "ROBOTD_AWS__SECRET_ACCESS_KEY": "test"}
    answer = robotd("queues", folder=tmp_path, more={"ROBOTD_AWS__ENDPOINT_URL": "http://127.0.0.1:1", **keys})
    assert answer.returncode == 1
    assert answer.stderr.startswith("robotd: sqs: ")
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("status-check.create", "-f", "robotId=1", "-f", "bogus=2"), ("stepId: Field required", "bogus: Extra")),
        (("status-check.nonsense",), ("unknown type", "status-check.create")),
        ((), ("no TYPE is named", "status-check.create")),
        (("status-check.get", "-f", "robotId"), ("expected NAME=VALUE",)),
        (("status-check.get", "--file", "not-there.json"), ("not-there.json", "No such file")),
    ],
)
def test_a_wrong_command_is_not_sent(tmp_path: Path, arguments: tuple[str, ...], words: tuple[str, ...]) -> None:
    """Exit code 2 with everything that is wrong, before SQS is asked."""
    refused = robotd("send", *arguments, folder=tmp_path)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.count("\n") == 1
    for word in words:
        assert word in refused.stderr


def test_a_program_gets_its_refusal_as_json(tmp_path: Path) -> None:
    """With `--json` the sentence and the exit code stand on stdout, and nothing on stderr."""
    refused = robotd("send", "status-check.get", "-f", "robotId=1", "--json", folder=tmp_path)
    assert (refused.returncode, refused.stderr) == (2, "")
    assert told(refused)["exitCode"] == 2
    assert "statusCheckId: Field required" in told(refused)["error"]


@pytest.mark.parametrize("command_type", sorted(COMMANDS))
def test_each_command_has_an_example(command_type: str) -> None:
    """What `--example` prints is accepted by the model that the daemon reads it with."""
    COMMANDS[command_type].model_validate(example_of(command_type))


def test_an_example_can_be_sent_as_it_is(ready: Neighbours) -> None:
    """`--file` takes what `--example` printed, with its id, but not as another type."""
    example = ready.robotd("send", "status-check.cancel", "--example")
    assert example.returncode == 0, example.stderr
    (ready.folder / "example.json").write_text(example.stdout)
    sent = ready.robotd("send", "--file", "example.json", "--json")
    assert sent.returncode == 0, sent.stderr
    assert told(sent)["sent"] == told(example)["id"]
    assert told(sent)["callRef"] == told(example)["callref"]
    wrong = ready.robotd("send", "status-check.create", "--file", "example.json")
    assert (wrong.returncode, "status-check.cancel" in wrong.stderr) == (2, True)


def test_a_robot_gets_its_answers_from_a_running_daemon(ready: Neighbours) -> None:
    """A check is created, a sensor reports, the robot is told PASS, a foreign robot nothing; SIGTERM ends it with 0."""
    with daemon(ready) as running:
        created = ready.robotd(*CREATE, "-f", "stepId=88120", *PLANNED, "--wait", "30", "--json")
        assert created.returncode == 0, created.stderr
        answer = told(created)["answer"]
        assert (answer["type"], answer["payload"]["result"]) == ("status-check.changed", "PENDING")
        check = f"statusCheckId={answer['payload']['id']}"
        ready.report(61001, "TOILET_ACTIVITY")
        line_with(running, '"outbox.published"')
        found = ready.robotd("send", "status-check.get", "-f", "robotId=61001", "-f", check, "--wait", "30", "--json")
        assert told(found)["answer"]["payload"]["result"] == "PASS"
        other = ready.robotd("send", "status-check.get", "-f", "robotId=61002", "-f", check, "--wait", "2")
        assert (other.returncode, "no answer within 2 s" in other.stdout) == (1, True)
        running.send_signal(signal.SIGTERM)
        rest = running.communicate(timeout=BOUND_S)[0].decode()
    assert running.returncode == 0
    assert '"ending":"CLEAN"' in rest


def test_a_sender_finds_the_answer_in_the_reply_queue_that_it_names(ready: Neighbours) -> None:
    """`--wait` looks there; a queue that is not allowed gives no answer in time."""
    ask = ("send", "opt-out.add", "-f", "phoneNumber=+999000000001", "--json")
    allowed = {"ROBOTD_QUEUES__REPLY_QUEUES": "answers", "ROBOTD_QUEUES__CREATE_ROBOT_QUEUES": "true"}
    with daemon(replace(ready, variables={**ready.variables, **allowed})):
        answered = ready.robotd(*ask, "-f", "replyTo=answers", "--wait", "30")
        assert answered.returncode == 0, answered.stderr
        answer = told(answered)["answer"]
        assert (answer["type"], answer["to"]) == ("opt-out.added", {"queue": "answers"})
        refused = ready.robotd(*ask, "-f", "replyTo=other", "--wait", "2")
        assert (refused.returncode, told(refused)["answer"]) == (1, None)


def test_a_stop_waits_for_a_long_poll_only(ready: Neighbours) -> None:
    """With nothing in hand SIGINT ends the process as SIGTERM does, soon after the poll that is under way."""
    with daemon(ready) as running:
        began_s = time.monotonic()
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=BOUND_S)
    assert running.returncode == 0
    assert time.monotonic() - began_s < 15


def test_the_demo_tells_the_day_as_json(tmp_path: Path) -> None:
    """Only JSON on stdout: four questions with PASS, PASS, PASS, FAIL, a dead letter, a restart, and nothing wrong."""
    played = robotd("demo", "--json", folder=ROOT)
    assert played.returncode == 0, played.stderr
    day = told(played)
    assert day["wrong"] == []
    assert day["campaign"]["statuses"] == ["Completed"]
    texts = [line["text"] for line in day["story"]]
    verdicts = [word for text in texts for word in ("PASS", "FAIL") if text.startswith("tells") and word in text]
    assert verdicts == ["PASS", "PASS", "PASS", "FAIL"]
    assert sum(text.startswith("asks:") for text in texts) == 4
    assert any("dead-letter queue, with the reason: not JSON" in text for text in texts)
    assert "is back, and goes on where it was" in texts
    assert list(tmp_path.iterdir()) == []
    assert [line["at"] for line in day["story"]] == sorted(line["at"] for line in day["story"])
