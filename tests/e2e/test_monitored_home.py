"""Fourteen days of a real home under a rule: the alarms are those that the recording itself demands."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from itertools import pairwise
from pathlib import Path

from tests.e2e.ordonez import HOME_ZONE, at_ms, events_of, read_rows
from tests.monitors import EVENT, ROBOT, planned, posted, robot, rule, write_rules
from tests.world import world

WINDOW_MS = 7_200_000


def silences(visits_ms: Sequence[int], days: Sequence[date]) -> Iterator[int]:
    """When two hours of silence were over, within 08:00 to 20:00 of each day: multiples of two hours in each gap."""
    for day in days:
        starts_ms, ends_ms = (at_ms(datetime.combine(day, time(hour), HOME_ZONE)) for hour in (8, 20))
        marks = [starts_ms, *(visit for visit in visits_ms if starts_ms < visit < ends_ms), ends_ms]
        for mark, later in pairwise(marks):
            yield from range(mark + WINDOW_MS, later + 1, WINDOW_MS)


async def test_a_real_home_is_alarmed_about_exactly_when_it_was_silent(tmp_path: Path) -> None:
    """Each event comes twice and one in three is lost on the way; the daemon is restarted every day at noon."""
    visits = [event.at_ms for event in events_of(read_rows()) if event.name == EVENT]
    first = datetime.fromtimestamp(visits[0] / 1000, HOME_ZONE).date()
    last = datetime.fromtimestamp(visits[-1] / 1000, HOME_ZONE).date()
    days = [first + timedelta(days=number) for number in range(1, (last - first).days)]
    rules = write_rules(tmp_path / "rules.yaml", robot(rule(actions=[rule()["actions"][0]]), timezone="Europe/Madrid"))
    midnights = [at_ms(datetime.combine(day, time(0), HOME_ZONE)) for day in [*days, days[-1] + timedelta(days=1)]]
    noons = [at_ms(datetime.combine(day, time(12), HOME_ZONE)) for day in days]
    monitors = {"file": str(rules), "look_every_s": 0.05}
    async with world(tmp_path / "robotd.db", start_ms=midnights[0], copies=2, monitors=monitors) as home:
        home.megazord.faults.drop_fan_out(probability=0.33)
        for begins_ms, ends_ms in pairwise(sorted([midnights[0], *noons, midnights[-1]])):
            async with home.running():
                await planned(home)
                for visit_ms in (visit for visit in visits if begins_ms <= visit < ends_ms):
                    await home.pass_time(visit_ms)
                    await home.quiet()
                    await home.megazord.post_event(ROBOT, EVENT)
                await home.pass_time(ends_ms)
                await home.quiet()
        expected = list(silences(visits, days))
        assert [event.created_at_ms for event in posted(home)] == expected
        assert len(expected) > 20
        audit = await home.database.fetch("SELECT COUNT(*) FROM monitor_window WHERE ended_by = 'ALARM'")
        assert audit[0][0] == len(expected)
        assert home.megazord.active_subscriptions() == []
