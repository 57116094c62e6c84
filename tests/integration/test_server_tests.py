"""Tests of delivery servers as their askers meet them: final state, history, what was told; on both engines."""

import asyncio
import secrets
from collections.abc import Sequence
from typing import Any

import pytest

from daemon.store.database import Write
from domain.errors import RuleViolation
from domain.server_ports import Interactions
from domain.server_test import Finding, StepId, StepOutcome
from tests.integration.server_world import (
    CAMPAIGN,
    DEAD_LETTERS,
    HOUR_MS,
    MINUTE_MS,
    ROBOT,
    SECOND_MS,
    Place,
    ServerWorld,
    server_world,
)
from tests.memory_servers import GOOD, MemoryReader, server
from tests.world import command

REFUSED = Finding(StepId.CONNECT, StepOutcome.FAIL, "refused", "connection refused", may_pass_later=True)
BAD_PASSWORD = (*GOOD[:2], Finding(StepId.AUTH, StepOutcome.FAIL, "auth-rejected", "535 5.7.8 no"))
BUSY = (*GOOD[:3], Finding(StepId.SEND, StepOutcome.FAIL, "deferred", "451 later", may_pass_later=True))
NO_HOST = Finding(StepId.RESOLVE, StepOutcome.FAIL, "no-such-host", "NXDOMAIN", may_pass_later=True)
CAN_T_SAY = (*GOOD[:2], Finding(StepId.AUTH, StepOutcome.ERROR, "auth-deferred", "454 later", may_pass_later=True))
HANGS = (*GOOD[:2], Finding(StepId.AUTH, StepOutcome.FAIL, "timeout", "no answer in time", may_pass_later=True))
BOX_OF_OURS = (*GOOD[:3], Finding(StepId.SEND, StepOutcome.ERROR, "our-mailbox", "550 probe@mailbox.test unknown"))


def failed(world: ServerWorld) -> tuple[str, str, list[str]]:
    """Verdict, status and history of the only server."""
    wizz = world.servers.mailwizz
    return world.last()["verdict"], wizz.status(7), wizz.verdicts(7)


async def test_a_good_server_is_successful_once(database_place: Place) -> None:
    """All required steps pass; one line of history with MailWizz's clock at the start, and nothing is left."""
    async with server_world(database_place) as world, world.home.running():
        world.servers.mailwizz.add(server())
        await world.ask()
        told = world.last()
        assert (told["verdict"], told["path"], told["deactivated"]) == ("SUCCESSFUL", "direct", False)
        assert list(world.steps()) == ["T0", "T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8"]
        assert set(world.steps().values()) == {"PASS"}
        assert world.servers.mailwizz.history == [(7, "2025-11-25 08:40:00", "SUCCESSFUL", None)]
        assert told["started"] == "2025-11-25 08:40:00"
        assert told["fingerprint"] == server().fingerprint
        assert await world.claims() == []
        assert await world.home.leftovers() == {}


@pytest.mark.parametrize("way", ["found", "resolved"])
async def test_a_server_at_fault_is_switched_off(database_place: Place, way: str) -> None:
    """FAILED, one line of history that says why, status inactive, the robot and the operators are told."""
    async with server_world(database_place) as world, world.home.running():
        world.servers.mailwizz.add(server())
        if way == "found":
            world.servers.probe.found[7] = [BAD_PASSWORD]
        else:
            world.servers.probe.resolved[7] = [NO_HOST]
        await world.ask()
        await world.later(MINUTE_MS)
        assert failed(world) == ("FAILED", "inactive", ["FAILED"])
        told = world.last()
        assert (told["deactivated"], told["kept"], told["deactivationSkipped"]) == (True, "", False)
        assert world.servers.mailwizz.history[0][3] == told["reason"]
        assert told["reason"].startswith("T5 auth-rejected: 535" if way == "found" else "T2 no-such-host")
        assert await world.home.leftovers() == {}


@pytest.mark.parametrize(
    ("tries", "verdict", "delivered"),
    [
        ([[REFUSED], GOOD], "SUCCESSFUL", 2),
        ([[REFUSED], [REFUSED], GOOD], "FAILED", 2),
        ([BUSY, BUSY, BUSY, GOOD], "SUCCESSFUL", 4),
        ([BUSY], "FAILED", 4),
        ([CAN_T_SAY, GOOD], "SUCCESSFUL", 2),
        ([CAN_T_SAY], "ERROR", 23),
        ([HANGS], "FAILED", 2),
        ([BAD_PASSWORD, GOOD], "FAILED", 1),
        ([BUSY, [REFUSED], GOOD], "SUCCESSFUL", 3),
    ],
)
async def test_what_may_pass_later_is_not_believed_at_once(
    database_place: Place, tries: list[Sequence[Finding]], verdict: str, delivered: int
) -> None:
    """Two tries of a connection, three more of a mail that is put off; a 454 to the end says nothing of the server."""
    async with server_world(database_place) as world, world.home.running():
        world.servers.mailwizz.add(server())
        world.servers.probe.found[7] = list(tries)
        await world.ask()
        await world.later(HOUR_MS)
        assert world.last()["verdict"] == verdict
        assert len(world.servers.probe.delivered) == delivered
        expected = {"SUCCESSFUL": "active", "ERROR": "active", "FAILED": "inactive"}
        assert world.servers.mailwizz.status(7) == expected[verdict]
        assert world.servers.mailwizz.verdicts(7) == [] if verdict == "ERROR" else [verdict]


