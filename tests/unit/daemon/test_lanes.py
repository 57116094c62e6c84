"""Lanes: one at a time per key, first come, first served, and no memory of keys that nobody wants."""

import asyncio

import pytest

from daemon.lanes import Lanes


async def test_one_key_is_held_by_one_at_a_time_in_order() -> None:
    """Five that want the same lane get it in the order in which they came."""
    lanes, order, inside = Lanes(), list[int](), list[int]()

    async def pass_through(number: int) -> None:
        async with lanes.hold("robot"):
            inside.append(number)
            assert len(inside) == 1
            await asyncio.sleep(0)
            inside.remove(number)
            order.append(number)

    await asyncio.gather(*(pass_through(number) for number in range(5)))
    assert order == [0, 1, 2, 3, 4]
    assert lanes._lanes == {}


async def test_different_keys_and_no_key_do_not_wait_for_each_other() -> None:
    """Two keys and two without a key are inside together."""
    lanes = Lanes()
    async with asyncio.timeout(1), lanes.hold(1), lanes.hold(2), lanes.hold(None), lanes.hold(None):
        assert len(lanes._lanes) == 2


async def test_one_who_gives_up_waiting_leaves_the_lane_to_the_next() -> None:
    """A cancelled waiter is forgotten, the one behind it comes in, and nothing stays behind."""
    lanes = Lanes()

    async def enter() -> None:
        async with lanes.hold("robot"):
            pass

    async with lanes.hold("robot"):
        first, second = asyncio.create_task(enter()), asyncio.create_task(enter())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
    async with asyncio.timeout(1):
        await second
    assert lanes._lanes == {}


async def test_an_error_inside_frees_the_lane() -> None:
    """The error goes through, and the lane is free."""
    lanes = Lanes()
    with pytest.raises(ValueError, match="inside"):
        async with lanes.hold("robot"):
            raise ValueError("inside")
    assert lanes._lanes == {}
