"""The bodies that WAHA takes, with its own required fields, and what is wrong with one that it doesn't take."""

import base64
import binascii
import hashlib
import json
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from localstack.waha_records import SentFile, WantedMessage, chat_id_of


class UnfitBody(Exception):  # noqa: N818  it says what happened
    """A body that WAHA refuses. `problems` are sentences; `is_json` False: it can't be read at all."""

    def __init__(self, problems: list[str], *, is_json: bool = True) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems
        self.is_json = is_json


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


_Model = TypeVar("_Model", bound=_Body)


class ChatBody(_Body):
    """startTyping, stopTyping."""

    chatId: str  # noqa: N815  the wire's own word
    session: str


class _TextBody(ChatBody):
    text: str
    id: str | None = None


class _File(_Body):
    mimetype: str
    filename: str | None = None
    data: str | None = None
    url: str | None = None

    @model_validator(mode="after")
    def _has_a_source(self) -> "_File":
        if self.data is None and self.url is None:
            raise ValueError("file needs 'data' or 'url'")
        return self

    def sent(self) -> SentFile:
        """The file with the hash of its bytes."""
        if self.data is None:
            return SentFile(self.mimetype, self.filename, url=self.url)
        content = base64.b64decode(self.data, validate=True)
        return SentFile(self.mimetype, self.filename, hashlib.sha256(content).hexdigest())


class _FileBody(ChatBody):
    file: _File
    caption: str | None = None


class _VideoFile(_File):
    filename: str


class _VideoBody(_FileBody):
    file: _VideoFile
    convert: bool


_FILE_BODIES: dict[str, type[_FileBody]] = {"image": _FileBody, "file": _FileBody, "video": _VideoBody}


def read_chat(raw: bytes) -> ChatBody:
    """The body of a call about a chat. Raises UnfitBody."""
    return _checked(ChatBody, raw)


def read_message(kind: str, raw: bytes, call_ref: str | None) -> WantedMessage:
    """The body of a send. Raises UnfitBody."""
    if kind == "text":
        body = _checked(_TextBody, raw)
        return WantedMessage(kind, body.session, chat_id_of(body.chatId), body.text, body.id, call_ref=call_ref)
    sent = _checked(_FILE_BODIES[kind], raw)
    try:
        file = sent.file.sent()
    except binascii.Error as error:
        raise UnfitBody([f"file.data is not base64: {error}"]) from error
    return WantedMessage(kind, sent.session, chat_id_of(sent.chatId), sent.caption or "", file=file, call_ref=call_ref)


def _checked(model: type[_Model], raw: bytes) -> _Model:
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise UnfitBody([f"the body is not JSON: {error}"], is_json=False) from error
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise UnfitBody([_sentence(problem["loc"], problem["msg"]) for problem in error.errors()]) from error


def _sentence(place: tuple[int | str, ...], problem: str) -> str:
    return f"{'.'.join(map(str, place))}: {problem}"
