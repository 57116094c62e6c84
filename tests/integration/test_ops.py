"""Metrics and health of a whole daemon after real traffic, read over HTTP as scrapers and operators read them."""

import asyncio
import itertools
import json
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import yaml

from daemon.app import Outside, build
from daemon.lifecycle import Ending
from daemon.metric_names import METRICS, Kind
from daemon.metrics_report import PANELS
from daemon.store.database import Write
from domain.errors import ConfigError
from domain.server_test import Finding, StepId, StepOutcome
from tests.integration.sending import HOUR_MS, SESSION, Sending, phone, prepared
from tests.integration.server_world import server_world
from tests.memory_servers import server
from tests.scrape import looked_at, looking
from tests.world import MORNING_MS, World, command, create_command, world

ROBOT, STEP = 61001, 88120
COMMANDS, EVENTS, TIMERS = "robotd-commands", "status-queue-robotd", "timers"
WRONG_KEYS = ("", "Bearer", "Bearer wrong", "Basic {}", "Bearer {}x", "Bearer \xe4\xff")
RULES = Path(__file__).resolve().parents[2] / "docs" / "prometheus" / "alerts.rules.yaml"


NO_HOST = Finding(StepId.RESOLVE, StepOutcome.FAIL, "no-such-host", "NXDOMAIN", may_pass_later=True)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path / "robotd.db") as opened:
        opened.managers.add_step(ROBOT, STEP, "TOILET_VISIT", past_interval_s=7200, future_interval_s=1800)
        yield looked_at(opened)


async def one_check(home: World) -> None:
    """A check that passes with an event, its command sent twice, and two commands that are refused."""
    wanted = create_command(ROBOT, STEP, 77001, MORNING_MS, callref="abc")
    for body in (wanted, wanted, "no json", command("no-such-type", {})):
        home.sqs.send(home.settings.queues.commands, body)
    await home.quiet()
    home.clock.advance(25 * 60_000)
    await home.megazord.post_event(ROBOT, "TOILET_ACTIVITY")
    await home.quiet()
    home.clock.advance(3_600_000)
    await home.quiet()


async def test_each_message_is_counted_once_by_how_it_ended(home: World) -> None:
    """Received = processed for each queue, and the outcomes are those that queues and journal saw."""
    async with home.running() as daemon, looking(daemon) as operator:
        await one_check(home)
        seen = await operator.scrape()
    name = "robotd_messages_processed_total"
    create = {"queue": COMMANDS, "type": "status-check.create"}
    assert seen.value(name, **create, outcome="done") == 1
    assert seen.value(name, **create, outcome="duplicate") == 1
    assert seen.value(name, queue=COMMANDS, type="unknown", outcome="rejected") == 2
    for queue in (COMMANDS, EVENTS, TIMERS):
        received = seen.value("robotd_messages_received_total", queue=queue)
        assert received == seen.total(name, queue=queue) == seen.total("robotd_process_seconds_count", queue=queue) > 0
    assert seen.value("robotd_dead_letters_total", queue=COMMANDS, kind="not-json") == 1
    assert seen.value("robotd_dead_letters_total", queue=COMMANDS, kind="unknown-type") == 1
    sent = {"destination": "robot-queue-{robotId}", "type": "status-check.changed", "outcome": "sent"}
    assert seen.value("robotd_messages_sent_total", **sent) == len(home.results(ROBOT)) == 2


