"""When a campaign will be done: an estimate for previews and progress, quick for any number of contacts."""

from bisect import bisect_right
from dataclasses import replace
from math import ceil

from domain.pace import DAY_MS, HOUR_MS, LATEST_MS, NumberPace, PaceRules, next_send_ms
from domain.sending_window import Opens, hour_ms, next_date_ms

_AVERAGE = 0.5
_WEEK_MS = 7 * DAY_MS
_MOST_RUNS = 500  # looked at one by one: three weeks at least with an hourly cap, more than a year with a daily one


def estimate_end_ms(rules: PaceRules, pace: NumberPace, window: Opens, count: int, now_ms: int) -> int:
    """When the last of `count` messages goes out, all gaps being average; `now_ms` where there is none to send.

    Exact for that up to 500 runs (what goes out between two waits is one run); what is left then goes on at the speed
    of the second half of them, of whole weeks where it has any.
    """
    sent, times, counts = 0, list[int](), list[int]()
    while sent < count and len(times) < _MOST_RUNS:
        pace, more = _run(rules, pace, window, count - sent, now_ms)
        sent, now_ms = sent + more, pace.last_sent_at_ms or now_ms
        if now_ms >= LATEST_MS:
            return LATEST_MS
        times.append(now_ms)
        counts.append(sent)
    if sent >= count:
        return now_ms
    span_ms = now_ms - times[_MOST_RUNS // 2]
    since = bisect_right(times, now_ms - (span_ms // _WEEK_MS * _WEEK_MS or span_ms)) - 1
    return min(LATEST_MS, now_ms + ceil((count - sent) * (now_ms - times[since]) / (sent - counts[since])))


def _run(rules: PaceRules, pace: NumberPace, window: Opens, most: int, now_ms: int) -> tuple[NumberPace, int]:
    """The number after as many messages as go out without any wait but the gap, and how many they are: 1 or more."""
    at_ms = next_send_ms(rules, pace, window, now_ms, _AVERAGE).at_ms
    pace = pace.after_send(rules, at_ms)
    gap_ms = rules.gap_ms(pace.slow_factor, _AVERAGE)
    room = min(most - 1, _room(rules, pace, at_ms, gap_ms))
    if gap_ms:
        room = min(room, (_ends_ms(rules, window, at_ms) - 1 - at_ms) // gap_ms)
    return _advanced(pace, at_ms + room * gap_ms, room), room + 1


def _room(rules: PaceRules, pace: NumberPace, at_ms: int, gap_ms: int) -> int:
    """How many more messages the caps and the rest allow."""
    warm_up_cap = rules.warm_up_cap(pace.age_ms(rules, at_ms))
    rest_after = rules.rest_after if rules.rest_ms > gap_ms else None
    counted = (
        (rules.hourly_cap, pace.sent_in_hour),
        (rules.daily_cap, pace.sent_in_day),
        (warm_up_cap, pace.sent_in_day),
        (rest_after, pace.sent_since_rest),
    )
    return max(0, min((cap - sent for cap, sent in counted if cap is not None), default=1 << 62))


def _ends_ms(rules: PaceRules, window: Opens, at_ms: int) -> int:
    """When the window closes, or a count begins anew."""
    ends = [window.closes_ms(at_ms)]
    if rules.hourly_cap is not None:
        ends.append(hour_ms(rules.zone, at_ms) + HOUR_MS)
    if rules.daily_cap is not None or rules.warm_up:
        ends.append(next_date_ms(rules.zone, at_ms))
    return min(ends)


def _advanced(pace: NumberPace, at_ms: int, more: int) -> NumberPace:
    return replace(
        pace,
        last_sent_at_ms=at_ms,
        sent_in_hour=pace.sent_in_hour + more,
        sent_in_day=pace.sent_in_day + more,
        sent_since_rest=pace.sent_since_rest + more,
    )
