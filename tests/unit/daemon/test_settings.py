import re
import secrets
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from daemon.settings import LoadedSettings, Settings, load_settings
from daemon.settings_sources import SettingsError, leaves, variable
from daemon.settings_values import MysqlServer, SqliteFile, read_queue_names
from domain.errors import ConfigError

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "robotd.example.yaml"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(config: Path | None = None, /, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_settings(config, environ)
    assert isinstance(caught.value, SettingsError)
    return [str(problem) for problem in caught.value.problems]


def written(text: str, name: str = "robotd.yaml") -> Path:
    file = Path(name)
    file.write_text(text, encoding="utf-8")
    return file


def secret_folder(**files: str) -> str:
    folder = Path("secrets")
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return str(folder)


def test_no_configuration_at_all_gives_the_defaults() -> None:
    """Without any source every setting has its default, and says so."""
    loaded = load_settings(None, {})
    assert loaded.settings == Settings()
    assert {origin.kind for origin in loaded.origins.values()} == {"default"}
    assert loaded.settings.environment == "production"
    assert loaded.settings.aws.secret_access_key is None


def test_each_source_overrules_the_weaker_ones() -> None:
    """Environment beats secret file beats YAML beats default, each value on its own."""
    written("consumer:\n  wait_s: 5\n  max_attempts: 3\n  max_in_flight: 9\n")
    folder = secret_folder(consumer__max_attempts="4\n", **{"consumer.max_in_flight": "10"})
    loaded = load_settings(None, {"ROBOTD_SECRETS_DIR": folder, "ROBOTD_CONSUMER__MAX_IN_FLIGHT": "11"})
    consumer = loaded.settings.consumer
    assert (consumer.handler_timeout_s, consumer.wait_s, consumer.max_attempts, consumer.max_in_flight) == (
        30,
        5,
        4,
        11,
    )
    assert origins(loaded, "handler_timeout_s", "wait_s", "max_attempts", "max_in_flight") == [
        ("default", "default"),
        ("file", "robotd.yaml:2:11"),
        ("secret", "secrets/consumer__max_attempts"),
        ("environment", "ROBOTD_CONSUMER__MAX_IN_FLIGHT"),
    ]


def origins(loaded: LoadedSettings, *names: str) -> list[tuple[str, str]]:
    found = [loaded.origins[f"consumer.{name}"] for name in names]
    return [(origin.kind, origin.where) for origin in found]


def test_the_named_file_is_read_instead_of_the_default_one() -> None:
    """--config beats ROBOTD_CONFIG, which beats ./robotd.yaml; files are not mixed."""
    written("service_name: first\n")
    second = written("service_name: second\n", "second.yaml")
    third = written("service_name: third\n", "third.yaml")
    assert load_settings(None, {}).settings.service_name == "first"
    assert load_settings(None, {"ROBOTD_CONFIG": str(second)}).settings.service_name == "second"
    assert load_settings(third, {"ROBOTD_CONFIG": str(second)}).settings.service_name == "third"


def test_every_problem_is_told_at_once_with_its_place() -> None:
    """Wrong values, unknown keys, unknown variables and disagreements come in one error."""
    written("consumer:\n  wait_s: 25\n  wiat_s: 3\nrelay:\n  backoff: 1\ntimers: 5\nqueues:\n  events:\n    - a\n")
    told = refused(ROBOTD_LOG__LEVL="x", ROBOTD_DRAIN_TIMEOUT_S="soon", ROBOTD_AWS__ACCESS_KEY_ID="k")
    assert len(told) == 8, told
    assert told[0].startswith("consumer.wiat_s (robotd.yaml:3:11): unknown setting. Did you mean consumer.wait_s?")
    assert any(line.startswith("relay.backoff (robotd.yaml:5:12): unknown setting.") for line in told)
    assert "timers (robotd.yaml:6:9): is a section, not a single value." in told
    assert any(line.startswith("queues.events (robotd.yaml:8:3): is a single value") for line in told)
    assert "ROBOTD_LOG__LEVL: unknown variable. Did you mean ROBOTD_LOG__LEVEL?" in told
    assert any(
        line.startswith("consumer.wait_s (robotd.yaml:2:11): should be less") and "got 25" in line for line in told
    )
    assert any(line.startswith("drain_timeout_s (ROBOTD_DRAIN_TIMEOUT_S)") and "got 'soon'" in line for line in told)
    assert any(
        line.startswith("aws.access_key_id, aws.secret_access_key (ROBOTD_AWS__ACCESS_KEY_ID, default)")
        for line in told
    )


def test_the_error_reads_as_one_text() -> None:
    """The text of the error holds a headline and one line for each problem."""
    with pytest.raises(SettingsError) as caught:
        load_settings(None, {"ROBOTD_NOPE": "1"})
    assert str(caught.value).split("\n") == ["1 problem in the configuration:", "  ROBOTD_NOPE: unknown variable."]


@pytest.mark.parametrize(
    ("environ", "about"),
    [
        ({"ROBOTD_DRAIN_TIMEOUT_S": "14.9"}, "a long poll is never cut off"),
        ({"ROBOTD_CONSUMER__VISIBILITY_TIMEOUT_S": "15"}, "others see a delivery"),
        ({"ROBOTD_CONSUMER__STALLED_AFTER_S": "24"}, "looks like a stall"),
        ({"ROBOTD_CONSUMER__BACKOFF_FIRST_S": "301"}, "longer than the cap"),
        ({"ROBOTD_RELAY__MISSING_QUEUE_BACKOFF_CAP_S": "4"}, "longer than the cap"),
        ({"ROBOTD_QUEUES__MAX_RECEIVE_COUNT": "8"}, "before robotd can say why"),
        ({"ROBOTD_QUEUES__EVENTS": "events"}, "sends its events elsewhere"),
        ({"ROBOTD_QUEUES__CREATE_ROBOT_QUEUES": "true"}, "not created in production"),
        ({"ROBOTD_QUEUES__COMMANDS": "status-queue-robotd"}, "two purposes share one queue"),
        ({"ROBOTD_QUEUES__TIMERS_DEAD_LETTER": "robotd-commands-dlq"}, "two purposes share one queue"),
        ({"ROBOTD_QUEUES__COMMANDS": "c" * 77}, "at most 80 characters"),
        ({"ROBOTD_AWS__SECRET_ACCESS_KEY": "x"}, "set together"),
    ],
)
def test_settings_that_disagree_are_refused_with_the_reason(environ: dict[str, str], about: str) -> None:
    """Two settings that are each right may still be wrong together; the message says why."""
    assert [about in line for line in refused(**environ)] == [True]


def test_a_disagreement_is_found_although_something_else_is_wrong() -> None:
    """A wrong value elsewhere does not hide that two others disagree."""
    told = refused(ROBOTD_LOG__LEVEL="loud", ROBOTD_DRAIN_TIMEOUT_S="6", ROBOTD_CONSUMER__STALLED_AFTER_S="21")
    assert len(told) == 3, told
    assert ["stalled_after_s" in told[0], "log.level" in told[1], "drain_timeout_s" in told[2]] == [True] * 3


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS__REGION", "Frankfurt"),
        ("AWS__ENDPOINT_URL", "localhost:4566"),
        ("QUEUES__COMMANDS", "a queue"),
        ("QUEUES__ROBOT_PREFIX", "robot queue"),
        ("QUEUES__ROBOT_PREFIX", "ftp://queues/robot-"),
        ("CONSUMER__WAIT_S", "21"),
        ("CONSUMER__WAIT_S", "1.5"),
        ("CONSUMER__HANDLER_TIMEOUT_S", "nan"),
        ("CONSUMER__BACKOFF_CAP_S", "43201"),
        ("RELAY__WORKERS", "0"),
        ("DATABASE__URL", "postgres://robotd@db/robotd"),
        ("DATABASE__URL", "sqlite:///:memory:"),
        ("DATABASE__URL", "sqlite://robotd.db"),
        ("DATABASE__URL", "mysql://db/robotd"),
        ("DATABASE__URL", "mysql://robotd@db:99999/robotd"),
        ("DATABASE__URL", "mysql://robotd@db"),
        ("DATABASE__URL", "mysql://robotd@db/robotd?charset=latin1"),
        ("MEGAZORD__BASE_URL", "megazord"),
        ("MEGAZORD__BASE_URL", "http://megazord/?a=b"),
        ("TEMPLATES__FOLDER", "nowhere"),
        ("TEMPLATES__TIME_ZONE", "Mars/Olympus"),
        ("TEMPLATES__TIME_ZONE", "Europe"),
        ("RETENTION__INBOX_DAYS", "14"),
        ("LOG__FORMAT", "xml"),
        ("ENVIRONMENT", "prod"),
    ],
)
def test_a_value_out_of_its_bounds_is_refused_by_its_path(name: str, value: str) -> None:
    """Each bad value is told with its path, its variable, and the value as it was given."""
    path = name.lower().replace("__", ".")
    told = refused(**{f"ROBOTD_{name}": value})
    assert [line.startswith(f"{path} (ROBOTD_{name}): ") and f"got {value!r}" in line for line in told] == [True]