async def test_the_gauges_say_what_the_queues_and_the_database_hold(home: World) -> None:
    """Dead letters by the queue server's own count; timers and outbox at rest; limits and polls of each queue."""
    async with home.running() as daemon, looking(daemon) as operator:
        await operator.until("/readyz", (200, "ready"))
        await one_check(home)
        seen = await operator.scrape()
    letters = home.sqs.counts(f"{COMMANDS}-dlq").visible
    assert seen.value("robotd_queue_messages", queue=f"{COMMANDS}-dlq", state="visible") == letters == 2
    assert seen.value("robotd_queue_messages", queue=COMMANDS, state="visible") == 0
    for name in ("outbox_pending", "outbox_oldest_seconds", "timers_due", "timers_oldest_seconds", "unknown_sends"):
        assert seen.value(f"robotd_{name}") == 0
    assert [seen.value("robotd_sample_up", source=source) for source in ("database", "sqs")] == [1, 1]
    assert seen.value("robotd_concurrency_limit", queue=COMMANDS) == home.settings.consumer.max_in_flight
    assert seen.value("robotd_in_flight", queue=COMMANDS) == seen.value("robotd_paused", queue=COMMANDS) == 0
    assert seen.value("robotd_last_receive_success_timestamp_seconds", queue=EVENTS) > 1_700_000_000
    assert seen.value("robotd_ready") == seen.value("robotd_dependency_up", name="sqs") == 1
    calls = {str(labels["op"]) for labels, _ in seen.series("robotd_sqs_request_seconds_count")}
    assert {"receive_message", "delete_message_batch", "send_message_batch", "get_queue_attributes"} <= calls


async def test_a_late_timer_and_a_dead_process_are_seen(home: World) -> None:
    """A timer due for a minute and a lease that a dead process left behind are told before anybody takes them over."""
    insert = "INSERT INTO timer (id, type, data, call_ref, due_at_ms, lease_owner, lease_until_ms, fence, claims) "
    late, left = (f"('no-such:{n}', 'no-such', '{{}}', NULL, {MORNING_MS - 60_000}, " for n in (1, 2))
    async with home.running() as daemon, looking(daemon) as operator:
        daemon._parts.gate._open.clear()  # nothing is claimed meanwhile
        await asyncio.sleep(0)
        await _write(home, f"{insert} VALUES {late} '', 0, 1, 0)", f"{insert} VALUES {left} 'dead', 1, 1, 0)")
        seen = await operator.scrape()
        daemon._parts.gate._open.set()
        await home.quiet()
    assert (seen.value("robotd_timers_due"), seen.value("robotd_timers_late")) == (2, 2)
    assert seen.value("robotd_timers_oldest_seconds") == 60
    assert seen.value("robotd_leases_expired", of="timer") == 1


async def _write(home: World, *statements: str) -> None:
    await home.database.apply([Write(statement) for statement in statements])


async def test_readiness_goes_first_when_it_stops(home: World) -> None:
    """From the moment of the stop on it is draining, still alive, and it answers until the last poll is over."""
    async with build(home.settings, Outside(home.clock)) as daemon:
        run = asyncio.create_task(daemon.run())
        async with looking(daemon) as operator:
            await operator.until("/readyz", (200, "ready"))
            assert (await operator.health())["sources"][COMMANDS]["state"] == "running"
            daemon.stop()
            assert await operator.asked("/readyz") == (503, "draining")
            assert await operator.asked("/livez") == (200, "alive")
            seen, health = await operator.scrape(), await operator.health()
            assert not run.done()
            assert await run is Ending.CLEAN
            with pytest.raises(httpx.ConnectError):
                await operator.asked("/livez")
    assert (seen.value("robotd_ready"), seen.value("robotd_paused", queue=COMMANDS)) == (0, 1)
    assert (health["ready"], health["unready"], health["sources"][COMMANDS]["state"]) == (False, ["draining"], "paused")
    assert health["drainingSince"] >= health["since"]


async def test_without_polls_it_is_not_ready_and_then_it_is_again(home: World) -> None:
    """SQS that cuts every call makes it unready after twice the wait, and lost; once it answers, it is ready again."""
    async with home.running() as daemon, looking(daemon) as operator:
        await operator.until("/readyz", (200, "ready"))
        home.sqs.faults.reset = 1.0
        home.sqs.end_polls()
        await operator.until("/readyz", (503, "polls"))
        seen, health = await operator.scrape(), await operator.health()
        home.sqs.faults.reset = 0.0
        await operator.until("/readyz", (200, "ready"))
        healed = await operator.health()
    assert seen.value("robotd_dependency_up", name="sqs") == seen.value("robotd_sample_up", source="sqs") == 0
    assert "robotd_queue_messages" not in seen.names
    assert seen.total("robotd_sqs_request_seconds_count", op="receive_message", outcome="error") > 0
    assert (health["dependencies"]["sqs"]["state"], health["dependencies"]["database"]["state"]) == ("lost", "up")
    assert health["dependencies"]["sqs"]["since"] is not None
    assert health["sources"][COMMANDS]["unheardSeconds"] >= 2 * home.settings.consumer.wait_s
    assert healed["dependencies"]["sqs"] == {"state": "up", "since": None}


