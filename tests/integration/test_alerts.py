"""Alerts end to end on both engines: a real daemon, a Slack over HTTP that keeps what it was told, and its troubles."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs

from daemon.app import Outside, build
from daemon.cli_run import secrets_of
from daemon.clients.slack import HttpSlack, slack_text
from daemon.log_mask import Mask
from daemon.outbox import Addressing
from daemon.probe import unobserved
from daemon.settings import load_settings
from daemon.settings_report import as_json
from daemon.settings_sources import SettingsError
from daemon.store.database import Write
from daemon.store.ids import Ids
from daemon.store.rows import RowIds
from daemon.store.uow import SqlUnitOfWork, Surroundings
from domain.alerts import Alert, Severity, raise_alert
from domain.errors import RuleViolation, Unavailable
from localstack.clock import ManualClock
from localstack.faults import Fault, FaultKind
from localstack.slack import POST, SlackSimulator
from tests.mariadb import MariaDb
from tests.world import MORNING_MS, World, command, world

HOUR_MS = 3_600_000
ONE = Alert("one", "Campaigns are paused", "the session is STOPPED", fields=(("campaign", 7),))
QUIET = Alert("quiet", "Campaigns are paused", "the session is STOPPED", quiet_s=900)
ONE_TEXT = ":warning: *Campaigns are paused*\nthe session is STOPPED\ncampaign: 7"


@dataclass(frozen=True, slots=True)
class Told:
    """A world with a Slack."""

    home: World
    slack: SlackSimulator

    async def raise_(self, *alerts: Alert) -> None:
        """Raise alerts as a handler would, each in a transaction of its own."""
        for alert in alerts:
            work = self._work()
            await raise_alert(alert, work)
            await work.commit([])

    def _work(self) -> SqlUnitOfWork:
        around = Surroundings(
            database=self.home.database,
            ids=Ids(self.home.database),
            rows=RowIds(),
            addressing=Addressing("robot-queue-", "robotd", "host"),
            claim_ms=30_000,
            handed_on=lambda _committed: None,
            probe=unobserved,
        )
        return SqlUnitOfWork(around, "test", "t", None, self.home.clock.now_ms(), 0)

    async def later(self, seconds: int) -> None:
        await self.home.pass_time(self.home.clock.now_ms() + seconds * 1000)

    async def notes(self) -> list[tuple[str, str]]:
        """What the journal says of posts, in its order."""
        sql = "SELECT outcome, reason FROM journal WHERE type = 'alert.post' ORDER BY at_ms, id"
        return [(str(row[0]), str(row[1])) for row in await self.home.database.fetch(sql)]


Opens = Callable[..., AbstractAsyncContextManager[Told]]


@pytest.fixture(params=["sqlite", "mariadb"])
async def opens(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opens]:
    """Opens a world with a Slack, on each engine."""
    server: MariaDb | None = None if request.param == "sqlite" else request.getfixturevalue("mariadb")
    address = None if server is None else server.new_database()
    place = tmp_path / "robotd.db" if address is None else address

    @asynccontextmanager
    async def opened(timeout_s: float = 5.0, *, knows_slack: bool = True) -> AsyncIterator[Told]:
        clock = ManualClock(MORNING_MS)
        async with SlackSimulator(clock, token=secrets.token_hex(12)) as slack:
            settings = {"webhook_url": slack.url, "timeout_s": timeout_s} if knows_slack else {}
            async with world(
                place, clock=clock, slack=settings, timers={"poll_every_s": 0.05}, consumer={"max_in_flight": 3}
            ) as home:
                yield Told(home, slack)

    yield opened
    if server is not None and address is not None:
        server.drop(address)


async def test_an_alert_is_posted_once_and_leaves_nothing(opens: Opens) -> None:
    """Raised three times before anybody looks, by one key, it is one message."""
    async with opens() as told:
        await told.raise_(ONE, ONE, ONE)
        async with told.home.running():
            await told.home.quiet()
        assert told.slack.texts == [ONE_TEXT]
        assert await told.notes() == [("done", "posted")]
        assert await told.home.leftovers() == {}


async def test_the_same_alert_is_quiet_for_its_time_and_then_news_again(opens: Opens) -> None:
    """Also for a daemon that was restarted meanwhile; another key is not held back."""
    async with opens() as told:
        await told.raise_(QUIET, QUIET)
        async with told.home.running():
            await told.home.quiet()
            await told.raise_(QUIET)
            await told.home.quiet()
        async with told.home.running():
            await told.later(899)
            await told.raise_(QUIET, Alert("other", "Other", "news", quiet_s=900))
            await told.home.quiet()
            assert [text.splitlines()[-1] for text in told.slack.texts] == ["the session is STOPPED", "news"]
            await told.later(2)
            await told.raise_(QUIET)
            await told.home.quiet()
            assert len(told.slack.texts) == 3
            await told.later(1_000)
        assert await told.home.leftovers() == {}


async def test_a_daemon_that_ends_between_the_post_and_its_commit_leaves_it_to_the_next(opens: Opens) -> None:
    """At least once, never lost: nothing was committed, so the next one posts it again, and then it is quiet."""
    async with opens() as told:
        await told.raise_(QUIET)
        stuck = asyncio.Event()

        async def dies(point: str) -> None:
            if point == "after_handle":
                stuck.set()
                await asyncio.Event().wait()

        async with build(told.home.settings, Outside(told.home.clock, dies)) as doomed:
            run = asyncio.create_task(doomed.run())
            async with asyncio.timeout(10):
                await stuck.wait()
            run.cancel()
            with suppress(asyncio.CancelledError):
                await run
        assert len(told.slack.texts) == 1
        rows = await told.home.database.fetch("SELECT type, claims FROM timer")
        assert [tuple(row) for row in rows] == [("alert.post", 1)]
        async with told.home.running():
            await told.home.quiet(60)
            assert len(told.slack.texts) == 2
            await told.later(1_000)
        assert await told.home.leftovers() == {}


@pytest.mark.parametrize("kind", [FaultKind.RESET, FaultKind.STATUS])
async def test_an_outage_delays_alerts_and_is_said_once(opens: Opens, kind: FaultKind) -> None:
    """Tried again as long as it is news, none counts as failed; after it each is there once and nothing is dead."""
    async with opens() as told:
        told.slack.faults.add(Fault(kind, POST, times=6, status=502))
        await told.raise_(ONE, Alert("two", "Two", "text"))
        with capture_logs() as lines:
            async with told.home.running():
                await told.later(300)
        said = [line["event"] for line in lines if line.get("dependency") == "slack"]
        assert said == ["dependency.lost", "dependency.restored"]
        assert sorted(text.splitlines()[0] for text in told.slack.texts) == [
            ":warning: *Campaigns are paused*",
            ":warning: *Two*",
        ]
        outcomes = [outcome for outcome, _ in await told.notes()]
        assert (outcomes.count("done"), outcomes.count("rejected")) == (2, 0)
        assert outcomes.count("retried") >= 6
        assert await told.home.leftovers() == {}


async def test_a_slack_that_says_when_is_asked_again_then_and_not_before(opens: Opens) -> None:
    """429 with Retry-After: one request now, one after ninety seconds."""
    async with opens() as told:
        told.slack.faults.add(Fault(FaultKind.STATUS, POST, times=1, status=429, retry_after_s=90))
        await told.raise_(ONE)
        async with told.home.running():
            await told.later(89)
            assert [seen.status for seen in told.slack.requests] == [429]
            await told.later(2)
        assert [seen.status for seen in told.slack.requests] == [429, 200]
        assert told.slack.posted[0].at_ms == MORNING_MS + 90_000
        assert await told.home.leftovers() == {}


async def test_after_an_hour_of_outage_there_is_no_flood_and_no_dead_letter(opens: Opens) -> None:
    """Five alerts end with a note that they were too old; one that is raised afterwards comes through."""
    async with opens() as told:
        told.slack.faults.fail(POST)
        await told.raise_(*(Alert(f"old-{number}", "Old", "news") for number in range(5)))
        async with told.home.running():
            await told.later(HOUR_MS // 1000 + 660)
            told.slack.faults.clear()
            await told.raise_(ONE)
            await told.later(30)
        assert told.slack.texts == [ONE_TEXT]
        assert [note for outcome, note in await told.notes() if outcome == "done"] == [*["too old"] * 5, "posted"]
        assert told.home.sqs.bodies(told.home.settings.queues.timers_dead_letter) == []
        assert await told.home.leftovers() == {}


async def test_what_slack_refuses_is_asked_once_and_lies_in_the_dead_letter_queue(opens: Opens) -> None:
    """A webhook that is gone: the operators' other alarm says so, with the reason and the alert in it."""
    async with opens() as told:
        told.slack.faults.fail(POST, times=1, status=410)
        await told.raise_(ONE)
        async with told.home.running():
            await told.later(600)
        (letter,) = told.home.sqs.messages(told.home.settings.queues.timers_dead_letter)
        assert (letter.attributes["errorKind"], letter.attributes["handler"]) == (
            "upstream-refused",
            "AlertHandlers.post",
        )
        assert letter.attributes["errorMessage"].startswith("slack answered 410 when asked to post an alert")
        assert json.loads(letter.body)["alert"]["title"] == ONE.title
        assert told.slack.url not in letter.attributes["errorMessage"]
        assert [seen.status for seen in told.slack.requests] == [410]