def test_no_secret_is_ever_shown() -> None:
    """Passwords stay hidden in errors and reprs, wherever they were put, even in the wrong place."""
    word = secrets.token_urlsafe(12)
    told = refused(
        ROBOTD_DATABASE__URL=f"mysql://robotd:{word}@db/robotd",
        ROBOTD_MEGAZORD__BASE_URL=f"http://me:{word}@megazord",
        ROBOTD_DATABASE__PASSWRD=word,
    )
    assert len(told) == 3
    assert not any(word in line for line in told)
    assert any("set it as database.password" in line for line in told)
    loaded = load_settings(None, {"ROBOTD_DATABASE__PASSWORD": word})
    assert loaded.settings.database.password == SecretStr(word)
    assert word not in repr(loaded)


def test_a_secret_that_yaml_cant_read_is_not_quoted() -> None:
    """The strict reader quotes what it refuses; on the line of a secret the value is left out."""
    word = f"9{secrets.token_hex(8)}x"
    told = refused(written(f"database:\n  password: {word}\n"))
    assert len(told) == 1
    assert "robotd.yaml:2:13" in told[0]
    assert word not in told[0]


def test_yaml_is_read_strictly() -> None:
    """Duplicate keys and values of two meanings are problems with their line, not surprises."""
    told = refused(written("consumer:\n  wait_s: 5\n  wait_s: 6\nlog:\n  level: on\n  format: 12:30\n"))
    assert [line.split(": ")[0] for line in told] == ["robotd.yaml:3:3", "robotd.yaml:5:10", "robotd.yaml:6:11"]


