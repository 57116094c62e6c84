"""The body of a request to create a status check: bounded, JSON, and every problem of it named."""

from http import HTTPStatus

from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from daemon.http.answers import Refusal
from domain.errors import MessageError
from domain.messages import CreateStatusCheck, problems_of
from domain.wire import RowId, WireTime, read_json

MAX_BODY_BYTES = 65_536
_UTF_8 = ("utf-8", "utf8")


class CreateBody(BaseModel):
    """What a robot sends. Fields that are not known are ignored, `robotId` among them: Kong alone says who asks.

    The system that we replace ignored them too, and robots in the field can't be corrected by an error.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, alias_generator=to_camel, hide_input_in_errors=True)

    step_id: RowId
    scheduled_id: RowId
    script_version_id: RowId
    planned_at: WireTime

    def command(self, robot_id: int) -> CreateStatusCheck:
        """The command that a queue would have brought."""
        return CreateStatusCheck(
            robotId=robot_id,
            stepId=self.step_id,
            scheduledId=self.scheduled_id,
            scriptVersionId=self.script_version_id,
            plannedAt=self.planned_at,
        )


def require_json(request: web.Request) -> None:
    """Refuse what is not JSON in UTF-8, before any of it is read."""
    charset = (request.charset or "utf-8").lower()
    if request.content_type != "application/json" or charset not in _UTF_8:
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "use Content-Type: application/json, in UTF-8")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "use no Content-Encoding")


async def bytes_of(request: web.Request) -> bytes:
    """The whole body. Raises Refusal when it is too large, or ends too early."""
    too_large = Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body has more than {MAX_BODY_BYTES} bytes")
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise too_large
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise too_large from None
    except (web.RequestPayloadError, ConnectionError):
        raise Refusal(HTTPStatus.BAD_REQUEST, "the body ended early, or is not what its length says") from None


def read_body(body: bytes) -> CreateBody:
    """Read it. Raises MessageError that names every bad field."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise MessageError("the body is not UTF-8", kind="not-text") from None
    try:
        return CreateBody.model_validate(read_json(text))
    except ValidationError as error:
        raise MessageError(problems_of(error)) from None
