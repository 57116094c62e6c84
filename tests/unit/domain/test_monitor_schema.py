"""The file of rules: what it may hold, and how all that is wrong with it is told at once."""

from typing import Any

import pytest

from domain.monitor import Action
from domain.monitor_days import DailyWindow
from domain.monitor_schema import read_rules
from tests.monitors import ALARM_ACTION, robot, rule


def problems(*robots: object, **fields: object) -> list[str]:
    """`path: message (hint)` of each problem."""
    _, found = read_rules({"robots": list(robots), **fields})
    return [f"{'.'.join(map(str, one.path))}: {one.message} ({one.hint})" for one in found]


def test_a_file_becomes_rules() -> None:
    """Times become minutes, minutes milliseconds, actions keep their order."""
    read, found = read_rules({"robots": [robot(rule(actions=[{"type": "MESSAGE", "after": 3}, ALARM_ACTION]))]})
    assert found == []
    assert read is not None
    (only,) = read.rules
    assert (only.robot_id, only.rule_id, only.event_name) == (61001, "toilet-2h", "TOILET_ACTIVITY")
    assert (only.duration_ms, only.alarms_on_partial_window) == (7_200_000, False)
    assert only.daily == DailyWindow("Europe/Amsterdam", 480, 1200)
    assert only.actions == (Action(None, 3), Action("NO_TOILET_ACTIVITY_ALARM"))


def test_what_is_disabled_is_left_out_and_counted() -> None:
    """A robot with all its rules, or one rule."""
    both = robot(rule(ruleId="a", enabled=False), rule(ruleId="b"))
    read, found = read_rules({"robots": [both, robot(robotId=2, enabled=False)]})
    assert found == []
    assert read is not None
    assert ([one.rule_id for one in read.rules], read.disabled) == (["b"], 2)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"ruleId": "toilet 2h"}, "ruleId: is not written as it must be (letters, digits, _ and -, such as toilet-2h)"),
        ({"eventName": "toilet"}, "eventName: is not written as it must be (event names are capitals"),
        ({"windowDurationMinutes": "120"}, "windowDurationMinutes: expected a whole number (write it without quotes"),
        ({"windowDurationMinutes": 0}, "windowDurationMinutes: Input should be greater than or equal to 1 ()"),
        ({"windowDurationMinutes": 721}, "windowDurationMinutes: the window is longer than the 720 minutes of its day"),
        ({"alarmOnPartialWindow": "no"}, "alarmOnPartialWindow: expected true or false"),
        ({"dailyWindow": {"startTime": "8:00", "endTime": "20:00"}}, "dailyWindow.startTime: is not a time of day"),
        (
            {"dailyWindow": {"startTime": "24:00", "endTime": "20:00"}},
            "dailyWindow.startTime: a start of 24:00 is 00:00",
        ),
        ({"dailyWindow": {"startTime": "08:00", "endTime": "08:00"}}, "dailyWindow.endTime: the end is the start"),
        ({"dailyWindow": {"startTime": "08:00"}}, "dailyWindow.endTime: is missing"),
        ({"actions": []}, "actions: must not be empty"),
        (
            {"actions": [{"type": "SMS"}]},
            "actions.0: is neither ALARM nor MESSAGE (write type: ALARM or type: MESSAGE)",
        ),
        ({"actions": [{}]}, "actions.0: type is missing"),
        ({"actions": [3]}, "actions.0: expected fields below it"),
        ({"actions": [{"type": "ALARM"}]}, "actions.0.config: is missing"),
        ({"actions": [{"type": "MESSAGE", "after": 0}]}, "actions.0.after: Input should be greater than or equal to 1"),
        (
            {"actions": [{"type": "MESSAGE"}, {"type": "MESSAGE", "after": 2}]},
            "actions.1: the same action stands twice",
        ),
        (
            {"actions": [{"type": "ALARM", "config": {"eventName": "TOILET_ACTIVITY"}}]},
            "actions.0.config.eventName: is the event that the rule waits for",
        ),
        ({"windowDuration": 5}, "windowDuration: unknown field (did you mean windowDurationMinutes?)"),
    ],
)
def test_a_mistake_in_a_rule_is_told_with_its_place(changed: dict[str, Any], expected: str) -> None:
    """And what to write instead."""
    (problem,) = problems(robot(rule(**changed)))
    assert problem.startswith(f"robots.0.monitoringRules.0.{expected}")


def test_all_mistakes_come_at_once() -> None:
    """Of every robot and every rule."""
    found = problems({"robotId": "61001", "timezone": "Mars/Base"}, robot(rule(ruleId="")), more=1)
    assert [problem.partition(":")[0] for problem in found] == [
        *("robots.0.robotId", "robots.0.timezone", "robots.0.monitoringRules"),
        *("robots.1.monitoringRules.0.ruleId", "more"),
    ]


def test_a_robot_and_a_rule_stand_once() -> None:
    """Else nobody could say which one counts."""
    found = problems(robot(rule(), rule()), robot())
    assert [problem.partition(" (")[0] for problem in found] == [
        "robots.0.monitoringRules.1.ruleId: the rule toilet-2h stands twice for this robot",
        "robots.1.robotId: robot 61001 stands twice",
    ]


def test_a_night_longer_than_its_window_is_fine() -> None:
    """The length of a day is counted over midnight."""
    night = {"startTime": "22:00", "endTime": "06:00"}
    assert problems(robot(rule(windowDurationMinutes=480, dailyWindow=night))) == []
    assert len(problems(robot(rule(windowDurationMinutes=481, dailyWindow=night)))) == 1


@pytest.mark.parametrize("content", [{}, {"robots": None}, {"robots": {}}, {"robots": [None]}, {"robots": ["a"]}])
def test_odd_files_are_refused(content: dict[str, object]) -> None:
    """Whatever stands where the robots should be."""
    read, found = read_rules(content)
    assert read is None
    assert len(found) == 1


def test_no_robots_is_a_file_without_rules() -> None:
    """It says that nobody is watched, and must be written out."""
    read, found = read_rules({"robots": []})
    assert (read is not None, found) == (True, [])
