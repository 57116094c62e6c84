"""A memory of answers: bounded in number and in time."""

from daemon.recent import Recent
from tests.templates import Clock


def test_a_value_is_there_until_its_time_is_over() -> None:
    """At the very end of its time it is gone, and putting it again begins anew."""
    clock = Clock()
    recent: Recent[str, int] = Recent(3, 30, clock)
    recent.put("a", 1)
    clock.now_s = 29.9
    assert recent.get("a") == 1
    recent.put("b", 2)
    clock.now_s = 30
    assert (recent.get("a"), recent.get("b"), len(recent)) == (None, 2, 1)
    recent.put("b", 3)
    clock.now_s = 59.9
    assert recent.get("b") == 3


def test_the_one_used_longest_ago_makes_room() -> None:
    """Asking counts as use; the number never rises above the limit."""
    recent: Recent[str, int] = Recent(2)
    recent.put("a", 1)
    recent.put("b", 2)
    assert recent.get("a") == 1
    recent.put("c", 3)
    assert (recent.get("a"), recent.get("b"), recent.get("c"), len(recent)) == (1, None, 3, 2)
    assert recent.values() == [1, 3]


def test_a_memory_of_no_time_keeps_nothing_that_can_be_had() -> None:
    """`cache_s: 0` asks the database each time."""
    recent: Recent[str, int] = Recent(2, 0, Clock())
    recent.put("a", 1)
    assert recent.get("a") is None


def test_some_keys_can_be_dropped() -> None:
    """And only those."""
    recent: Recent[tuple[str, int], int] = Recent(9)
    for key in (("a", 0), ("a", 1), ("b", 0)):
        recent.put(key, 1)
    recent.drop(lambda key: key[0] == "a")
    assert recent.values() == [1]
    assert recent.get(("b", 0)) == 1