@pytest.mark.parametrize("minutes", [5, 30])
async def test_a_network_of_ours_that_is_down_fails_nobody(database_place: Place, minutes: int) -> None:
    """While the control host can't be reached either, nothing is believed; back in time, the run goes on at once."""
    async with server_world(database_place) as world, world.home.running():
        world.servers.mailwizz.add(server())
        world.servers.probe.found[7] = [[REFUSED]]
        world.servers.probe.network = "control.test can't be reached"
        await world.ask()
        await world.later(minutes * MINUTE_MS)
        world.servers.probe.found[7] = [GOOD]
        world.servers.probe.network = None
        await world.later(31 * SECOND_MS)
        verdict = "SUCCESSFUL" if minutes == 5 else "ERROR"
        assert failed(world) == (verdict, "active", [] if verdict == "ERROR" else [verdict])
        assert await world.home.leftovers() == {}


async def test_a_failure_while_our_network_was_down_is_not_the_first_of_two(database_place: Place) -> None:
    """Refused in the outage and once more after it: the second counts alone, and the third try passes."""
    async with server_world(database_place) as world, world.home.running():
        world.servers.mailwizz.add(server())
        world.servers.probe.found[7] = [[REFUSED], [REFUSED], GOOD]
        world.servers.probe.network = "control.test can't be reached"
        await world.ask()
        world.servers.probe.network = None
        await world.later(MINUTE_MS)
        assert failed(world) == ("SUCCESSFUL", "active", ["SUCCESSFUL"])


@pytest.mark.parametrize(
    "trouble",
    [NO_HOST, Finding(StepId.RESOLVE, StepOutcome.ERROR, "resolver", "SERVFAIL", may_pass_later=True)],
    ids=["NXDOMAIN", "SERVFAIL"],
)
async def test_a_name_that_is_lost_for_a_moment_at_the_delivery_leaves_no_trace(
    database_place: Place, trouble: Finding
) -> None:
    """Resolved, then not, then again: what the middle try found is neither the server's fault nor in the result."""
    async with server_world(database_place) as world, world.home.running():
        world.servers.mailwizz.add(server())
        world.servers.probe.found[7] = [[trouble], GOOD]
        await world.ask()
        await world.later(MINUTE_MS)
        assert failed(world) == ("SUCCESSFUL", "active", ["SUCCESSFUL"])
        assert set(world.steps().values()) == {"PASS"}


@pytest.mark.parametrize(
    ("lost", "canary", "verdict"),
    [(True, "arrives", "FAILED"), (True, "is lost", "ERROR"), (True, "is refused", "ERROR"), (True, "none", "ERROR")],
)
async def test_a_canary_tells_a_lost_mail_from_a_broken_mailbox(
    database_place: Place, *, lost: bool, canary: str, verdict: str
) -> None:
    """Accepted and not there after twenty minutes is the server's fault only if the canary did arrive."""
    async with server_world(database_place) as world:
        world.servers.probe.loses = lost
        world.servers.canary.loses = canary == "is lost"
        world.servers.canary.problem = "550 no" if canary == "is refused" else None
        world.servers.left_out = ("canary",) if canary == "none" else ()
        world.servers.mailwizz.add(server())
        async with world.home.running():
            await world.ask()
            await world.later(19 * MINUTE_MS)
            assert world.told() == []
            await world.later(2 * MINUTE_MS)
            expected = "inactive" if verdict == "FAILED" else "active"
            assert failed(world) == (verdict, expected, ["FAILED"] if verdict == "FAILED" else [])
            assert world.steps()["T7"] == ("FAIL" if verdict == "FAILED" else "ERROR")


async def test_a_mail_that_is_late_is_found(database_place: Place) -> None:
    """Half a minute late is no fault; the run waits by timers and holds nothing meanwhile but its claim."""
    async with server_world(database_place) as world, world.home.running():
        world.servers.mailwizz.add(server())
        world.servers.probe.loses = True
        await world.ask()
        await world.later(30 * SECOND_MS)
        assert await world.claims() == ["server:7"]
        (mail,) = world.servers.probe.mails
        world.servers.mailbox.put(
            mail.token, b"From: sender.test <news@sender.test>\r\nReply-To: news@sender.test\r\n\r\n"
        )
        await world.later(MINUTE_MS)
        assert failed(world) == ("SUCCESSFUL", "active", ["SUCCESSFUL"])


