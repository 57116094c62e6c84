"""Larger campaigns with everything at once: kills at random instants, one and two replicas, weather and wishes.

The gate strikes at 16 instants, `make prove` at 300.
"""

from collections.abc import AsyncIterator
from itertools import product
from pathlib import Path

import pytest
import pytest_asyncio

from tests.mariadb import MariaDb
from tests.proof.campaign_chaos import Chaos, describe
from tests.proof.campaign_home import mailroom
from tests.proof.campaign_weather import ENGINES
from tests.proof.nursery import Nursery, nursery
from tests.proof.proof_amounts import FULL, SEED, dice

# On SQLite a second process is not supported; so two replicas are for MariaDB.
HOMES = {"sqlite": 1, "mariadb": 1, "two-on-mariadb": 2}
GATE = {"sqlite": 6, "mariadb": 5, "two-on-mariadb": 5}
INSTANTS = 5
PIECES = 20 if FULL else 1


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def children() -> AsyncIterator[Nursery]:
    """One nursery for all tests of this file."""
    async with nursery() as opened:
        yield opened


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("kind", "piece"), list(product(HOMES, range(PIECES))))
async def test_whatever_happens_to_a_campaign_nobody_gets_it_twice_and_everybody_is_shown(
    request: pytest.FixtureRequest, tmp_path: Path, children: Nursery, kind: str, piece: int
) -> None:
    """WAHA's record has each contact at most once, the ledger everybody who was on the list, its robot the end once."""
    chance = dice("world", kind, piece)
    server: MariaDb | None = None if kind == "sqlite" else request.getfixturevalue("mariadb")
    address = None if server is None else server.new_database()
    place = tmp_path / "robotd.db" if address is None else address
    told = f"ROBOTD_PROOF_SEED={SEED}, {kind}, piece {piece}"
    async with mailroom(place, tmp_path / "home", children, engine=chance.choice(ENGINES)) as room:
        chaos = Chaos(room, lambda about: dice(about, kind, piece), HOMES[kind], may_freeze=FULL)
        contacts = chance.randint(60, 200 if FULL else 90)
        try:
            wrong = await chaos.violations(contacts, INSTANTS if FULL else GATE[kind])
        except (AssertionError, TimeoutError) as error:
            wrong = [f"never over: {error}"]
        assert wrong == [], f"{told}: {describe(room)}\n" + "\n".join(wrong)
    if server is not None and address is not None:
        server.drop(address)
