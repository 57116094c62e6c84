"""Domain objects for tests: one of each kind with nothing remarkable about it; `replace` makes the remarkable ones."""

from domain.status_check import Branch, StatusCheck, Verdict, Window
from tests.world import MORNING_MS

PLAIN_CHECK = StatusCheck(
    id=1,
    robot_id=7,
    step_id=88,
    scheduled_id=9,
    script_version_id=10,
    planned_at_ms=MORNING_MS,
    template_name="TOILET_VISIT",
    template_version=1,
    started_at_ms=MORNING_MS,
    window=Window(looks_back=True, since_ms=None, until_ms=MORNING_MS + 1000),
    branches={Verdict.PASS: Branch(100), Verdict.FAIL: Branch(200)},
)