async def test_a_mailbox_that_is_down_costs_no_time_of_the_limit(database_place: Place) -> None:
    """Nine minutes of outage within a limit of two: the mail is looked for as long as ever afterwards."""
    async with server_world(database_place, settings={"arrival_limit_s": 120}) as world, world.home.running():
        world.servers.mailwizz.add(server())
        world.servers.mailbox.down = True
        await world.ask()
        await world.later(9 * MINUTE_MS)
        world.servers.mailbox.down = False
        await world.later(MINUTE_MS)
        assert failed(world) == ("SUCCESSFUL", "active", ["SUCCESSFUL"])


@pytest.mark.parametrize(
    ("headers", "verdict", "settings"),
    [
        ({"From": "sender.test <other@sender.test>"}, "FAILED", {}),
        ({"From": "Cheap pills <news@sender.test>"}, "FAILED", {}),
        ({"Reply-To": "else@where.test"}, "FAILED", {}),
        ({"From": "NEWS@Sender.test"}, "SUCCESSFUL", {}),
        ({"From": "Sender <news@sender.test>"}, "SUCCESSFUL", {}),
        ({"Sender": "other@sender.test"}, "SUCCESSFUL", {}),
        ({"Sender": "other@sender.test"}, "FAILED", {"needs_sender": True}),
        ({}, "FAILED", {"needs_sender": True}),
    ],
)
async def test_the_sender_of_the_mail_is_the_server_s(
    database_place: Place, headers: dict[str, str], verdict: str, settings: dict[str, object]
) -> None:
    """T8: From and Reply-To by their address, the name by the domain or its first label, Sender by setting."""
    async with server_world(database_place, settings=settings) as world, world.home.running():
        world.servers.mailwizz.add(server())
        world.servers.probe.headers = headers
        await world.ask()
        assert failed(world) == (verdict, "active" if verdict == "SUCCESSFUL" else "inactive", [verdict])


async def test_junk_is_a_warning(database_place: Place) -> None:
    """A mail in the junk folder has arrived."""
    async with server_world(database_place) as world, world.home.running():
        world.servers.mailwizz.add(server())
        world.servers.probe.is_junk = True
        await world.ask()
        assert (world.last()["verdict"], world.steps()["T7"]) == ("SUCCESSFUL", "WARN")


@pytest.mark.parametrize(
    ("asked", "settings", "verdict", "shown"),
    [
        ([], {}, "SUCCESSFUL", []),
        (["T9"], {}, "SUCCESSFUL", ["T9"]),
        ([], {"advisory": True}, "SUCCESSFUL", ["T9", "T11"]),
        ([], {"advisory_fails": "T9"}, "FAILED", ["T9"]),
        ([], {"advisory_fails": "T11"}, "SUCCESSFUL", ["T11"]),
    ],
)
async def test_advisory_checks_fail_a_server_by_setting_alone(
    database_place: Place, asked: list[str], settings: dict[str, object], verdict: str, shown: list[str]
) -> None:
    """T9 to T14 are shown where they are asked for, and count where the settings name them."""
    async with server_world(database_place, settings=settings) as world, world.home.running():
        world.servers.mailwizz.add(server())
        world.servers.checks.findings = (
            Finding(StepId.DKIM, StepOutcome.FAIL, "broken"),
            Finding(StepId.DMARC, StepOutcome.WARN, "no-record"),
        )
        await world.ask(checks=asked)
        assert world.last()["verdict"] == verdict
        assert [step for step in world.steps() if step not in ("T0", "T1")][6 + 1 :] == shown


async def test_a_server_that_nobody_knows_is_refused(database_place: Place) -> None:
    """Bug 18: a dead letter with the reason, no run, no line of history."""
    async with server_world(database_place) as world, world.home.running():
        await world.ask(99)
        assert [one["kind"] for one in world.told("error")] == ["no-such-server"]
        assert len(world.home.sqs.bodies(DEAD_LETTERS)) == 1
        assert await world.rows("SELECT COUNT(*) FROM server_test_run") == [(0,)]
        assert world.servers.mailwizz.history == []


async def test_a_server_under_test_is_refused_a_second_test(database_place: Place) -> None:
    """Busy while the first waits for its mail; free when that is over."""
    async with server_world(database_place) as world, world.home.running():
        world.servers.mailwizz.add(server())
        world.servers.probe.loses = True
        await world.ask()
        await world.ask()
        assert [one["kind"] for one in world.told("error")] == ["busy"]
        world.servers.probe.loses = False
        await world.later(HOUR_MS)
        await world.ask()
        assert [one["verdict"] for one in world.told()] == ["FAILED", "SUCCESSFUL"]