async def test_without_a_webhook_an_alert_is_done_with(opens: Opens) -> None:
    """Nothing is asked, nothing is left, and the journal says why."""
    async with opens(knows_slack=False) as told:
        await told.raise_(ONE, QUIET)
        async with told.home.running():
            await told.home.quiet()
        assert await told.notes() == [("done", "no slack")] * 2
        assert told.slack.requests == []
        assert await told.home.leftovers() == {}


async def test_a_slack_that_hangs_delays_nobody_else(opens: Opens) -> None:
    """More alerts than there are slots for timers: a command and another timer are handled while one hangs."""
    async with opens(timeout_s=30) as told:
        told.slack.faults.hang(POST)
        await told.raise_(*(Alert(f"hanging-{number}", "Hanging", "news") for number in range(8)))
        async with told.home.running():
            await told.slack.faults.until(lambda: told.slack.faults.hanging == 1)
            told.home.sqs.send(
                told.home.settings.queues.commands, command("opt-out.add", {"phoneNumber": "999000000001"})
            )
            timer = (
                "INSERT INTO timer (id, type, data, call_ref, due_at_ms, lease_owner, lease_until_ms, fence, claims) "
                "VALUES ('campaign.heal:9', 'campaign.heal', '{\"campaignId\":9}', NULL, 0, '', 0, 1, 0)"
            )
            await told.home.database.apply([Write(timer)])
            async with asyncio.timeout(10):
                while not await _handled(told, "opt-out.add", "campaign.heal"):
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.01):
                            await asyncio.Event().wait()
            assert told.slack.faults.hanging == 1
            told.slack.faults.clear()
            told.slack.faults.release()
            await told.later(120)
        assert len(told.slack.texts) == 8
        assert await told.home.leftovers() == {}


