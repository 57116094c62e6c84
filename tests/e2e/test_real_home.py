import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

from daemon.store.mysql import MysqlAddress
from domain.wire import iso
from tests.e2e.ordonez import HOME_ZONE, Seen, at_ms, events_of, read_rows, risings
from tests.world import World, create_command, world

ROBOT = 61001
PENDING, PASS, FAIL, UNKNOWN = "PENDING", "PASS", "FAIL", "UNKNOWN"
Told = tuple[int, str, str]  # when, phase, result
Rule = Callable[[Sequence[Seen], int], str]


def _names(seen: Sequence[Seen]) -> set[str]:
    return {event.name for event in seen}


def _never(_seen: Sequence[Seen], _asked_ms: int) -> str:
    return PENDING


def _toilet(seen: Sequence[Seen], _asked_ms: int) -> str:
    return PASS if "TOILET_ACTIVITY" in _names(seen) else PENDING


def _meal(seen: Sequence[Seen], _asked_ms: int) -> str:
    return PASS if "EATING_ACTIVITY" in _names(seen) else PENDING


def _toilet_or_out(seen: Sequence[Seen], asked_ms: int) -> str:
    if _toilet(seen, asked_ms) == PASS:
        return PASS
    door = [event for event in seen if event.name in {"OUTSIDE_HOME", "INSIDE_HOME"}]
    return UNKNOWN if door and door[-1].name == "OUTSIDE_HOME" and door[-1].at_ms >= asked_ms else PENDING


def _up(seen: Sequence[Seen], _asked_ms: int) -> str:
    return PASS if seen and seen[-1].name == "OUT_OF_BED" else PENDING


def _up_at_the_end(seen: Sequence[Seen], asked_ms: int) -> str:
    return FAIL if "IN_BED" in _names(seen) and _up(seen, asked_ms) == PENDING else _up(seen, asked_ms)


@dataclass(frozen=True, slots=True)
class Question:
    """What the templates promise, said once more in plain Python. `past_s` None: all the past, 0: none of it."""

    label: str
    template: str
    step_id: int
    names: frozenset[str]
    past_s: int | None
    future_s: int
    past: Rule
    future: Rule
    at_the_end: Rule
    silence: str
    is_polled_until_end: bool = False
    future_s_of_step: int = 0  # 0: the template's own


TOILET = frozenset({"TOILET_ACTIVITY"})
RISEN = Question("toilet in 2 h", "TOILET_AFTER_RISING", 100, TOILET, 0, 7200, _never, _toilet, _toilet, FAIL)
SOON = Question("in 4 min", "TOILET_AFTER_RISING", 200, TOILET, 0, 240, _never, _toilet, _toilet, FAIL, False, 240)
VISIT = Question(
    "visit 14:00",
    "TOILET_VISIT",
    300,
    TOILET | {"OUTSIDE_HOME", "INSIDE_HOME"},
    7200,
    1800,
    _toilet,
    _toilet_or_out,
    _toilet_or_out,
    FAIL,
)
DINNER = Question(
    "dinner 20:30", "DINNER_EATEN", 400, frozenset({"EATING_ACTIVITY"}), 7200, 3600, _meal, _meal, _meal, FAIL
)
UP = Question(
    "up 10:30",
    "OUT_OF_BED_MORNING",
    500,
    frozenset({"IN_BED", "OUT_OF_BED"}),
    None,
    3600,
    _up,
    _up,
    _up_at_the_end,
    UNKNOWN,
    is_polled_until_end=True,
)
QUESTIONS = (RISEN, SOON, UP, VISIT, DINNER)
DAILY = {UP: time(10, 30), VISIT: time(14, 0), DINNER: time(20, 30)}


@dataclass(frozen=True, slots=True)
class Ask:
    """One question on one day. Its number is the check's scheduled id."""

    number: int
    question: Question
    at: datetime

    @property
    def at_ms(self) -> int:
        return at_ms(self.at)

    @property
    def command(self) -> str:
        return create_command(ROBOT, self.question.step_id, self.number, self.at_ms)


@dataclass(frozen=True, slots=True)
class Story:
    """What a robot must hear of one ask, and the history that its last result must hold."""

    told: list[Told]
    history: list[Seen]


def _asks(ups: Sequence[datetime], last: datetime) -> list[Ask]:
    asked = [(up, question) for up in ups for question in (RISEN, SOON)]
    days = {up.date() for up in ups}
    asked += [(datetime.combine(day, at, HOME_ZONE), question) for question, at in DAILY.items() for day in days]
    kept = sorted(((at, question) for at, question in asked if at <= last), key=lambda one: (one[0], one[1].step_id))
    return [Ask(number, question, at) for number, (at, question) in enumerate(kept, start=1)]