async def test_only_the_token_opens_what_is_not_a_probe(home: World) -> None:
    """With a token set, the two probes answer anybody, all else 401 for anything but this very token."""
    token = secrets.token_hex(16)
    looked_at(home, viewer_token=token)
    async with home.running() as daemon, looking(daemon) as nobody, looking(daemon, token) as viewer:
        for path, given in itertools.product(("/metrics", "/healthz", "/api/v1/anything", "/"), WRONG_KEYS):
            headers = [(b"Authorization", given.format(token).encode("latin-1"))]
            answer = await nobody.http.get(path, headers=headers)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
            assert token not in answer.text
        assert {(await nobody.asked(path))[0] for path in ("/livez", "/readyz")} <= {200, 503}
        assert (await viewer.scrape()).names
        await viewer.until("/readyz", (200, "ready"))
        assert (await viewer.health())["ready"] is True
        assert [(await viewer.asked(path))[0] for path in ("/api/v1/anything", "/")] == [404, 404]


async def test_a_port_that_is_taken_ends_the_start(home: World) -> None:
    """The reason names the setting."""
    async with home.running() as daemon, looking(daemon) as operator:
        taken = operator.http.base_url.port
        settings = looked_at(home, port=taken).settings
        async with build(settings, Outside(home.clock)) as second:
            with pytest.raises(ConfigError, match=f"ops.port: can't listen on 127.0.0.1:{taken}"):
                await second.run()


async def test_what_becomes_of_recipients_is_counted_when_it_is_committed(tmp_path: Path) -> None:
    """Two texts are taken, one is refused, then the number is stopped: counters and gauges say what the ledger says."""
    async with prepared(tmp_path / "robotd.db", tmp_path) as sending:
        home = looked_at(sending.home)
        async with home.running() as daemon, looking(daemon) as operator:
            await sending.add_people([{"phoneNumber": phone(n), "firstName": "N"} for n in range(3)])
            await sending.create()
            await sending.until_accepted(2)
            sending.waha.set_status(SESSION, "STOPPED")
            await sending.later(HOUR_MS)
            seen = await operator.scrape()
            states = await sending.states()
    assert seen.value("robotd_campaign_messages_total", outcome="SENT") == states.count("SENT") == 2
    assert seen.value("robotd_campaigns", status="Paused") == 1
    assert seen.value("robotd_campaigns_paused", reason="SESSION_NOT_WORKING") == 1
    assert seen.value("robotd_campaign_paused_oldest_seconds", reason="SESSION_NOT_WORKING") > 3000


async def test_a_test_of_a_server_is_counted_at_its_end(tmp_path: Path) -> None:
    """One that passes, and one that fails and is switched off: two verdicts, one server less; then a cycle is over."""
    async with server_world(tmp_path / "robotd.db") as servers:
        home = looked_at(servers.home)
        for number in (7, 8):
            servers.servers.mailwizz.add(server(number))
        servers.servers.probe.resolved[8] = [NO_HOST]
        async with home.running() as daemon, looking(daemon) as operator:
            for number in (7, 8):
                await servers.ask(number)
                await servers.later(60_000)
            seen = await operator.scrape()
            await servers.cycle()
            await servers.later(60_000)
            await asyncio.sleep(home.settings.ops.sample_every_s)  # what is sampled is kept for so long
            later = await operator.scrape()
    verdicts = {str(labels["verdict"]): value for labels, value in seen.series("robotd_server_tests_total")}
    assert verdicts == {"SUCCESSFUL": 1, "FAILED": 1}
    assert seen.value("robotd_servers_deactivated_total") == 1
    assert later.value("robotd_server_cycle_last_end_timestamp_seconds") >= MORNING_MS / 1000


