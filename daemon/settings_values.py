"""What settings are made of: the base of all sections, and kinds of value with a check that a bound can't express."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

_QUEUE_NAME = re.compile(r"^[A-Za-z0-9_-]{1,80}$")


class Section(BaseModel):
    """What all sections share: frozen, nothing unknown, and no value in an error that pydantic writes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class SqliteFile:
    """An embedded database in one file."""

    path: Path


@dataclass(frozen=True, slots=True)
class MysqlServer:
    """A MySQL or MariaDB database, reached over TCP or, where `unix_socket` is set, over that socket."""

    host: str
    port: int
    user: str
    name: str
    unix_socket: str | None = None


DatabaseTarget = SqliteFile | MysqlServer


def read_database_url(url: str) -> DatabaseTarget:
    """Take a database url apart. Raises ValueError, never with the url in it: it may hold a password."""
    scheme = url.partition("://")[0]
    if scheme == "sqlite":
        return SqliteFile(_sqlite_path(url))
    if scheme == "mysql":
        return _mysql_server(url)
    raise ValueError("expected sqlite:///FILE or mysql://USER@HOST:PORT/NAME")


def _sqlite_path(url: str) -> Path:
    path = url.removeprefix("sqlite://")
    if not path.startswith("/") or path.endswith("/"):
        raise ValueError("expected sqlite:///FILE, with four slashes for an absolute path")
    if "?" in path or ":memory:" in path:
        raise ValueError("expected a file: robotd must find its state again after a restart")
    return Path(unquote(path[1:]))


def _mysql_server(url: str) -> MysqlServer:
    try:
        parts = urlsplit(url)
        port = parts.port or 3306
        query = parse_qs(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise ValueError("expected mysql://USER@HOST:PORT/NAME") from None
    if parts.password is not None:
        raise ValueError("holds a password; set it as database.password instead")
    if set(query) - {"unix_socket"}:
        raise ValueError("knows only the parameter unix_socket; the other settings of the connection are robotd's own")
    name = parts.path.removeprefix("/")
    if not parts.username or not parts.hostname or not name or "/" in name:
        raise ValueError("expected a user, a host and the name of a database: mysql://USER@HOST:PORT/NAME")
    socket = query.get("unix_socket", [None])[0]
    return MysqlServer(parts.hostname, port, unquote(parts.username), unquote(name), socket or None)


def _not_a_switch(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("expected a number, found true or false")  # noqa: TRY004  pydantic wants ValueError
    return value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _database(value: str) -> str:
    read_database_url(value)
    return value


def service_url(value: str) -> str:
    """The URL of a service, without a slash at the end. Raises ValueError, never with the URL in it."""
    scheme, _, rest = value.partition("://")
    if scheme not in {"http", "https"} or not rest.strip("/"):
        raise ValueError("expected a URL that begins with http:// or https://")
    if any(sign in rest for sign in "@?# "):
        raise ValueError("expected a plain URL, without a user, a password or a query")
    return value.rstrip("/")


def _robot_prefix(value: str) -> str:
    if "://" in value:
        service_url(value)
        return value
    plain = value.replace("-", "").replace("_", "")
    if len(value) > 70 or not (plain.isalnum() and plain.isascii()):  # noqa: PLR2004  SQS allows 80, a robot id takes 10
        raise ValueError("expected letters, digits, - and _ (at most 70), or a URL that ends where the robot id begins")
    return value


def read_queue_names(text: str) -> frozenset[str]:
    """`answers, billing-answers`; empty means none. Raises ValueError."""
    names = [name.strip() for name in text.split(",")] if text.strip() else []
    if not all(_QUEUE_NAME.fullmatch(name) for name in names):
        raise ValueError("expected names of queues with commas between them: letters, digits, - and _ (at most 80)")
    return frozenset(names)


def _queue_names(value: str) -> str:
    read_queue_names(value)
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError("unknown time zone; expected an IANA name such as Europe/Amsterdam") from None
    return value


def _file(value: Path) -> Path:
    if not value.is_file():
        raise ValueError("no such file")
    return value


def _folder(value: Path) -> Path:
    if not value.is_dir():
        raise ValueError("no such folder")
    return value


Count = Annotated[int, BeforeValidator(_not_a_switch)]
CountOrUnset = Annotated[int | None, BeforeValidator(_not_a_switch)]
Seconds = Annotated[float, BeforeValidator(_not_a_switch)]
SecondsOrUnset = Annotated[float | None, BeforeValidator(_not_a_switch)]
AnyCase = BeforeValidator(_lower)
QueueName = Annotated[str, Field(pattern=_QUEUE_NAME.pattern)]
QueueNames = Annotated[str, AfterValidator(_queue_names)]
RobotPrefix = Annotated[str, AfterValidator(_robot_prefix)]
ServiceUrl = Annotated[str, AfterValidator(service_url)]
DatabaseUrl = Annotated[str, AfterValidator(_database)]
ZoneName = Annotated[str, AfterValidator(_zone)]
Folder = Annotated[Path, AfterValidator(_folder)]
ExistingFile = Annotated[Path, AfterValidator(_file)]


def disagree(message: str, *paths: str) -> PydanticCustomError:
    """An error of several settings that are each right, and wrong together."""
    return PydanticCustomError("disagree", "{text}", {"text": message, "paths": paths})