async def test_the_same_command_again_gets_the_stored_result(database_place: Place) -> None:
    """Also where the inbox has forgotten it: one mail, one line, the same words under the same id."""
    async with server_world(database_place) as world, world.home.running():
        world.servers.mailwizz.add(server())
        data = {"serverId": 7, "robotId": 61001}
        await world.tell("server.test", data, id="same")
        await world.tell("server.test", data, id="same")
        assert len(world.told()) == 1
        await world.home.database.apply([Write("DELETE FROM inbox")])
        await world.tell("server.test", data, id="same")
        first, second = world.home.results(61001)
        assert (first["id"], first["payload"]) == (second["id"], second["payload"])
        assert (world.servers.probe.delivered, world.servers.mailwizz.verdicts(7)) == ([7], ["SUCCESSFUL"])


async def test_two_tests_in_one_second_have_different_starts(database_place: Place) -> None:
    """Bug 4: the second waits for the next second, or its line could not be told from the first one's."""
    async with server_world(database_place) as world, world.home.running():
        world.servers.mailwizz.add(server())
        await world.ask()
        await world.ask()
        assert len(world.told()) == 1
        await world.later(2 * SECOND_MS)
        starts = [started for _, started, _, _ in world.servers.mailwizz.history]
        assert starts == ["2025-11-25 08:40:00", "2025-11-25 08:40:01"]


async def test_a_dry_run_writes_nothing(database_place: Place) -> None:
    """FAILED is told, MailWizz has no line and the server stays as it is; nobody is alarmed."""
    async with server_world(database_place, settings={"reset_quota": True}) as world, world.home.running():
        world.servers.mailwizz.add(server())
        world.servers.probe.found[7] = [BAD_PASSWORD]
        await world.ask(dryRun=True)
        told = world.last()
        assert (told["verdict"], told["kept"], told["dryRun"]) == ("FAILED", "dry-run", True)
        assert (world.servers.mailwizz.history, world.servers.mailwizz.resets) == ([], [])
        assert world.servers.mailwizz.status(7) == "active"


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"deactivate": "off"}, "off"),
        ({"deactivate": "dry"}, "dry"),
        ({"failures_before_deactivate": 2}, "too-few-failures"),
        ({"keep_last_active": True}, "last-active"),
    ],
)
async def test_a_server_that_fails_is_kept_where_the_settings_say_so(
    database_place: Place, settings: dict[str, object], kept: str
) -> None:
    """The line of history is written all the same, and the reason is told."""
    async with server_world(database_place, settings=settings) as world, world.home.running():
        world.servers.mailwizz.add(server())
        world.servers.probe.found[7] = [BAD_PASSWORD]
        await world.ask()
        assert failed(world) == ("FAILED", "active", ["FAILED"])
        assert (world.last()["deactivated"], world.last()["kept"]) == (False, kept)
        assert world.last()["deactivationSkipped"] is (kept == "last-active")


async def test_the_second_failure_in_a_row_switches_off_where_two_are_wanted(database_place: Place) -> None:
    """One alone does not."""
    async with server_world(database_place, settings={"failures_before_deactivate": 2}) as world:
        world.servers.mailwizz.add(server())
        world.servers.probe.found[7] = [BAD_PASSWORD]
        async with world.home.running():
            for status in ("active", "inactive"):
                await world.ask()
                await world.later(2 * SECOND_MS)
                assert world.servers.mailwizz.status(7) == status


async def test_a_configuration_that_changes_between_load_and_send_is_tested_anew(database_place: Place) -> None:
    """What is judged is what was sent with: the run begins again with the new row and a new start."""
    async with server_world(database_place) as world, world.home.running():
        wizz = world.servers.mailwizz
        wizz.add(server())
        world.servers.probe.resolved[7] = [NO_HOST, Finding(StepId.RESOLVE, StepOutcome.PASS)]
        await world.ask()
        wizz.change(7, hostname="other.sender.test")
        await world.later(MINUTE_MS)
        assert world.last()["fingerprint"] == wizz.servers[7].fingerprint
        assert failed(world) == ("SUCCESSFUL", "active", ["SUCCESSFUL"])


async def test_a_configuration_that_changes_after_the_send_is_not_switched_off(database_place: Place) -> None:
    """Bugs 3 and 10: the line is written, the status is its administrator's, and the skip is told."""
    async with server_world(database_place) as world, world.home.running():
        wizz = world.servers.mailwizz
        wizz.add(server())
        world.servers.probe.found[7] = [BAD_PASSWORD]
        world.servers.probe.on_deliver = lambda _server: wizz.change(7, hostname="mended.sender.test")
        await world.ask()
        assert failed(world) == ("FAILED", "active", ["FAILED"])
        assert (world.last()["kept"], world.last()["deactivationSkipped"]) == ("changed", True)