def test_true_is_not_a_number() -> None:
    """A switch where a number belongs is refused instead of read as 1."""
    assert "expected a number" in refused(written("relay:\n  workers: true\n"))[0]


def test_a_section_with_everything_commented_out_is_empty() -> None:
    """The usual state of an edited example file is no mistake."""
    assert load_settings(written("consumer:\n  # wait_s: 3\n"), {}).settings == Settings()


@pytest.mark.parametrize("name", ["missing.yaml", "."])
def test_a_named_file_that_cant_be_read_is_a_problem(name: str) -> None:
    """A file that was asked for must be there."""
    assert refused(Path(name))[0].startswith(f"{name}: can't be read: ")
    assert refused(ROBOTD_CONFIG=name)[0].startswith(f"{name}: can't be read: ")


def test_the_folder_of_secrets_is_read_as_containers_mount_it() -> None:
    """Hidden entries and folders are skipped, one newline at the end is no part of the secret."""
    folder = Path(secret_folder(database__password="it\n", **{"..data": "x", ".hidden": "x"}))  # noqa: S106  no password
    (folder / "inner").mkdir()
    settings = load_settings(None, {"ROBOTD_SECRETS_DIR": str(folder)}).settings
    assert settings.database.password == SecretStr("it")


def test_mistakes_in_the_folder_of_secrets_are_told() -> None:
    """Unknown, empty, doubled and unreadable secret files are problems."""
    folder = secret_folder(database__pasword="x", aws__access_key_id="", service_name="a")  # noqa: S106  no password
    (Path(folder) / "database.password").write_bytes(b"\xff")
    (Path(folder) / "log.level").write_text("info", encoding="utf-8")
    (Path(folder) / "log__level").write_text("info", encoding="utf-8")
    told = refused(ROBOTD_SECRETS_DIR=folder)
    assert told == [
        "aws.access_key_id (secrets/aws__access_key_id): the file is empty.",
        "secrets/database.password: can't be read: not UTF-8 text.",
        "secrets/database__pasword: unknown secret. Did you mean database.password?",
        "log.level (secrets/log__level): set by two files of the folder.",
    ]
    assert refused(ROBOTD_SECRETS_DIR="nowhere")[0].startswith("nowhere: can't be read: ")


