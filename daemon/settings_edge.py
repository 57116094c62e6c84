"""The settings of the HTTP edge."""

from pydantic import Field

from daemon.settings_values import Count, CountOrUnset, Seconds, Section


class EdgeSettings(Section):
    """Status checks over HTTP, for robots behind Kong. Only Kong may reach it: it believes the headers."""

    host: str = Field(
        "127.0.0.1",
        pattern=r"^[A-Za-z0-9.:-]{1,253}$",
        description="Address to listen on; `0.0.0.0` in a container that only Kong can reach.",
    )
    port: CountOrUnset = Field(
        None, ge=0, le=65_535, description="Port to listen on; unset means that nothing listens, 0 any free port."
    )
    max_requests: Count = Field(100, ge=1, le=10_000, description="Requests at one time; others are answered with 503.")
    request_timeout_s: Seconds = Field(
        30, ge=1, le=300, description="How long one request may take, its body included; keep Kong's timeout above it."
    )