async def test_a_server_that_an_administrator_saved_meanwhile_is_not_switched_off(database_place: Place) -> None:
    """The same where only `last_updated` moved."""
    async with server_world(database_place) as world, world.home.running():
        wizz = world.servers.mailwizz
        wizz.add(server())
        world.servers.probe.found[7] = [BAD_PASSWORD]
        world.servers.probe.on_deliver = lambda _server: wizz.change(7)
        await world.ask()
        assert (failed(world), world.last()["kept"]) == (("FAILED", "active", ["FAILED"]), "changed")


async def test_a_server_that_is_deleted_meanwhile_leaves_no_line(database_place: Place) -> None:
    """An ERROR with the reason."""
    async with server_world(database_place) as world, world.home.running():
        wizz = world.servers.mailwizz
        wizz.add(server())
        world.servers.probe.found[7] = [BAD_PASSWORD]
        world.servers.probe.on_deliver = lambda _server: wizz.servers.clear()
        await world.ask()
        assert (world.last()["verdict"], wizz.history) == ("ERROR", [])
        assert await world.claims() == []


async def test_an_error_of_promotion_changes_no_verdict(database_place: Place) -> None:
    """Bug 2: it is told, and that is all."""
    async with server_world(database_place, settings={"promote_to_group": 2}) as world, world.home.running():
        world.servers.mailwizz.add(server())
        await world.ask()
        world.servers.mailwizz.promotion_fails = True
        await world.later(2 * SECOND_MS)
        await world.ask()
        assert [one["promotionError"] for one in world.told()] == [None, "no such group"]
        assert world.servers.mailwizz.verdicts(7) == ["SUCCESSFUL", "SUCCESSFUL"]
        assert world.servers.mailwizz.groups == [(7, 2)]


async def test_no_password_is_kept(database_place: Place) -> None:
    """It is read anew for each step: no column of ours has it."""
    secret = secrets.token_hex(8)
    async with server_world(database_place) as world, world.home.running():
        world.servers.mailwizz.add(server(username="sender", password=secret))
        await world.ask()
        assert world.last()["verdict"] == "SUCCESSFUL"
        for table, column in (("server_test_run", "body"), ("journal", "reason")):
            rows = await world.rows(f"SELECT {column} FROM {table}")  # noqa: S608  names of ours
            assert rows
            assert not any(secret in str(row[0]) for row in rows)


@pytest.mark.parametrize(
    ("left_out", "changes", "data", "reason"),
    [
        (("mailbox",), {}, {}, "mail.imap_host"),
        (("probe",), {}, {}, "the extra `mail`"),
        ((), {"type": "sendmail"}, {}, "speaks no SMTP"),
        ((), {}, {"path": "campaign"}, "campaign_list_id"),
    ],
)
async def test_what_is_not_configured_is_named(
    database_place: Place, left_out: tuple[str, ...], changes: dict[str, Any], data: dict[str, Any], reason: str
) -> None:
    """A server that can't be tested is neither good nor bad: a SKIP with the reason, no line, no change."""
    async with server_world(database_place) as world:
        world.servers.left_out = left_out
        world.servers.mailwizz.add(server(**changes))
        async with world.home.running():
            await world.ask(**data)
            assert failed(world) == ("ERROR", "active", [])
            assert reason in world.last()["reason"]
            assert world.steps() == {"T1": "SKIP"}


async def test_without_mailwizz_there_are_no_tests(database_place: Place) -> None:
    """A command is refused with the setting that is missing."""
    async with server_world(database_place) as world:
        world.servers.left_out = ("mailwizz",)
        async with world.home.running():
            await world.ask()
            await world.cycle()
            assert [one["kind"] for one in world.told("error")] == ["servers-off", "servers-off"]
            assert "mailwizz.database_url" in world.last("error")["error"]


async def test_a_malformed_row_is_the_server_s_fault(database_place: Place) -> None:
    """T1: without a sender nothing could be sent at all."""
    async with server_world(database_place) as world, world.home.running():
        world.servers.mailwizz.add(server(from_email="nobody"))
        await world.ask()
        assert failed(world) == ("FAILED", "inactive", ["FAILED"])
        assert world.last()["reason"].startswith("T1 malformed")


async def test_a_campaign_goes_all_its_way(database_place: Place) -> None:
    """By MailWizz itself, with its tables: C1, C2, arrival by table, sender, interactions, bounce."""
    async with server_world(database_place, settings=CAMPAIGN) as world, world.home.running():
        world.servers.mailwizz.add(server())
        await world.ask(path="campaign")
        assert failed(world) == ("SUCCESSFUL", "active", ["SUCCESSFUL"])
        assert list(world.steps()) == ["T0", "T1", "C1", "C2", "T7", "T8", "T15", "T16"]
        assert world.last()["path"] == "campaign"
        assert await world.claims() == []


