"""The documents say what the code says: each name in them exists, and each name that users meet is in them."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest

from daemon.log import LogEvent
from daemon.probe import POINTS
from daemon.settings import Settings
from daemon.settings_sources import dotted, leaves, variable
from domain.errors import MessageError, RuleViolation
from domain.messages import COMMANDS
from domain.number import NumberRules
from domain.server_test import StepId
from handlers.campaign_sending import CampaignSending
from handlers.campaigns import CampaignHandlers
from handlers.monitors import MonitorHandlers
from handlers.routes import Families, routes
from handlers.status_checks import StatusCheckHandlers
from handlers.subscriptions import SubscriptionHandlers

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md")))
DECISIONS = sorted((DOCS / "adr").glob("*.md"))
MAX_WORDS = 200
FAULTS = [
    "closed port",
    "silent banner",
    "421",
    "no STARTTLS",
    "expired cert",
    "wrong TLS mode",
    "535",
    "454",
    "554 relay",
    "451 then 250",
    "accepted-never-delivered",
    "30 s late",
    "broken DKIM",
    "unsigned",
    "SPF fail",
    "rewritten From",
    "no Sender",
    "other server_id in the log",
    "forged A-R",
    "no DSN",
    "mailbox down",
    "MySQL killed mid-run",
    "lock held",
    "config changed mid-run",
    "same-second tie",
    "+05:30 session",
    "promotion error",
    "in-use row",
    "unknown id",
    "10 servers failing at once",
    "restart in T7",
    "duplicate SQS delivery",
]
LINK = re.compile(r"\]\(([^)#\s]+)")
QUOTED = re.compile(r"`([^`\n]+)`")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*(?:\(.*\))?")
FILE = re.compile(r"(?:[\w-]+/)+[\w.-]*|[\w-]+\.(?:py|yaml|md|toml)")


def page(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def code() -> str:
    rooms = ("domain", "handlers", "daemon")
    files = [file for room in rooms for kind in ("*.py", "*.sql") for file in sorted((ROOT / room).rglob(kind))]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


@cache
def words() -> frozenset[str]:
    return frozenset(re.findall(r"[A-Za-z_][A-Za-z0-9_-]*", code()))


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one."""
    body = text.split(f"{heading}\n", 1)[1]
    return re.split(r"^#+ ", body, maxsplit=1, flags=re.MULTILINE)[0]


def constants(node: ast.AST) -> Iterator[str]:
    for found in ast.walk(node):
        if isinstance(found, ast.Constant) and isinstance(found.value, str):
            yield found.value


def error_kinds() -> set[str]:
    """Each kind that some error or rejection of the code has."""
    kinds = {MessageError().kind, RuleViolation().kind}
    for call in (node for node in ast.walk(ast.parse(code_of_python())) if isinstance(node, ast.Call)):
        name = call.func.id if isinstance(call.func, ast.Name) else ""
        if name == "Reject" and len(call.args) == 2:
            kinds |= set(constants(call.args[1]))
        kinds |= {word for given in call.keywords if given.arg == "kind" for word in constants(given.value)}
    assigned = re.findall(r'\bkind = ("[a-z-]+" if .*)', code_of_python())
    return kinds | {word for line in assigned for word in re.findall(r'"([a-z]+(?:-[a-z]+)+)"', line)}


@cache
def code_of_python() -> str:
    files = [file for room in ("domain", "handlers", "daemon") for file in sorted((ROOT / room).rglob("*.py"))]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)


def test_every_type_is_documented() -> None:
    """Each type that robotd handles is in the README, and each command in the changelog."""
    nobody = cast("Any", None)
    checks, monitors = StatusCheckHandlers(nobody, nobody, nobody), MonitorHandlers(nobody, nobody)
    campaigns = CampaignHandlers(nobody, nobody, NumberRules())
    sending = CampaignSending(nobody, nobody, NumberRules(), nobody)
    families = Families(checks, SubscriptionHandlers(nobody, ()), monitors, campaigns, sending)
    for message_type in routes(families):
        assert f"`{message_type}`" in page("README.md"), message_type
    for command in COMMANDS:
        assert f"`{command}`" in page("CHANGELOG.md"), command


