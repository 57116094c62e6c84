"""Tests of delivery servers as their askers meet them: final state, history, what was told; on both engines."""

from tests.integration.server_world import Place, server_world
from tests.memory_servers import server


async def test_a_good_server_is_successful_once(database_place: Place) -> None:
    """All required steps pass; one line of history with MailWizz's clock at the start, and nothing is left."""
    async with server_world(database_place) as world, world.home.running():
        world.servers.mailwizz.add(server())
        await world.ask()
        told = world.last()
        assert (told["verdict"], told["path"], told["deactivated"]) == ("SUCCESSFUL", "direct", False)
        assert set(world.steps()) == {"T0", "T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8"}
        assert world.servers.mailwizz.verdicts(7) == ["SUCCESSFUL"]
        assert world.servers.mailwizz.status(7) == "active"
        assert world.servers.mailwizz.history[0][1] == told["started"] == "2025-11-25 08:40:00"
        assert await world.claims() == []
        assert await world.home.leftovers() == {}
