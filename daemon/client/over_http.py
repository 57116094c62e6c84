"""Asking robotd's ops API what became of a command. Needs httpx."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from daemon.command_outcome import PATH, CommandOutcome
from domain.errors import RobotdError, Unavailable


@dataclass(frozen=True, slots=True)
class HttpOutcomes:
    """`base_url` is that of the ops API; `http` is yours, with your timeouts. `headers` go along, such as a token."""

    base_url: str
    http: httpx.AsyncClient
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    async def outcome(self, source: str, command_id: str) -> CommandOutcome:
        """What is known now. Raises Unavailable where it may be asked again, RobotdError where that is no use."""
        url = f"{self.base_url.rstrip('/')}{PATH.format(id=quote(command_id, safe=''))}"
        try:
            answer = await self.http.get(url, params={"source": source}, headers=dict(self.headers))
        except httpx.HTTPError as error:
            raise Unavailable("robotd", f"{type(error).__name__}: {error}") from error
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
            raise Unavailable("robotd", f"answered {answer.status_code}")
        if answer.status_code != HTTPStatus.OK:
            raise RobotdError(f"robotd answered {answer.status_code} to {url}")
        try:
            return CommandOutcome.model_validate_json(answer.content)
        except ValidationError as error:
            raise RobotdError(f"robotd's answer is no outcome of a command: {error.error_count()} problems") from None
