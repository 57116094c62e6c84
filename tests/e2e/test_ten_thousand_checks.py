"""Ten thousand checks are open at once: each ends as its own events say, when it should, and the daemon doesn't grow.

Up to a thousand, with ten events each, belong to every run of the tests; all ten thousand to `make scale`.
"""

import asyncio
import gc
import logging
import os
import resource
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Self

import pytest
import structlog

from daemon.log import configure
from daemon.store.mysql import MysqlAddress
from domain.wire import iso, milliseconds
from localstack.clock import ManualClock
from localstack.megazord_records import Fate
from tests.e2e.crowd import Home, Story, home_of, story_of
from tests.world import MORNING_MS, World, create_command, world

FULL = os.environ.get("ROBOTD_TEST_SCALE") == "full"
CHECKS = {"sqlite": 1_000, "mariadb": 400}  # in every run
ALL_CHECKS = 10_000
ROUNDS = 10
STEP = 88120
FIRST_ROUND_MS, ROUND_MS = MORNING_MS + 120_000, 60_000
MOMENTS_MS = [FIRST_ROUND_MS + number * ROUND_MS for number in range(ROUNDS)]
FIRST_END_MS = MOMENTS_MS[-1] + 60_000
ENDS_IN_A_SECOND = 30 if FULL else 20  # ten thousand windows of half an hour end at six in a second
LATE_P99_MS = 2_000
TICK_S = 0.005
BOUND_S = 900.0
WARM_ROUNDS, WATCHED_ROUNDS = 2, 3
# Less than the smallest thing that could be kept of an event, and room for caches that are still filling.
KEPT_BYTES_AN_EVENT, KEPT_BYTES = 24, 128 * 1024
OURS = ("daemon", "handlers", "domain")
ITS_LIBRARIES = ("httpx", "httpcore", "aiomysql", "pymysql", "structlog", "pydantic", "asteval")
PATIENT = {"timeout_s": 60}  # the neighbours live in this very process and have no processor of their own
Place = Path | MysqlAddress


@dataclass(frozen=True, slots=True)
class Ended:
    """How late the robots heard of the ends of their windows, in business milliseconds: sorted."""

    fired: list[int]
    heard: list[int]