@pytest.mark.parametrize(
    ("changes", "verdict", "reason"),
    [
        ({"status": "giveup", "message": "550 no"}, "FAILED", "C2 giveup: 550 no"),
        ({"sent_by": 8}, "ERROR", "C2 not-isolated"),
        ({"status": "blacklisted"}, "ERROR", "C2 blacklisted"),
        ({"is_sent": False}, "ERROR", "C2 not-sent"),
        ({"is_stored": False}, "ERROR", "T7 mailbox"),
    ],
)
async def test_a_campaign_fails_by_its_own_log(
    database_place: Place, changes: dict[str, object], verdict: str, reason: str
) -> None:
    """Bugs 11 and 12: another server's send proves nothing, and what MailWizz has logged needs no waiting."""
    async with server_world(database_place, settings=CAMPAIGN) as world, world.home.running():
        world.servers.mailwizz.add(server())
        for name, value in changes.items():
            setattr(world.servers.campaigns, name, value)
        await world.ask(path="campaign")
        await world.later(HOUR_MS)
        assert world.last()["reason"].startswith(reason)
        assert failed(world) == (verdict, *(("inactive", ["FAILED"]) if verdict == "FAILED" else ("active", [])))


async def test_a_campaign_waits_for_its_list(database_place: Place) -> None:
    """Bug 13: two tests of different servers never use one list at a time, and both come to their end."""
    async with server_world(database_place, settings=CAMPAIGN) as world, world.home.running():
        world.servers.mailwizz.add(server(7), server(8))
        world.servers.campaigns.is_stored = False
        await world.ask(7, path="campaign")
        await world.ask(8, path="campaign")
        await world.later(MINUTE_MS)
        assert await world.claims() == ["list:12", "server:7", "server:8"]
        assert len(world.servers.campaigns.created) == 1
        world.servers.campaigns.is_stored = True
        await world.later(2 * MINUTE_MS)
        assert [one["verdict"] for one in world.told()] == ["SUCCESSFUL", "SUCCESSFUL"]
        assert await world.claims() == []


async def test_mailwizz_that_is_down_at_the_record_is_waited_for(database_place: Place) -> None:
    """The verdict is kept for longer than any patience: only MailWizz can tell whether its line is there."""
    async with server_world(database_place) as world, world.home.running():
        wizz = world.servers.mailwizz
        wizz.add(server())

        def goes_down(_server: object) -> None:
            wizz.down = True

        world.servers.probe.on_deliver = goes_down
        await world.ask()
        await world.later(2 * HOUR_MS)
        assert (world.told(), wizz.history) == ([], [])
        wizz.down = False
        await world.later(21 * SECOND_MS)
        assert failed(world) == ("SUCCESSFUL", "active", ["SUCCESSFUL"])


async def test_single_tests_that_fail_alike_switch_nobody_off(database_place: Place) -> None:
    """The third server in an hour that fails at the same step is an outage; one that fails elsewhere is not."""
    async with server_world(database_place) as world, world.home.running():
        world.servers.mailwizz.add(*(server(number) for number in range(1, 6)))
        for number in range(1, 5):
            world.servers.probe.found[number] = [BAD_PASSWORD]
        world.servers.probe.resolved[5] = [NO_HOST]
        for number in range(1, 6):
            await world.ask(number)
        await world.later(MINUTE_MS)
        verdicts = [(one["verdict"], one["deactivated"]) for one in world.told()]
        assert verdicts == [("FAILED", True)] * 2 + [("ERROR", False)] * 2 + [("FAILED", True)]
        assert world.servers.mailwizz.verdicts(3) == []
        assert world.last()["serverId"] == 5


async def test_a_direct_test_asks_for_a_bounce_where_it_is_wanted(database_place: Place) -> None:
    """T16 by mail: sent to an address that takes none, found by its token when it comes back, else a FAIL."""
    mail = {"refusing_address": "nobody@mailbox.test"}
    async with server_world(database_place, mail=mail) as world, world.home.running():
        world.servers.mailwizz.add(server())
        await world.ask(checks=["T16"])
        await world.later(MINUTE_MS)
        probe_mail, bounce_mail = world.servers.probe.mails
        assert (probe_mail.to.partition("+")[0], bounce_mail.to) == ("probe", "nobody@mailbox.test")
        found = await world.servers.mailbox.find(bounce_mail.token, wait_s=0)
        assert found is not None
        world.servers.mailbox.bounces[bounce_mail.token] = found
        await world.later(2 * MINUTE_MS)
        assert (world.last()["verdict"], world.steps()["T16"]) == ("SUCCESSFUL", "PASS")
        await world.ask(checks=["T16"])
        await world.later(HOUR_MS)
        assert (world.last()["verdict"], world.steps()["T16"]) == ("FAILED", "FAIL")


