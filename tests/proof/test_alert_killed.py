"""A daemon is killed at every step of an alert, on both engines: it is told, twice at most, and then quiet."""

import secrets
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydantic import SecretStr

from daemon.clock import SystemClock
from daemon.settings_alerts import SlackSettings
from domain.alerts import Alert, alert_timer
from domain.wire import write_json
from localstack.slack import SlackSimulator
from tests.mariadb import MariaDb
from tests.proof.child import SIGKILL, Armed
from tests.proof.home import BOUND_S, Home, home
from tests.proof.nursery import Nursery, nursery, within

SQLITE, MARIADB = "sqlite", "mariadb"
ALERT = Alert("key", "Campaigns are paused", "the session is STOPPED", quiet_s=3_600)
# The first commit is the start's own. Told twice only where the post is over and its commit is not.
STEPS = [
    ("after_claim", 1, 1),
    ("before_upstream", 1, 1),
    ("after_upstream", 1, 2),
    ("after_handle", 1, 2),
    ("before_commit", 2, 2),
    ("after_commit", 2, 1),
    ("before_settle", 1, 1),
]
pytestmark = pytest.mark.xdist_group("alerts killed")


@pytest.fixture(params=[SQLITE, MARIADB])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """A fresh database on each engine."""
    if request.param == SQLITE:
        yield tmp_path / "robotd.db"
        return
    server: MariaDb = request.getfixturevalue("mariadb")
    address = server.new_database()
    yield address
    server.drop(address)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def children() -> AsyncIterator[Nursery]:
    """One nursery for all tests of this file."""
    async with nursery() as opened:
        yield opened


async def with_an_alert(opened: Home, slack: SlackSimulator) -> None:
    """The tables are made by a daemon that is stopped; then an alert is due."""
    url = SecretStr(slack.url)
    opened.settings = opened.settings.model_copy(update={"slack": SlackSettings(webhook_url=url)})
    first = await opened.start()
    first.signal(signal.SIGTERM)
    await within(BOUND_S, first.ended)
    timer = alert_timer(ALERT, round(time.time() * 1000))
    data = write_json(timer.data.model_dump(mode="json", by_alias=True))
    opened.tables.rows(
        "INSERT INTO timer (id, type, data, call_ref, due_at_ms, lease_owner, lease_until_ms, fence, claims) "  # noqa: S608  words of ours
        f"VALUES ('{timer.type}:{timer.key}', '{timer.type}', '{data}', NULL, 0, '', 0, 1, 0)"
    )


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("step", STEPS, ids=lambda step: f"{step[0]}-{step[1]}")
async def test_an_alert_is_told_although_the_daemon_is_killed(
    place: Any, tmp_path: Path, children: Nursery, step: tuple[str, int, int]
) -> None:
    """Never lost; twice only where it died between the post and its commit; its quiet time stands afterwards."""
    point, hit, told = step
    async with (
        SlackSimulator(SystemClock(), token=secrets.token_hex(12)) as slack,
        home(place, tmp_path / "home", children) as opened,
    ):
        await with_an_alert(opened, slack)
        killed = await opened.start(Armed(point, SIGKILL, hit))
        await within(BOUND_S, killed.ended)
        assert killed.code == -signal.SIGKILL
        await opened.settle(lambda: opened.tables.count("timer WHERE type = 'alert.quiet'") == 1)
        assert slack.texts == [":warning: *Campaigns are paused*\nthe session is STOPPED"] * told
        assert [timer["type"] for timer in opened.tables.dicts("timer")] == ["alert.quiet"]
        assert opened.dead_letters() == []