@pytest.fixture
def _log_goes_nowhere() -> Iterator[None]:
    """Written as in production, and to nobody: a line for each message would hide what the test has to say."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        configure("json", "info", nowhere, is_strict=True)  # else loggers would be kept beyond this test
        yield
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.reset_defaults()


def _crowd(place: Place) -> list[Home]:
    count = ALL_CHECKS if FULL else CHECKS["sqlite" if isinstance(place, Path) else "mariadb"]
    ends = [FIRST_END_MS + number // ENDS_IN_A_SECOND * 1000 for number in range(count)]
    return [home_of(number, ends[number], MOMENTS_MS) for number in range(count)]


async def _ask(place: World, homes: Sequence[Home]) -> None:
    for home in homes:
        window_s = (home.until_ms - MORNING_MS) // 1000
        place.managers.add_step(home.robot_id, STEP, home.kind.template, 0, window_s)
        body = create_command(home.robot_id, STEP, home.robot_id, MORNING_MS)
        place.sqs.send(place.settings.queues.commands, body)
    await place.quiet(BOUND_S)
    place.clock.set(FIRST_ROUND_MS - 1)  # the timers that look after unused subscriptions are over, too
    await place.quiet(BOUND_S)
    rows = await place.database.fetch("SELECT COUNT(*) FROM status_check WHERE phase = 'FUTURE'")
    assert rows[0][0] == len(homes), "all are open at once"


async def _report(place: World, homes: Sequence[Home], number: int) -> None:
    """One event in each home, all at once, and all that follows from them."""
    place.clock.set(MOMENTS_MS[number])
    for is_lost in (True, False):
        if is_lost:
            place.megazord.faults.drop_fan_out()
        events = [(home.robot_id, home.events[number]) for home in homes if home.events[number].is_lost is is_lost]
        posts = [place.megazord.post_event(robot, event.name, created_at_ms=event.at_ms) for robot, event in events]
        await asyncio.gather(*posts)
        place.megazord.faults.clear()
    await place.quiet(BOUND_S)


def _kept_bytes() -> int:
    """What the daemon and the libraries that only it uses keep of what they took since the watch began."""
    gc.collect()
    taken = tracemalloc.take_snapshot().statistics("filename")
    root = Path(__file__).resolve().parents[2]
    ours = tuple(str(root / room) + os.sep for room in OURS)
    return sum(each.size for each in taken if _is_its(each.traceback[0].filename, ours))


def _is_its(file: str, ours: tuple[str, ...]) -> bool:
    return file.startswith(ours) or any(f"site-packages{os.sep}{name}{os.sep}" in file for name in ITS_LIBRARIES)


async def _live(place: World, homes: Sequence[Home]) -> int:
    """All rounds. Returns how much more memory the daemon keeps after some of them than before."""
    for number in range(WARM_ROUNDS):
        await _report(place, homes, number)
    tracemalloc.start()
    try:
        await _report(place, homes, WARM_ROUNDS)
        before = _kept_bytes()
        for number in range(WARM_ROUNDS + 1, WARM_ROUNDS + 1 + WATCHED_ROUNDS):
            await _report(place, homes, number)
        kept = _kept_bytes() - before
    finally:
        tracemalloc.stop()
    for number in range(WARM_ROUNDS + 1 + WATCHED_ROUNDS, ROUNDS):
        await _report(place, homes, number)
    return kept


class _FlowingTime:
    """Lets the clock go on by itself, as fast as real time, while it is entered."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._ahead_ms = clock.now_ms() - time.time() * 1000
        self._ticking: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._tick()
        return self

    def __exit__(self, *error: object) -> None:
        if self._ticking is not None:
            self._ticking.cancel()

    def on_the_clock_ms(self, real_s: float) -> int:
        """What the clock showed at a real time."""
        return round(real_s * 1000 + self._ahead_ms)

    def _tick(self) -> None:
        self._clock.set(self.on_the_clock_ms(time.time()))
        self._ticking = asyncio.get_running_loop().call_later(TICK_S, self._tick)


async def _end(place: World, homes: Sequence[Home], stories: Sequence[Story]) -> Ended:
    """The windows end, many in each second, while the clock goes on."""
    last_ms = max(home.until_ms for home in homes)
    place.clock.set(FIRST_END_MS - 100)
    with _FlowingTime(place.clock) as time_flow:
        async with asyncio.timeout(BOUND_S):
            await place.clock.wait_until(last_ms)
        await place.quiet(BOUND_S)
        heard_ms = _last_heard_ms(place, time_flow)
    fired, heard = [], []
    for home, story in zip(homes, stories, strict=True):
        if story.is_by_end:
            fired.append(_ms(place.results(home.robot_id)[-1]["time"]) - home.until_ms)
            heard.append(heard_ms[home.robot_id] - home.until_ms)
    return Ended(sorted(fired), sorted(heard))


def _last_heard_ms(place: World, time_flow: _FlowingTime) -> dict[int, int]:
    """When the last word to each robot came into its queue, by the queue server's own record."""
    prefix = place.settings.queues.robot_prefix
    sent = [entry for entry in place.sqs.ledger.of("sent") if entry.queue.startswith(prefix)]
    return {int(entry.queue.removeprefix(prefix)): time_flow.on_the_clock_ms(entry.time_s) for entry in sent}


def _ms(wire_time: str) -> int:
    return milliseconds(datetime.fromisoformat(wire_time))