async def test_a_server_in_use_is_tested_like_an_active_one(database_place: Place) -> None:
    """Bug 7; and one that MailWizz does not send through is tested when asked for, and never switched off."""
    async with server_world(database_place) as world, world.home.running():
        world.servers.mailwizz.add(server(7, status="in-use"), server(8, status="disabled"))
        world.servers.probe.found.update({7: [BAD_PASSWORD], 8: [BAD_PASSWORD]})
        await world.ask(7)
        await world.ask(8)
        assert [one["kept"] for one in world.told()] == ["", "not-sending"]
        assert (world.servers.mailwizz.status(7), world.servers.mailwizz.status(8)) == ("inactive", "disabled")


async def test_an_error_names_our_own_mailbox(database_place: Place) -> None:
    """A 550 for the probe's own address is ours to mend: no verdict, at once, and no second mail."""
    async with server_world(database_place) as world, world.home.running():
        world.servers.mailwizz.add(server())
        world.servers.probe.found[7] = [BOX_OF_OURS]
        await world.ask()
        assert failed(world) == ("ERROR", "active", [])
        assert world.servers.probe.delivered == [7]


@pytest.mark.parametrize("error", [RuntimeError("a bug"), RuleViolation("probes may not be sent there")])
async def test_a_test_that_is_given_up_ends_and_frees_its_server(database_place: Place, error: Exception) -> None:
    """Whatever a step raises again and again, or what the configuration forbids: ERROR, no line, nothing is held."""
    async with server_world(database_place, consumer={"max_attempts": 3}) as world, world.home.running():
        world.servers.mailwizz.add(server())

        def breaks(_server: object) -> None:
            raise error

        world.servers.probe.on_deliver = breaks
        await world.ask()
        await world.later(HOUR_MS)
        assert failed(world) == ("ERROR", "active", [])
        assert "given up" in world.last()["reason"]
        assert await world.claims() == []
        assert len(world.home.sqs.bodies("robotd-timers-dlq")) == 1


async def test_servers_that_hang_delay_no_other_timer(database_place: Place) -> None:
    """Their steps have slots of their own: with all of them taken, what is due elsewhere fires."""
    async with server_world(database_place, settings={"max_in_flight": 2}) as world, world.home.running():
        valve = asyncio.Event()
        world.servers.probe.valve = valve
        world.servers.mailwizz.add(*(server(number) for number in range(1, 5)))
        for number in range(1, 5):
            data = {"serverId": number, "robotId": ROBOT}
            world.home.sqs.send(world.home.settings.queues.commands, command("server.test", data))
        timer = (
            "INSERT INTO timer (id, type, data, call_ref, due_at_ms, lease_owner, lease_until_ms, fence, claims) "
            "VALUES ('alert.quiet:x', 'alert.quiet', '{}', NULL, 0, '', 0, 1, 0)"
        )
        async with asyncio.timeout(20):
            while len(world.servers.probe.delivered) < 2:
                await world.home._a_moment()
            await world.home.database.apply([Write(timer)])
            while await world.rows("SELECT 1 FROM timer WHERE id = 'alert.quiet:x'"):
                await world.home._a_moment()
        assert len(world.servers.probe.delivered) == 2
        valve.set()
        await world.home.quiet()
        assert [one["verdict"] for one in world.told()] == ["SUCCESSFUL"] * 4


async def test_a_test_is_asked_for_again_where_mailwizz_is_away(database_place: Place) -> None:
    """The command waits; it is no dead letter, and no run."""
    async with server_world(database_place) as world, world.home.running():
        world.servers.mailwizz.add(server())
        world.servers.mailwizz.down = True
        world.home.sqs.send(
            world.home.settings.queues.commands, command("server.test", {"serverId": 7, "robotId": ROBOT})
        )
        async with asyncio.timeout(20):
            while ("retried",) not in await world.rows("SELECT outcome FROM journal"):
                await world.home._a_moment()
        assert await world.rows("SELECT COUNT(*) FROM server_test_run") == [(0,)]
        world.servers.mailwizz.down = False
        async with asyncio.timeout(20):
            while not world.told():
                await world.home._a_moment()
        assert failed(world) == ("SUCCESSFUL", "active", ["SUCCESSFUL"])
        assert world.home.sqs.bodies(DEAD_LETTERS) == []


async def by_mailbox(world: ServerWorld) -> None:
    """A test by campaign whose mail has come into the mailbox."""
    world.servers.mailwizz.add(server())
    await world.ask(path="campaign")
    (token,) = world.servers.campaigns.created
    world.servers.mailbox.put(token, b"From: <news@sender.test>\r\nReply-To: news@sender.test\r\n\r\n")
    await world.later(10 * SECOND_MS)


