"""What people look at of MailWizz: all servers, and the history as it stands there, on each engine."""

from daemon.clients.mailwizz_database import MailWizzDatabase
from daemon.clients.mailwizz_looks import SqlMailWizzLooks
from daemon.server_view import HistoryLine
from domain.server_test import Verdict
from tests.contract.mailwizz.conftest import Failing, MailWizzWorld


def looks(world: MailWizzWorld) -> SqlMailWizzLooks:
    return SqlMailWizzLooks(MailWizzDatabase(world.database), world.names)


async def test_all_servers_are_listed_whatever_their_status(world: MailWizzWorld) -> None:
    """By id, as a test would read each of them; those that send are the candidates."""
    for server_id, status in ((12, "disabled"), (7, "active"), (9, "in-use")):
        await world.add_server(server_id, status=status)
    found = await looks(world).servers()
    assert [(one.id, one.status) for one in found] == [(7, "active"), (9, "in-use"), (12, "disabled")]
    assert found[0] == await looks(world).server(7) == await world.known(7)
    assert [one.server.id for one in await looks(world).candidates(60)] == [7, 9]


async def test_a_history_is_newest_first_and_bounded(world: MailWizzWorld, failed: Failing) -> None:
    """With the error as it was recorded; what an earlier tester called PENDING is no test."""
    loaded = await world.add_server(7)
    newest, older = await world.ago(60), await world.ago(600)
    await world.add_line(7, older)
    await world.add_line(7, await world.ago(30), "PENDING")
    await world.mailwizz.record(failed(loaded, newest))
    bad = HistoryLine(7, Verdict.FAILED, newest, "535 no such user (switched off)")
    assert await looks(world).history(7, 10) == [bad, HistoryLine(7, Verdict.SUCCESSFUL, older, None)]
    assert await looks(world).history(7, 1) == [bad]
    assert await looks(world).history(8, 10) == []


async def test_the_last_line_of_each_server_is_its_newest_and_of_two_the_failed_one(world: MailWizzWorld) -> None:
    """One line for each server that has any, for all in one question."""
    for server_id in (7, 8, 9):
        await world.add_server(server_id)
    same, older = await world.ago(60), await world.ago(600)
    for status in ("FAILED", "SUCCESSFUL"):
        await world.add_line(7, same, status)
    await world.add_line(7, older)
    await world.add_line(8, older, "FAILED")
    await world.add_line(8, same)
    await world.add_line(9, same, "PENDING")
    last = await looks(world).last_lines()
    assert {key: (line.verdict, line.started) for key, line in last.items()} == {
        7: (Verdict.FAILED, same),
        8: (Verdict.SUCCESSFUL, same),
    }
