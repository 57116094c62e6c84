"""What a file of monitoring rules may hold, field by field; every problem with its path and, if we know one, a hint."""

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from domain.event_names import EVENT_NAMES, ROOMS, nearest_event
from domain.monitor import MINUTE_MS, Action, Rule
from domain.monitor_days import MIDNIGHT, DailyWindow, zone_of
from domain.template_schema import EventName, Path, Problem
from domain.wire import RobotId

_TOLD_ONCE = frozenset([*ROOMS, "ACTIVITY", "CLIENT_IN_HEARING_RANGE"])
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")


def _known_zone(name: str) -> str:
    zone_of(name)
    return name


def _minutes(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)


def _clock(text: str) -> str:
    if _CLOCK.fullmatch(text) is None:
        raise ValueError("is not a time of day")
    return text


def _start(text: str) -> str:
    if text == "24:00":
        raise ValueError("a start of 24:00 is 00:00 of the next day")
    return text


Clock = Annotated[str, AfterValidator(_clock)]


class _Part(BaseModel):
    model_config = ConfigDict(
        strict=True, extra="forbid", frozen=True, alias_generator=to_camel, hide_input_in_errors=True
    )


class AlarmConfig(_Part):
    """What is posted to Megazord."""

    event_name: EventName


class AlarmAction(_Part):
    """Post an event of ours to Megazord, which tells everybody who subscribed to it."""

    type: Literal["ALARM"]
    config: AlarmConfig
    after: int = Field(default=1, ge=1, le=100)


class MessageAction(_Part):
    """Tell the robot by its own queue."""

    type: Literal["MESSAGE"]
    after: int = Field(default=1, ge=1, le=100)


class DailyContent(_Part):
    """Local times between which the home is watched."""

    start_time: Annotated[Clock, AfterValidator(_start)]
    end_time: Clock


class RuleContent(_Part):
    """One rule."""

    rule_id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")
    enabled: bool = True
    event_name: EventName
    window_duration_minutes: int = Field(ge=1, le=MIDNIGHT)
    daily_window: DailyContent
    alarm_on_partial_window: bool = False
    actions: list[Annotated[AlarmAction | MessageAction, Field(discriminator="type")]] = Field(
        min_length=1, max_length=10
    )


class RobotContent(_Part):
    """One robot with its rules."""

    robot_id: RobotId
    timezone: Annotated[str, AfterValidator(_known_zone)]
    enabled: bool = True
    monitoring_rules: list[RuleContent] = Field(min_length=1, max_length=20)


class MonitorsContent(_Part):
    """A file of rules; a file without a robot watches nobody."""

    robots: list[RobotContent]


@dataclass(frozen=True, slots=True)
class ReadRules:
    """What a file came to: its enabled rules, how many are disabled, and what is probably not meant."""

    rules: tuple[Rule, ...] = ()
    disabled: int = 0
    warnings: tuple[Problem, ...] = ()


def read_rules(content: object) -> tuple[ReadRules | None, list[Problem]]:
    """The rules of a file, or every problem of it. Raises ConfigError where the machine knows no time zones."""
    try:
        read = MonitorsContent.model_validate(content)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        return None, [_problem(part["type"], part["loc"], part["msg"]) for part in found]
    problems = [*_twins(read), *_oddities(read)]
    if problems:
        return None, problems
    every = [(robot, rule) for robot in read.robots for rule in robot.monitoring_rules]
    rules = tuple(_rule(robot, rule) for robot, rule in every if robot.enabled and rule.enabled)
    return ReadRules(rules, len(every) - len(rules), tuple(_suspicions(read))), []


def _rule(robot: RobotContent, rule: RuleContent) -> Rule:
    daily = DailyWindow(robot.timezone, _minutes(rule.daily_window.start_time), _minutes(rule.daily_window.end_time))
    return Rule(
        robot_id=robot.robot_id,
        rule_id=rule.rule_id,
        event_name=rule.event_name,
        duration_ms=rule.window_duration_minutes * MINUTE_MS,
        daily=daily,
        alarms_on_partial_window=rule.alarm_on_partial_window,
        actions=tuple(_action(action) for action in rule.actions),
    )


def _action(action: AlarmAction | MessageAction) -> Action:
    return Action(action.config.event_name if isinstance(action, AlarmAction) else None, action.after)


def _twins(read: MonitorsContent) -> Iterator[Problem]:
    robots: set[int] = set()
    for number, robot in enumerate(read.robots):
        if robot.robot_id in robots:
            yield Problem(
                ("robots", number, "robotId"), f"robot {robot.robot_id} stands twice", "put its rules together"
            )
        robots.add(robot.robot_id)
        rules: set[str] = set()
        for place, rule in enumerate(robot.monitoring_rules):
            if rule.rule_id in rules:
                path = ("robots", number, "monitoringRules", place, "ruleId")
                yield Problem(path, f"the rule {rule.rule_id} stands twice for this robot")
            rules.add(rule.rule_id)