async def test_a_campaign_s_mail_is_read_once_and_its_rows_are_waited_for(database_place: Place) -> None:
    """T15: robotd opens, clicks and unsubscribes once; MailWizz may take its time to count it."""
    settings = {**CAMPAIGN, "campaign_arrival": "mailbox"}
    async with server_world(database_place, settings=settings) as world:
        world.servers.reader = MemoryReader()
        world.servers.campaigns.seen = Interactions(1, 1, 0, 0)
        async with world.home.running():
            await by_mailbox(world)
            await world.later(MINUTE_MS)
            assert world.told() == []
            world.servers.campaigns.seen = Interactions(1, 1, 1, 1)
            await world.later(2 * MINUTE_MS)
            assert failed(world) == ("SUCCESSFUL", "active", ["SUCCESSFUL"])
            assert world.servers.reader.read == 1


@pytest.mark.parametrize(
    ("finding", "seen", "reason"),
    [
        (Finding(StepId.INTERACTIONS, StepOutcome.FAIL, "refused", "500 from track.test"), (1, 1, 1, 1), "T15 refused"),
        (Finding(StepId.INTERACTIONS, StepOutcome.PASS), (1, 0, 0, 1), "T15 missing: MailWizz has counted no click"),
        (Finding(StepId.INTERACTIONS, StepOutcome.PASS), (1, 1, 1, 0), "T16 missing: MailWizz has counted no bounce"),
    ],
)
async def test_a_campaign_that_is_not_counted_fails(
    database_place: Place, finding: Finding, seen: tuple[int, int, int, int], reason: str
) -> None:
    """A link that is refused at once, a row that never comes at its limit."""
    settings = {**CAMPAIGN, "campaign_arrival": "mailbox"}
    async with server_world(database_place, settings=settings) as world:
        world.servers.reader = MemoryReader(finding)
        world.servers.campaigns.seen = Interactions(*seen)
        async with world.home.running():
            await by_mailbox(world)
            await world.later(HOUR_MS)
            assert world.last()["reason"].startswith(reason)
            assert failed(world) == ("FAILED", "inactive", ["FAILED"])


@pytest.mark.parametrize(
    ("mail", "refuses", "outcome"),
    [({}, False, "SKIP"), ({"refusing_address": "nobody@mailbox.test"}, True, "WARN")],
)
async def test_a_bounce_that_can_t_be_had_fails_nobody(
    database_place: Place, mail: dict[str, object], *, refuses: bool, outcome: str
) -> None:
    """Without an address for it T16 is left out; a server that refuses at once has told already."""
    async with server_world(database_place, mail=mail) as world, world.home.running():
        world.servers.mailwizz.add(server())
        no_such = (*GOOD[:3], Finding(StepId.SEND, StepOutcome.FAIL, "recipient-refused", "550 no"))
        world.servers.probe.found[7] = [GOOD, no_such] if refuses else [GOOD]
        await world.ask(checks=["T16"])
        assert (world.last()["verdict"], world.steps()["T16"]) == ("SUCCESSFUL", outcome)


async def test_checks_that_are_not_there_are_skipped(database_place: Place) -> None:
    """Where the extra is not installed, and where only headers are known: SKIP with the reason."""
    async with server_world(database_place, settings=CAMPAIGN) as world:
        world.servers.left_out = ("checks",)
        world.servers.mailwizz.add(server())
        async with world.home.running():
            for path in ("direct", "campaign"):
                await world.ask(path=path, checks=["T9", "T13"])
                await world.later(2 * SECOND_MS)
                assert world.last()["verdict"] == "SUCCESSFUL"
                assert (world.steps()["T9"], world.steps()["T13"]) == ("SKIP", "SKIP")


async def test_a_server_that_goes_before_its_first_step_is_no_verdict(database_place: Place) -> None:
    """Known when it was asked for, gone when it is to be loaded: the second test of one second waits for the next."""
    async with server_world(database_place) as world, world.home.running():
        world.servers.mailwizz.add(server())
        await world.ask()
        await world.ask()
        world.servers.mailwizz.servers.clear()
        await world.later(2 * SECOND_MS)
        assert (world.last()["verdict"], world.last()["reason"][:7]) == ("ERROR", "T0 gone")
        assert world.servers.mailwizz.verdicts(7) == ["SUCCESSFUL"]
        assert await world.claims() == []


async def test_a_record_that_is_given_up_keeps_its_verdict_and_says_so(database_place: Place) -> None:
    """A bug at the last step: the verdict stands in the result, marked as not recorded; nothing is held."""
    async with server_world(database_place, consumer={"max_attempts": 3}) as world, world.home.running():
        world.servers.mailwizz.add(server())

        def breaks(_what: object) -> None:
            raise RuntimeError("a bug")

        world.servers.mailwizz.on_record = breaks
        await world.ask()
        await world.later(HOUR_MS)
        assert (world.last()["verdict"], world.last()["kept"]) == ("SUCCESSFUL", "not-recorded")
        assert world.servers.mailwizz.history == []
        assert await world.claims() == []
