"""How long to wait before the next try: exponential, full jitter, whole seconds (SQS takes no others)."""


def backoff_s(attempt: int, first_s: float, cap_s: float, chance: float) -> int:
    """Seconds to wait after the `attempt`-th try (from 1); `chance` in [0, 1) picks the point within the window.

    Never 0: a message that comes back at once is a hot loop.
    """
    window_s = min(cap_s, first_s * 2.0 ** min(attempt - 1, 32))
    return max(1, round(window_s * chance))