def test_an_empty_variable_counts_as_unset() -> None:
    """Compose files hand on unset variables as empty ones."""
    environ = {"ROBOTD_LOG__LEVEL": "", "ROBOTD_CONFIG": "", "ROBOTD_SECRETS_DIR": ""}
    assert load_settings(None, environ).settings == Settings()


def test_variables_of_a_cluster_and_of_others_are_passed_over() -> None:
    """A cluster sets variables for a service called robotd; they are none of our mistakes."""
    environ = {
        "ROBOTD_SERVICE_HOST": "10.0.0.1",
        "ROBOTD_SERVICE_PORT_OPS": "8080",
        "ROBOTD_PORT": "tcp://10.0.0.1:8080",
        "ROBOTD_OPS_PORT_8080_TCP_ADDR": "10.0.0.1",
        "HOME": "/",
    }
    assert load_settings(None, environ).settings == Settings()


def test_a_variable_in_small_letters_is_not_overlooked() -> None:
    """The capitals matter, and the message shows the right spelling."""
    assert refused(ROBOTD_log__level="info") == ["ROBOTD_log__level: unknown variable. Did you mean ROBOTD_LOG__LEVEL?"]


def test_database_urls_are_taken_apart() -> None:
    """The url becomes a file, or a server with its user, name and socket."""
    urls = ["sqlite:///robotd.db", "sqlite:////var/lib/robotd.db", "mysql://me@db/robots?unix_socket=/run/db.sock"]
    assert [Settings.model_validate({"database": {"url": url}}).database.target for url in urls] == [
        SqliteFile(Path("robotd.db")),
        SqliteFile(Path("/var/lib/robotd.db")),
        MysqlServer("db", 3306, "me", "robots", "/run/db.sock"),
    ]


def test_the_tree_is_frozen_and_closed() -> None:
    """Nobody changes a setting later, and nobody adds one that no source knows."""
    settings = Settings()
    with pytest.raises(ValidationError):
        settings.consumer.wait_s = 3  # type: ignore[misc]  # what is proved here
    with pytest.raises(ValidationError):
        Settings.model_validate({"nope": 1})


def test_settings_built_by_hand_take_nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's settings do not depend on the shell that it runs in."""
    monkeypatch.setenv("ROBOTD_SERVICE_NAME", "other")
    monkeypatch.setenv("SERVICE_NAME", "other")
    assert Settings().service_name == "robotd"
    assert load_settings().settings.service_name == "other"


def test_the_example_file_is_right_as_it_is() -> None:
    """The file that we tell people to copy loads without a problem."""
    assert load_settings(EXAMPLE, {}).settings.environment == "development"