def expected(ask: Ask, events: Sequence[Seen]) -> Story:
    """From the file alone: what the check says when asked, at each event of its window, and at its end."""
    question, asked_ms = ask.question, ask.at_ms
    mine = [event for event in events if event.name in question.names]
    known = [event for event in mine if event.at_ms <= asked_ms and _is_recent(question, asked_ms - event.at_ms)]
    verdict = question.past(known, asked_ms)
    if verdict != PENDING and not question.is_polled_until_end:
        return Story([(asked_ms, "COMPLETED", verdict)], known)
    told = [(asked_ms, "FUTURE", verdict)]
    until_ms = asked_ms + question.future_s * 1000
    for event in (event for event in mine if asked_ms < event.at_ms <= until_ms):
        known.append(event)
        now = question.future(known, asked_ms)
        if now != PENDING and not question.is_polled_until_end:
            return Story([*told, (event.at_ms, "COMPLETED", now)], known)
        if now != verdict:
            told.append((event.at_ms, "FUTURE", now))
        verdict = now
    last = question.at_the_end(known, asked_ms)
    return Story([*told, (until_ms, "COMPLETED", question.silence if last == PENDING else last)], known)


def _is_recent(question: Question, age_ms: int) -> bool:
    return question.past_s is None or 0 < question.past_s * 1000 >= age_ms


async def _replay(home: World, events: Sequence[Seen], asks: Sequence[Ask]) -> None:
    """Event by event, question by question, timer by timer: the clock jumps over nothing."""
    for moment_ms in sorted({event.at_ms for event in events} | {ask.at_ms for ask in asks}):
        await home.pass_time(moment_ms)
        for event in (event for event in events if event.at_ms == moment_ms):
            await home.megazord.post_event(ROBOT, event.name)
        for ask in (ask for ask in asks if ask.at_ms == moment_ms):
            home.sqs.send(home.settings.queues.commands, ask.command)
        await home.quiet()
    await home.pass_time(home.clock.now_ms() + 86_400_000)


def _told(results: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(result["time"], result["payload"]["phase"], result["payload"]["result"]) for result in results]


def _history(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(line["createdAt"], line["eventName"]) for line in result["payload"]["history"]]


def _judge(ask: Ask, results: Sequence[dict[str, Any]], story: Story) -> None:
    mine = [result for result in results if result["payload"]["scheduledId"] == ask.number]
    assert _told(mine) == [(iso(at), phase, result) for at, phase, result in story.told], ask
    assert _history(mine[-1]) == [(iso(event.at_ms), event.name) for event in story.history], ask
    assert [result["id"] for result in mine] == [f"sc-{mine[0]['payload']['id']}-{n + 1}" for n in range(len(mine))]
    assert [phase for _, phase, _ in story.told][-1:] == ["COMPLETED"]
    step_of = {PASS: 1, FAIL: 2, UNKNOWN: 2}  # without a branch of its own UNKNOWN goes the way of FAIL
    last = mine[-1]["payload"]
    assert last["nextStepId"] == ask.question.step_id + step_of[last["result"]]
    assert last["nextStepResolved"] is (last["result"] != UNKNOWN)


def _table(asks: Sequence[Ask], stories: Sequence[Story]) -> Iterator[str]:
    yield f"{'day':<12}" + "".join(f"{question.label:>20}" for question in QUESTIONS)
    for day in sorted({ask.at.date() for ask in asks}):
        cells = {}
        for ask, story in zip(asks, stories, strict=True):
            if ask.at.date() == day:
                ended_ms, _, result = story.told[-1]
                cells[ask.question] = f"{result} {datetime.fromtimestamp(ended_ms / 1000, HOME_ZONE):%H:%M:%S}"
        yield f"{day:%a %d %b}  " + "".join(f"{cells.get(question, '-'):>20}" for question in QUESTIONS)


async def test_fourteen_days_of_a_real_home_give_the_verdicts_that_the_recording_holds(
    place: Path | MysqlAddress,
) -> None:
    """Every check of a real home's fortnight ends once, when and as the recording alone says, and leaves nothing."""
    rows = read_rows()
    events = events_of(rows)
    asks = _asks(risings(rows), rows[-1].end)
    stories = [expected(ask, events) for ask in asks]
    start_ms = events[0].at_ms - int(timedelta(hours=1).total_seconds()) * 1000
    # Nothing but the timers' own alarm may wake them: a missed one would keep the clock standing.
    async with world(place, start_ms=start_ms, timers={"poll_every_s": 60}) as home:
        for question in QUESTIONS:
            home.managers.add_step(ROBOT, question.step_id, question.template, 0, question.future_s_of_step)
        async with home.running():
            await _replay(home, events, asks)
        results = home.results(ROBOT)
        assert sorted(result["time"] for result in results) == [result["time"] for result in results]
        for ask, story in zip(asks, stories, strict=True):
            _judge(ask, results, story)
        assert len(results) == sum(len(story.told) for story in stories)
        assert len(home.megazord.incoming) == len(events)
        assert await home.leftovers() == {}
    sys.stdout.write("\n" + "\n".join(_table(asks, stories)) + "\n")