def _judge(place: World, home: Home, story: Story) -> str:
    results = place.results(home.robot_id)
    phases = [result["payload"]["phase"] for result in results]
    assert phases == ["FUTURE"] * (len(phases) - 1) + ["COMPLETED"], home
    last = results[-1]["payload"]
    assert last["result"] == story.verdict, (home, story)
    if not story.is_by_end:
        assert results[-1]["time"] == iso(story.at_ms), (home, story)
    known = sorted((line["createdAt"], line["eventName"]) for line in last["history"])
    assert known == sorted((iso(at_ms), name) for at_ms, name in story.history), (home, story)
    assert [line["order"] for line in last["history"]] == list(range(1, len(known) + 1))
    return f"{home.kind.template} {story.verdict} {'at its end' if story.is_by_end else 'by an event'}"


async def _told(place: World, homes: Sequence[Home]) -> int:
    """Every event is where it belongs: stored at Megazord, handled once if it was sent. Returns how many were sent."""
    fates = Counter(outgoing.fate for outgoing in place.megazord.outgoing)
    inbox = await place.database.fetch("SELECT COUNT(*) FROM inbox")
    assert inbox[0][0] == len(homes) + fates[Fate.SENT]
    assert len(place.megazord.incoming) == len(homes) * ROUNDS
    assert fates[Fate.SEND_FAILED] == fates[Fate.NO_QUEUE] == 0
    return fates[Fate.SENT]


def _percentile(sorted_values: Sequence[int], share: float) -> int:
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * share))]


class _Stopwatch:
    """Real seconds between its calls."""

    def __init__(self) -> None:
        self._last_s = time.monotonic()

    def __call__(self) -> float:
        now_s = time.monotonic()
        took_s, self._last_s = now_s - self._last_s, now_s
        return took_s


@pytest.mark.xdist_group("ten thousand checks")
@pytest.mark.usefixtures("_log_goes_nowhere")
async def test_every_one_of_many_open_checks_ends_as_its_own_events_say_and_in_time(place: Place) -> None:
    """Verdict and history of each check are those of its raw events, no end is early or late, and nothing is kept."""
    homes = _crowd(place)
    stories = [story_of(home) for home in homes]
    lap = _Stopwatch()
    async with world(place, megazord=PATIENT, micro_managers=PATIENT) as crowd:
        async with crowd.running():
            await _ask(crowd, homes)
            ask_s = lap()
            kept = await _live(crowd, homes)
            live_s = lap()
            ended = await _end(crowd, homes, stories)
            end_s = lap()
        verdicts = Counter(_judge(crowd, home, story) for home, story in zip(homes, stories, strict=True))
        sent = await _told(crowd, homes)
        assert await crowd.leftovers() == {}
    watched = len(homes) * WATCHED_ROUNDS
    sys.stdout.write("\n" + "".join(f"  {count:>5} {verdict}\n" for verdict, count in sorted(verdicts.items())))
    sys.stdout.write(
        f"{len(homes)} checks opened in {ask_s:.1f} s; {len(homes) * ROUNDS} events, {sent} sent, in {live_s:.1f} s; "
        f"{len(ended.fired)} windows ended in {end_s:.1f} s\n"
        f"late: fired {_spread(ended.fired)}, heard {_spread(ended.heard)}\n"
        f"kept {kept} bytes over {watched} events; peak RSS {_peak_rss_mb()} MB with the simulators\n"
    )
    assert ended.fired[0] >= 0, "no end is early"
    assert _percentile(ended.fired, 0.99) <= LATE_P99_MS
    if FULL:  # alone on the machine; beside other tests the neighbours in this process wait for the processor, too
        assert _percentile(ended.heard, 0.99) <= LATE_P99_MS
    assert kept <= KEPT_BYTES + watched * KEPT_BYTES_AN_EVENT


def _spread(late_ms: Sequence[int]) -> str:
    return f"p50 {_percentile(late_ms, 0.5)} p99 {_percentile(late_ms, 0.99)} max {late_ms[-1]} ms"


def _peak_rss_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
