"""A daemon stops without an end between the intent and the answer, for longer than its lease, while another works."""

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
import pytest_asyncio

from daemon.store.mysql import MysqlAddress
from tests.mariadb import MariaDb
from tests.proof.campaign_course import Step, undisturbed
from tests.proof.campaign_home import mailroom
from tests.proof.campaign_judge import Judge
from tests.proof.child import PAUSE, Armed
from tests.proof.nursery import BOUND_S, Nursery, nursery, within
from tests.proof.proof_amounts import FULL

CONTACTS, FROZEN = 6, 2
pytestmark = pytest.mark.xdist_group("campaigns frozen")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def children() -> AsyncIterator[Nursery]:
    """One nursery for all tests of this file."""
    async with nursery() as opened:
        yield opened


@pytest.mark.asyncio(loop_scope="module")
async def test_a_daemon_that_wakes_up_after_its_lease_sends_nothing_that_another_has_decided_about(
    mariadb: MariaDb, tmp_path: Path, children: Nursery
) -> None:
    """Frozen before the send, in its last moment, or before its answer: what the heir has looked up stays so."""
    async with mailroom(mariadb.new_database(), tmp_path / "first", children) as room:
        people = await room.with_people(CONTACTS)
        await room.kill(room.home.child)
        steps = (await undisturbed(room, people)).around(FROZEN)
    cases = product(steps, (True, False)) if FULL else zip(steps, (True, False, True), strict=True)
    async with asyncio.TaskGroup() as worlds:
        for number, (step, reaches_back) in enumerate(cases):
            place, folder = mariadb.new_database(), tmp_path / str(number)
            is_answered = step is steps[-1]
            worlds.create_task(_freeze(place, folder, children, step, Chats(reaches_back, is_answered)))


@dataclass(frozen=True, slots=True)
class Chats:
    """What WAHA knows when the heir looks: `reach_back`, so that it can deny a message; `is_there`, the one itself."""

    reach_back: bool
    is_there: bool


async def _freeze(place: MysqlAddress, folder: Path, children: Nursery, step: Step, chats: Chats) -> None:
    async with mailroom(place, folder, children) as room:
        people = await room.with_people(CONTACTS)
        await room.kill(room.home.child)
        sleeper = await room.start_again(Armed(step.point, PAUSE, step.hit))
        letter = room.new_letter(people)
        if chats.reach_back:
            room.remember_older_texts(letter, *people)
        room.create(letter)
        await room.frozen(sleeper)
        heir = await room.home.start()  # the sleeper's lease ends by itself: its own clock must have gone on as far
        await room.settle(letter)
        decided = (len(room.waha.accepted), room.ledger(letter))
        settled, logged = room.home.reached(sleeper, "after_settle"), len(room.home.log())

        def has_noticed() -> bool:
            events = {line["event"] for line in room.home.log()[logged:]}
            return "timer.lease_lost" in events or room.home.reached(sleeper, "after_settle") > settled

        sleeper.signal(signal.SIGCONT)
        await room.until(has_noticed, f"{step}: the sleeper has noticed")
        sleeper.signal(signal.SIGTERM)  # whatever it still has in hand is at its end when it has stopped
        await within(BOUND_S, sleeper.ended)
        assert (len(room.waha.accepted), room.ledger(letter)) == decided, f"{step}: the sleeper did something"
        assert Judge(room, lookups_work=True).violations(letter) == [], step
        open_end = "SENT" if chats.is_there or chats.reach_back else "UNKNOWN"
        assert room.ledger(letter)[FROZEN]["state"] == open_end, step
        assert (sleeper.code, heir.code) == (0, None), step
