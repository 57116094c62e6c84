"""How long to wait before the next try: exponential, with jitter, in whole seconds (SQS takes no others)."""

_PATIENT_AFTER = 60  # deferrals; about a quarter of an hour
_LONGEST_DEFERRAL_S = 600.0


def backoff_s(attempt: int, first_s: float, cap_s: float, chance: float) -> int:
    """Seconds to wait after the `attempt`-th try (from 1); `chance` in [0, 1) picks the point within the window.

    Never 0: a message that comes back at once is a hot loop.
    """
    window_s = min(cap_s, first_s * 2.0 ** min(attempt - 1, 32))
    return max(1, round(window_s * chance))


def deferral_s(deferral: int, cap_s: float, chance: float) -> int:
    """Seconds to wait after the `deferral`-th time (from 1) that a dependency was not there.

    Up to `cap_s` in the first quarter of an hour, so that its return is noticed soon; then slowly more, because SQS
    counts every receive and moves a message to the dead-letter queue by itself after 1,000: they last for three days.
    """
    patience_s = cap_s * 2.0 ** (max(0, deferral - _PATIENT_AFTER) / _PATIENT_AFTER)
    window_s: float = min(2.0 ** min(deferral - 1, 32), patience_s, _LONGEST_DEFERRAL_S)
    return max(1, round(window_s * (0.5 + chance / 2)))
