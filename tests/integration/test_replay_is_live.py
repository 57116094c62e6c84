"""What a replay says of a past is what a daemon says that lives through it: the same verdicts, moments and reasons."""

import asyncio
import json
import random
from collections.abc import Sequence
from pathlib import Path

from daemon.template_files import read_file
from domain.rehearsal import Ending, Replay, rehearse
from domain.status_check import Event
from domain.template import Template
from domain.wire import iso
from tests.world import World, create_command, world

ZONE = "Europe/Amsterdam"
START_MS = 1_761_426_000_000  # 2025-10-25T21:00:00Z: four hours before the clocks of that zone are put back
HOUR_MS = 3_600_000
NAMES = ("IN_BED", "OUT_OF_BED", "TOILET_ACTIVITY", "INSIDE_HOME")
BOTH = "[IN_BED, OUT_OF_BED, TOILET_ACTIVITY]"
TEMPLATES = {
    "AHEAD": (
        "{futureInterval: 3600, onTimeout: FAIL}",
        "false",
        {"futureEvents": ("[IN_BED]", {"PASS": "new_count('IN_BED') >= 2"})},
    ),
    "BEHIND": ("{pastInterval: 5400}", "false", {"pastEvents": (BOTH, {"PASS": "sequence('IN_BED', 'OUT_OF_BED')"})}),
    "EVER": (
        "{pastInterval: -1, futureInterval: 1800, onTimeout: UNKNOWN}",
        "false",
        {
            "pastEvents": (BOTH, {"FAIL": "count('OUT_OF_BED') >= 9 and between('02:00', '03:00')"}),
            "futureEvents": (BOTH, {"PASS": "count_between('TOILET_ACTIVITY', '02:00', '03:00') >= 2"}),
        },
    ),
    "POLLED": (
        "{pastInterval: 1800, futureInterval: 3600, onTimeout: UNKNOWN}",
        "true",
        {
            "pastEvents": (BOTH, {"PASS": "age('OUT_OF_BED') < age('IN_BED')"}),
            "futureEvents": (
                BOTH,
                {"PASS": "age('OUT_OF_BED') < age('IN_BED')", "FAIL": "last('IN_BED').age_seconds == 0"},
            ),
        },
    ),
    # Only the past knows INSIDE_HOME: such an event wakes no check that listens, though it would be late enough.
    "DEAF": (
        "{pastInterval: 600, futureInterval: 3600}",
        "false",
        {
            "pastEvents": ("[INSIDE_HOME]", {"FAIL": "exists('INSIDE_HOME', within='5m')"}),
            "futureEvents": ("[IN_BED]", {"UNKNOWN": "elapsed_minutes >= 20 and not exists('IN_BED', within='20m')"}),
        },
    ),
}
ROBOTS = {name: 61001 + number for number, name in enumerate(TEMPLATES)}


def write(folder: Path) -> dict[str, Template]:
    """The templates as files and as they are read."""
    read = {}
    for name, (poller, polls, resources) in TEMPLATES.items():
        file = folder / f"{name.lower()}.yaml"
        head = f"name: {name}\nversion: 1\ndescription: One.\nisActive: true\npollUntilEnd: {polls}\npoller: {poller}\n"
        body = "".join(_resource(key, names, texts) for key, (names, texts) in resources.items())
        file.write_text(f"{head}resources:\n{body}", encoding="utf-8")
        found = read_file(file)
        assert found.template is not None, found.problems
        read[name] = found.template
    return read


def _resource(key: str, names: str, texts: dict[str, str]) -> str:
    expressions = ", ".join(f"{one}: {json.dumps(text)}" for one, text in texts.items())
    return f"  {key}:\n    dependsOn: {names}\n    expressions: {{{expressions}}}\n"


def night() -> tuple[list[Event], list[int]]:
    """Events of eight hours, some in one second, and moments at, just before and just after some of them."""
    chance = random.Random(7)
    stamps = sorted(chance.randrange(0, 8 * 3600, 60) for _ in range(60))
    stamps += [*stamps[10:14], 3600, 7200, 7200]
    events = [Event(n, chance.choice(NAMES), START_MS + at * 1000) for n, at in enumerate(sorted(stamps), 1)]
    near = [events[n].created_at_ms + by for n in (8, 20, 33, 41, 52) for by in (-1000, 0, 1000)]
    on_the_edge = [events[n].created_at_ms - span for n in (22, 30, 44) for span in (1_800_000, HOUR_MS, -1_800_000)]
    return events, sorted({START_MS, *near, *on_the_edge})