def _oddities(read: MonitorsContent) -> Iterator[Problem]:
    for number, robot in enumerate(read.robots):
        for place, rule in enumerate(robot.monitoring_rules):
            path = ("robots", number, "monitoringRules", place)
            daily = rule.daily_window
            if daily.start_time == daily.end_time:
                hint = 'for the whole day write "00:00" and "24:00"'
                yield Problem((*path, "dailyWindow", "endTime"), "the end is the start", hint)
                continue
            length = (_minutes(daily.end_time) - _minutes(daily.start_time)) % MIDNIGHT or MIDNIGHT
            if rule.window_duration_minutes > length and not rule.alarm_on_partial_window:
                message = f"the window is longer than the {length} minutes of its day, so it would never alarm"
                hint = "shorten it, or set alarmOnPartialWindow: true"
                yield Problem((*path, "windowDurationMinutes"), message, hint)
            yield from _actions_said_twice(path, rule)


def _actions_said_twice(path: Path, rule: RuleContent) -> Iterator[Problem]:
    seen: set[str | None] = set()
    for place, action in enumerate(rule.actions):
        name = _action(action).event_name
        if name in seen:
            yield Problem(
                (*path, "actions", place), "the same action stands twice", "keep the one with the smaller after"
            )
        if name == rule.event_name:
            hint = "it would restart the window that it ends"
            yield Problem(
                (*path, "actions", place, "config", "eventName"), "is the event that the rule waits for", hint
            )
        seen.add(name)


def _suspicions(read: MonitorsContent) -> Iterator[Problem]:
    for number, robot in enumerate(read.robots):
        for place, rule in enumerate(robot.monitoring_rules):
            path = ("robots", number, "monitoringRules", place)
            if rule.event_name in _TOLD_ONCE:
                message = "is told once for each subscription, so the windows after the first one would end in alarms"
                yield Problem((*path, "eventName"), message, "take an event that comes by itself, as TOILET_ACTIVITY")
            yield from _unknown_event((*path, "eventName"), rule.event_name)
            for position, action in enumerate(rule.actions):
                if isinstance(action, AlarmAction):
                    below = (*path, "actions", position, "config", "eventName")
                    yield from _unknown_event(below, action.config.event_name)


def _unknown_event(path: Path, name: str) -> Iterator[Problem]:
    if name not in EVENT_NAMES:
        near = nearest_event(name)
        yield Problem(path, "is no event that we know Megazord to have", f"did you mean {near}?" if near else "")


_MESSAGES = MappingProxyType(
    {
        "extra_forbidden": "unknown field",
        "missing": "is missing",
        "model_type": "expected fields below it",
        "int_type": "expected a whole number",
        "bool_type": "expected true or false",
        "string_type": "expected text",
        "list_type": "expected a list",
        "string_pattern_mismatch": "is not written as it must be",
        "union_tag_invalid": "is neither ALARM nor MESSAGE",
        "union_tag_not_found": "type is missing",
        "model_attributes_type": "expected fields below it",
        "dict_type": "expected fields below it",
        "too_short": "must not be empty",
    }
)
_HINTS = MappingProxyType(
    {
        "int_type": "write it without quotes and without a fraction",
        "bool_type": "write true or false, without quotes",
        "string_type": "put it in quotes",
        "list_type": "one line per item, each with a dash",
        "union_tag_invalid": "write type: ALARM or type: MESSAGE",
        "union_tag_not_found": "write type: ALARM or type: MESSAGE",
        "model_attributes_type": "write type: ALARM or type: MESSAGE",
        "too_short": "where there is nothing to watch, write enabled: false",
    }
)
_FIELD_HINTS = MappingProxyType(
    {
        "eventName": "event names are capitals, digits and _, such as TOILET_ACTIVITY",
        "ruleId": "letters, digits, _ and -, such as toilet-2h",
        "startTime": 'write "08:00", in quotes',
        "endTime": 'write "20:00", in quotes; "24:00" is the end of the day',
    }
)
_FIELDS = (
    *("robots", "robotId", "timezone", "enabled", "monitoringRules", "ruleId", "eventName", "windowDurationMinutes"),
    *("dailyWindow", "startTime", "endTime", "alarmOnPartialWindow", "actions", "type", "config", "after"),
)


def _problem(kind: str, path: Path, message: str) -> Problem:
    path = tuple(part for part in path if part not in ("ALARM", "MESSAGE"))  # pydantic's own step into a union
    last_name = next((str(part) for part in reversed(path) if isinstance(part, str)), "")
    hint = _HINTS.get(kind) or _FIELD_HINTS.get(last_name, "")
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(last_name, _FIELDS, n=1)
        hint = f"did you mean {near[0]}?" if near else ""
    return Problem(path, _MESSAGES.get(kind, message.removeprefix("Value error, ")), hint)