@pytest.fixture
async def campaign(tmp_path: Path) -> AsyncIterator[Sending]:
    """A world with WAHA and an edge, before its daemon runs."""
    async with prepared(tmp_path / "robotd.db", tmp_path) as sending:
        tree = sending.home.settings.model_dump()
        sending.home.settings = type(sending.home.settings).model_validate({**tree, "edge": {"port": 0}})
        sending.home.managers.add_step(ROBOT, STEP, "TOILET_VISIT", past_interval_s=7200, future_interval_s=1800)
        yield sending


async def test_every_name_in_rules_and_dashboard_is_scraped(campaign: Sending) -> None:
    """After real traffic of every kind each name that an alert or a panel asks for is among those of the daemon."""
    home = looked_at(campaign.home)
    async with home.running() as daemon, looking(daemon) as operator:
        await one_check(home)
        await campaign.add_people([{"phoneNumber": phone(1)}])
        await campaign.create()
        await campaign.until_accepted(1)
        seen = await operator.scrape()
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"][0]["rules"]
    asked = " ".join([*(rule["expr"] for rule in rules), *(expr for _, _, lines in PANELS for expr, _ in lines)])
    names = set(re.findall(r"\b(?:robotd|process)_[a-z_]+", asked))
    assert names - seen.described == set()
    assert {metric.full_name for metric in METRICS if metric.kind is not Kind.HISTOGRAM} <= seen.described
    assert {f"{metric.full_name}_count" for metric in METRICS if metric.kind is Kind.HISTOGRAM} <= seen.described
    prose = {name for name in seen.described if not name.startswith(("robotd_", "process_"))}
    assert prose == set()


async def test_no_answer_holds_a_secret_a_number_or_a_text(campaign: Sending) -> None:
    """Tokens, keys, phone numbers, texts, ids and addresses that the daemon met, also in errors, are in no answer."""
    token, marks = secrets.token_hex(16), [secrets.token_hex(8) for _ in range(6)]
    text, name, word, source, robot, reference = marks
    home = looked_at(campaign.home, viewer_token=token)
    numbers = [phone(secrets.randbelow(10**7)) for _ in range(3)]
    hostile = [
        word,
        json.dumps({"type": word, "source": source, "id": reference}),
        command(word, {"robotId": 4711, "replyTo": word}, source=source),
        command("opt-out.add", {"phoneNumber": numbers[0], "reason": word, "userId": robot}),
        command("status-check.get", {"robotId": 61999, "statusCheckId": 4711, "replyTo": f"q-{word}"}),
    ]
    async with home.running() as daemon, looking(daemon, token) as operator:
        await one_check(home)
        for body in hostile:
            home.sqs.send(COMMANDS, body)
            home.sqs.send(EVENTS, body)
        await campaign.add_people([{"phoneNumber": number, "firstName": name} for number in numbers])
        await campaign.create(text=text, callref=None)
        await campaign.until_accepted(1)
        campaign.waha.set_status(SESSION, "STOPPED")
        daemon._parts.gate.lost("waha", f"no answer of {numbers[1]} with {token}")
        await campaign.later(60_000)
        answers = [(await operator.http.get(path)).text for path in ("/metrics", "/healthz", "/readyz", "/livez", "/x")]
    answers[0] = "\n".join(
        line.rpartition(" ")[0] or line for line in answers[0].splitlines()
    )  # a figure may look like an id
    key = home.settings.waha.api_key
    assert key is not None
    held = [*marks, *numbers, token, key.get_secret_value(), "4711", "61999", str(ROBOT), str(STEP), home.sqs.url]
    assert {word for word in held for answer in answers if word in answer} == set()
    assert "robotd_messages_processed_total" in answers[0]
    assert '"waha"' in answers[1]