def test_the_example_file_is_right_with_every_line_in_use() -> None:
    """What stands behind the comment signs is the default, and no setting but the secrets is left out."""
    text = re.sub(r"^( *)# ([a-z_]+: )", r"\1\2", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    Path("templates").mkdir()
    Path("monitors.yaml").touch()
    Path("media").mkdir()
    loaded = load_settings(written(text), {})
    missing = {path for path, origin in loaded.origins.items() if origin.kind == "default"}
    aws = {"aws.access_key_id", "aws.secret_access_key"}
    waha = {"waha.api_key", "waha.webhook_key", "waha.events_queue"}  # which is nothing without its secret
    mail = {"mail.imap_password", "mail.canary_password", "mail.imap_authority"}
    mailwizz = {"mailwizz.database_password", "mailwizz.password_key"}
    assert missing == {*aws, *waha, *mail, *mailwizz, "database.password", "slack.webhook_url", "ops.viewer_token"}
    defaults = Settings().campaigns.model_dump()
    unset = {name for name, value in defaults.items() if value is None}
    assert loaded.settings.campaigns.model_dump(exclude=unset) == Settings().campaigns.model_dump(exclude=unset)
    for section in (
        "mailwizz",
        "server_tests",
        "mail",
        "ops",
        "traces",
    ):  # those that have a default stand there with it
        own = getattr(Settings(), section).model_dump()
        empty = {name for name, value in own.items() if value in (None, "")}
        example = getattr(loaded.settings, section).model_dump(exclude=empty)
        assert example == {name: value for name, value in own.items() if name not in empty}
    changed = {
        "environment",
        "aws",
        "templates",
        "edge",
        "monitors",
        "waha",
        "campaigns",
        "mailwizz",
        "server_tests",
        "mail",
        "ops",
        "traces",
    }
    assert loaded.settings.model_dump(exclude=changed) == Settings().model_dump(exclude=changed)


def test_no_two_settings_share_a_variable() -> None:
    """A path and its variable stand for each other."""
    paths = list(leaves(Settings))
    assert len({variable(path) for path in paths}) == len(paths)


def test_only_the_settings_read_the_environment() -> None:
    """No module asks for a variable by name; the entry point may hand the whole environment to the settings."""
    holders = set()
    for room in ("domain", "handlers", "daemon"):
        for file in (ROOT / room).rglob("*.py"):
            source = file.read_text(encoding="utf-8")
            assert not re.search(r"getenv|environb|os\.environ\s*[.\[]|from os import[^\n]*environ", source), file
            holders |= {file.relative_to(ROOT).as_posix()} if "os.environ" in source else set()
    assert holders <= {"daemon/settings.py", "daemon/cli.py", "daemon/healthcheck.py"}  # the last loads no settings


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ("answers, billing-answers", ""),
        (" ", ""),
        ("answers,", "names of queues with commas"),
        ("https://sqs/answers", "names of queues with commas"),
        ("answers, robotd-commands", "robotd-commands is one of robotd's own queues"),
        ("status-queue-robotd-dlq", "one of robotd's own queues"),
        ("robotd-timers-dlq", "one of robotd's own queues"),
        ("robot-queue-61001", "or a robot's"),
    ],
)
def test_answers_go_to_queues_of_others(names: str, problem: str) -> None:
    """Names with commas between them; no queue that robotd reads or buries in, and none of a robot."""
    if not problem:
        loaded = load_settings(None, {"ROBOTD_QUEUES__REPLY_QUEUES": names})
        assert read_queue_names(loaded.settings.queues.reply_queues) == set(re.findall("[a-z-]+", names))
        return
    (told,) = refused(ROBOTD_QUEUES__REPLY_QUEUES=names)
    assert problem in told


def test_a_prefix_that_is_a_url_hides_no_robot_from_the_check() -> None:
    """The end of the URL is where robots' names begin."""
    robots = {"ROBOTD_QUEUES__ROBOT_PREFIX": "https://sqs.example.com/1/robot-"}
    (told,) = refused(ROBOTD_QUEUES__REPLY_QUEUES="robot-7", **robots)
    assert "or a robot's" in told
    assert load_settings(None, {"ROBOTD_QUEUES__REPLY_QUEUES": "answers", **robots}).settings.queues.reply_queues