def test_every_log_event_is_documented() -> None:
    """operations.md has each name of the list, and no other."""
    operations = page("docs/operations.md")
    told = set(QUOTED.findall(section(operations, "## Log events")))
    told |= set(QUOTED.findall(section(operations, "### Names that nothing logs yet")))
    names = {event.value for event in LogEvent}
    assert names - told == set()
    families = {name.partition(".")[0] for name in names}
    settings = {dotted(path) for path in leaves(Settings)}
    events = {word for word in told if re.fullmatch(r"[a-z]+\.[a-z_]+", word) and word.partition(".")[0] in families}
    assert events - settings - names == set()


def test_what_nothing_logs_is_said_to_be_so() -> None:
    """A name under that heading stands nowhere in the code but in the list, and all such names are there."""
    unused = {event.value for event in LogEvent if f"LogEvent.{event.name}" not in code_of_python()}
    told = set(QUOTED.findall(section(page("docs/operations.md"), "### Names that nothing logs yet")))
    assert told == unused


def test_every_error_kind_is_documented() -> None:
    """operations.md explains each kind that a dead letter can have, and no other."""
    rows = [line for line in page("docs/operations.md").splitlines() if line.startswith("| `")]
    first = {word for line in rows for word in QUOTED.findall(line.split("|")[1])}
    kinds = error_kinds()
    assert len(kinds) > 15
    assert kinds - first == set()
    listed = section(page("docs/operations.md"), "## Dead letters").split("| errorKind |", 1)[1]
    told = {word for line in listed.splitlines() for word in QUOTED.findall(line.split("|")[1] if "|" in line else "")}
    assert told == kinds


def test_every_attribute_of_a_dead_letter_is_documented() -> None:
    """operations.md names what robotd writes beside a dead letter's body."""
    source = page("daemon/dead_letters.py")
    written = set(re.findall(r'"([a-z]+(?:[A-Z][a-z]+)+|handler|attempts)"', source))
    assert {name for name in written if f"`{name}`" not in page("docs/operations.md")} == set()


def test_every_crash_point_is_documented() -> None:
    """ARCHITECTURE.md says of each point what a crash there leaves."""
    told = QUOTED.findall(section(page("docs/ARCHITECTURE.md"), "## What a crash leaves"))
    assert set(POINTS) <= set(told)


def test_every_table_is_documented() -> None:
    """ARCHITECTURE.md has exactly the tables that the migrations make."""
    made = set(re.findall(r"CREATE TABLE IF NOT EXISTS (\w+)", code()))
    rows = [line for line in section(page("docs/ARCHITECTURE.md"), "## Tables").splitlines() if line.startswith("| `")]
    assert {word for line in rows for word in QUOTED.findall(line.split("|")[1])} == made


@cache
def names_of_tests() -> frozenset[str]:
    """Every test of the tree, and every property."""
    files = (ROOT / "tests").rglob("test_*.py")
    return frozenset(
        name for file in files for name in re.findall(r"def (test_[a-z0-9_]+)", file.read_text(encoding="utf-8"))
    )


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_a_test_that_a_document_names_is_there(file: Path) -> None:
    """A promise is proven by a test that exists."""
    named = re.findall(r"`(test_[a-z0-9_]+)`", file.read_text(encoding="utf-8"))
    assert [name for name in named if name not in names_of_tests()] == []