async def live(home: World, events: Sequence[Event], moments: Sequence[int]) -> None:
    """What looks back is asked after the events of its second, what only listens before them, as a replay does.

    All events of a second are there before a timer of that second reads the history: they are posted at one go.
    """
    others = [name for name in TEMPLATES if name != "AHEAD"]
    for moment_ms in sorted({event.created_at_ms for event in events} | set(moments)):
        await home.pass_time(moment_ms)
        names = [event.name for event in events if event.created_at_ms == moment_ms]
        is_asked = moment_ms in moments
        await _post(home, names, others if is_asked else list(TEMPLATES))
        if is_asked:
            _ask(home, moments.index(moment_ms) + 1, ["AHEAD"])
            await home.quiet()
            await _post(home, names, ["AHEAD"])
            await home.quiet()
            _ask(home, moments.index(moment_ms) + 1, others)
        await home.quiet()
    await home.pass_time(home.clock.now_ms() + 2 * HOUR_MS)
    await home.quiet()


async def _post(home: World, names: Sequence[str], robots: Sequence[str]) -> None:
    await asyncio.gather(*(home.megazord.post_event(ROBOTS[robot], name) for name in names for robot in robots))


def _ask(home: World, number: int, names: Sequence[str]) -> None:
    for name in names:
        at_ms = home.clock.now_ms()
        home.sqs.send(home.settings.queues.commands, create_command(ROBOTS[name], 100, number, at_ms))


async def decided(home: World, name: str) -> list[tuple[int, str, str, str]]:
    """Of each check its number, verdict, the moment of its end and what it rests on, as its last trace says."""
    rows = await home.database.fetch(
        "SELECT c.scheduled_id, d.trace FROM status_check c JOIN status_check_decision d "
        "ON d.status_check_id = c.id AND d.ordinal = c.notices WHERE c.robot_id = ? ORDER BY c.scheduled_id",
        (ROBOTS[name],),
    )
    traces = [(int(str(number)), json.loads(str(trace))) for number, trace in rows]
    return [(number, trace["result"], trace["at"], trace["decidedBy"]) for number, trace in traces]


async def test_a_replay_says_what_a_daemon_said_that_lived_through_it(tmp_path: Path) -> None:
    """Five kinds of template at two dozen moments, over the night in which an hour comes twice."""
    folder = tmp_path / "templates"
    folder.mkdir()
    templates = write(folder)
    events, moments = night()
    section = {"folder": folder, "time_zone": ZONE}
    async with world(tmp_path / "robotd.db", start_ms=START_MS - HOUR_MS, templates=section) as home:
        for name, robot_id in ROBOTS.items():
            home.managers.add_step(robot_id, 100, name, 0, 0)
        async with home.running():
            await live(home, events, moments)
        lived = {name: await decided(home, name) for name in TEMPLATES}
        assert await home.leftovers() == {}

    verdicts = set()
    for name, template in templates.items():
        course = Replay(template, events, ZONE)
        endings = [course.ending(at_ms) for at_ms in moments]
        assert lived[name] == [(number, *_said(ending)) for number, ending in enumerate(endings, 1)], name
        assert [_said(_rehearsed(template, events, at_ms)) for at_ms in moments] == [_said(one) for one in endings]
        verdicts |= {(name, ending.decided_by) for ending in endings}
    assert len(verdicts) >= 12, verdicts  # nearly every way to an answer was gone


def _said(ending: Ending) -> tuple[str, str, str]:
    return (ending.verdict.value, iso(ending.decided_at_ms), ending.decided_by)


def _rehearsed(template: Template, events: Sequence[Event], at_ms: int) -> Ending:
    played = rehearse(template, events, at_ms, time_zone=ZONE)
    ended_ms, last = played.steps[-1]
    return Ending(at_ms, played.check.verdict, ended_ms, last.decided_by, played.check.window.until_ms)