async def _handled(told: Told, *types: str) -> bool:
    rows = await told.home.database.fetch("SELECT DISTINCT type FROM journal WHERE outcome = 'done'")
    return {str(row[0]) for row in rows} >= set(types)


def test_texts_are_escaped_as_slack_wants_and_hold_no_phone_number() -> None:
    """Only the three signs; nobody can mention a channel; ids as numbers stay, numbers in texts don't."""
    alert = Alert(
        key="k",
        title="Bread & butter\n<!channel>",
        text='a < b > c "quoted" &amp; sent to 99900123456@c.us or +999 00 123 456\nsecond line',
        severity=Severity.ERROR,
        fields=(("campaign", 12_345_678), ("name", "call 99900123456\nnow"), ("session", "99900123456")),
    )
    assert slack_text(alert) == (
        ":rotating_light: *Bread &amp; butter &lt;!channel&gt;*\n"
        'a &lt; b &gt; c "quoted" &amp;amp; sent to …56@c.us or +99…56\n'
        "second line\n"
        "campaign: 12345678\n"
        "name: call …56 now\n"
        "session: …56"
    )


def test_a_text_is_bounded_and_no_sign_is_cut_in_two() -> None:
    """However long and however many the parts are."""
    many = tuple((f"f{number}", "&" * 300) for number in range(50))
    text = slack_text(Alert("k", "t" * 500, "&" * 9_000, fields=many))
    assert len(text.splitlines()) == 12
    assert text.count("&amp;") == text.count("&") == 2_000 + 10 * 200
    assert len(text) < 40_000


@pytest.mark.parametrize("answer", ["<html>under maintenance</html>", ""])
async def test_a_page_that_says_200_is_no_post(answer: str) -> None:
    """It is refused for good, not asked again and again."""
    async with (
        SlackSimulator(ManualClock(MORNING_MS), token=secrets.token_hex(12)) as slack,
        httpx.AsyncClient() as http,
    ):
        slack.answer = answer
        client = HttpSlack(http, slack.url)
        with pytest.raises(RuleViolation, match="slack broke the contract") as refused:
            await client.post(ONE)
        assert refused.value.kind == "upstream-contract"
        assert not client.is_busy


async def test_errors_never_name_the_webhook() -> None:
    """Neither a wrong token, nor a Slack that is gone, nor one that hangs."""
    clock = ManualClock(MORNING_MS)
    async with httpx.AsyncClient() as http:
        async with SlackSimulator(clock, token=secrets.token_hex(12)) as slack:
            url = slack.url
            with pytest.raises(RuleViolation, match="404 when asked to post an alert: no_service") as wrong:
                await HttpSlack(http, f"{url}x").post(ONE)
            slack.faults.hang(POST)
            with pytest.raises(Unavailable, match=r"no answer in 0\.2 s") as hanging:
                await HttpSlack(http, url, timeout_s=0.2).post(ONE)
        with pytest.raises(Unavailable) as gone:
            await HttpSlack(http, url).post(ONE)
    for error in (wrong.value, hanging.value, gone.value):
        assert "/services/" not in str(error)


def test_the_webhook_is_a_secret_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In what the configuration shows, in its errors, and in the log, whatever text it stands in."""
    monkeypatch.chdir(tmp_path)
    url = f"https://hooks.slack.com/services/T0/B0/{secrets.token_hex(12)}"
    loaded = load_settings(None, {"ROBOTD_SLACK__WEBHOOK_URL": url})
    assert url not in as_json(loaded)
    with pytest.raises(SettingsError) as refused:
        load_settings(None, {"ROBOTD_SLACK__WEBHOOK_URL": url.replace("https", "ftp")})
    assert "begins with http" in str(refused.value)
    assert url[8:] not in str(refused.value)
    said = Mask(secrets_of(loaded.settings)).text(f"can't post to {url}")
    assert said == "can't post to ***"