@pytest.mark.parametrize(
    "name",
    [
        "docs/ARCHITECTURE.md",
        "docs/GLOSSARY.md",
        "docs/from-azi-3.md",
        "docs/from-campaign-runner.md",
        "docs/from-server-tester.md",
    ],
)
def test_the_names_in_the_documents_exist(name: str) -> None:
    """What stands in code quotes is a file of the tree or a word of the code."""
    types = {f"{event.value}" for event in LogEvent} | set(COMMANDS) | {"status-check.end", "subscription.release"}
    unknown = []
    for quoted in QUOTED.findall(page(name)):
        if quoted in types or quoted in names_of_tests() or quoted.startswith("make "):
            continue
        if FILE.fullmatch(quoted):
            places = (ROOT, ROOT / "daemon", DOCS, ROOT / "handlers")
            found = any((place / quoted).exists() for place in places)
        elif NAME.fullmatch(quoted):
            found = all(part in words() for part in quoted.partition("(")[0].split("."))
        else:
            found = all(part in words() for part in re.findall(r"[A-Za-z_][A-Za-z0-9_-]*", quoted))
        if not found:
            unknown.append(quoted)
    assert unknown == []


@pytest.mark.parametrize(
    ("heading", "first"),
    [
        ("## The steps", [step.value for step in StepId]),
        ("## Their 19 bugs", [str(number) for number in range(1, 20)]),
        ("## The fault matrix", FAULTS),
    ],
)
def test_no_step_bug_or_fault_of_a_server_is_left_without_a_test(heading: str, first: list[str]) -> None:
    """Each is a row of its own in from-server-tester.md, in whatever order, and its row names a test."""
    lines = section(page("docs/from-server-tester.md"), heading).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")][1:]
    begun = [row[0].partition(" ")[0] if heading == "## The steps" else row[0] for row in rows]
    assert sorted(begun) == sorted(first)
    assert [row[0] for row in rows if not re.findall(r"`(test_[a-z0-9_]+)`", row[-1])] == []


@pytest.mark.parametrize("heading", ["## The plan (000, auto-run strategy)", "## What their code did besides"])
def test_no_promise_of_the_tester_is_left_without_a_test(heading: str) -> None:
    """The third column of each row names one."""
    lines = section(page("docs/from-server-tester.md"), heading).splitlines()
    rows = [line for line in lines if line.startswith("| ")][1:]
    assert len(rows) > 10
    assert [row for row in rows if "`test_" not in row.split("|")[3]] == []


def test_the_settings_in_the_documents_exist() -> None:
    """Whatever looks like a setting or its variable is one."""
    settings = {dotted(path): variable(path) for path in leaves(Settings)}
    sections = {name.partition(".")[0] for name in settings if "." in name}
    special = {"ROBOTD_CONFIG", "ROBOTD_SECRETS_DIR", "ROBOTD_SERVICE_HOST", "ROBOTD_PORT", "ROBOTD_"}
    others = {*(event.value for event in LogEvent), "megazord.event", "waha.event"}
    for file in PAGES:
        text = file.read_text(encoding="utf-8")
        for quoted in QUOTED.findall(text):
            if (
                re.fullmatch(r"[a-z_]+\.[a-z_]+", quoted)
                and quoted.partition(".")[0] in sections
                and quoted not in others
            ):
                assert quoted in settings, (file.name, quoted)
        assert set(re.findall(r"ROBOTD_[A-Z_]*", text)) <= {*settings.values(), *special}, file.name


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_no_link_is_broken(file: Path) -> None:
    """Each link to a file of the tree leads to one."""
    targets = [target for target in LINK.findall(file.read_text(encoding="utf-8")) if "://" not in target]
    assert [target for target in targets if not (file.parent / target).exists()] == []


@pytest.mark.parametrize("file", DECISIONS, ids=lambda file: file.stem)
def test_a_decision_is_short_and_whole(file: Path) -> None:
    """An ADR has a number, context, decision and consequences, in at most 200 words."""
    text = file.read_text(encoding="utf-8")
    assert text.startswith(f"# {int(file.stem[:4])}. ")
    assert re.findall(r"^## (.*)$", text, flags=re.MULTILINE) == ["Context", "Decision", "Consequences"]
    assert len(text.split()) <= MAX_WORDS


def test_decisions_are_numbered_without_gaps() -> None:
    """Each number is given once."""
    assert [int(file.stem[:4]) for file in DECISIONS] == list(range(1, len(DECISIONS) + 1))
