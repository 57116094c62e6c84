"""The settings of what operators see: metrics, health, traces."""

from typing import Self

from pydantic import Field, SecretStr, model_validator

from daemon.settings_values import CountOrUnset, Seconds, Section, ServiceUrl, disagree

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class OpsSettings(Section):
    """Metrics and health over HTTP. Where others than this machine may come, a token is needed."""

    host: str = Field(
        "127.0.0.1",
        pattern=r"^[A-Za-z0-9.:-]{1,253}$",
        description="Address to listen on; any other than loopback needs `ops.viewer_token`.",
    )
    port: CountOrUnset = Field(
        None, ge=0, le=65_535, description="Port to listen on; unset means that nothing listens, 0 any free port."
    )
    viewer_token: SecretStr | None = Field(
        None,
        description="What `Authorization: Bearer` carries for all but `/livez` and `/readyz`; 16 characters or more.",
    )
    sample_every_s: Seconds = Field(
        5, ge=1, le=300, description="How old what is read from database and SQS for a scrape may be."
    )

    @model_validator(mode="after")
    def _is_guarded(self) -> Self:
        token = None if self.viewer_token is None else self.viewer_token.get_secret_value()
        if token is not None and not (len(token) >= 16 and token.isascii() and token.isprintable()):  # noqa: PLR2004  as the description says
            raise disagree("a token is 16 or more printable characters", "ops.viewer_token")
        if self.port is not None and self.host not in _LOOPBACK and token is None:
            raise disagree("others than this machine see it only with a token", "ops.host", "ops.viewer_token")
        return self


class TraceSettings(Section):
    """Spans of OpenTelemetry, with the extra `[otel]`. A sender's `traceparent` is passed on without it, too."""

    endpoint: ServiceUrl | None = Field(
        None,
        description="Address of a collector (OTLP over HTTP, such as `http://localhost:4318/v1/traces`); unset: none.",
    )
    share: float = Field(1, ge=0, le=1, description="Which share of the traces that begin here is kept.")
