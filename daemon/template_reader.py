"""Makes templates of rows by the rules for files, says once what is wrong with a row, and parses nothing twice."""

from dataclasses import replace
from hashlib import sha256

import structlog

from daemon.log import LogEvent
from daemon.recent import Recent
from daemon.template_rows import RawValue, TemplateRow, content_of
from domain.template import Template, TemplateError, read_template
from domain.template_schema import read_content

_log = structlog.get_logger()
_MAX_REASON = 300
_MAX_TOLD = 4_096
_MAX_PROBLEMS = 256


class RowReader:
    """`size` bounds how many parsed templates are kept, whether files or rows brought them."""

    def __init__(self, size: int) -> None:
        self._kept: Recent[str, Template] = Recent(size)
        self._told: Recent[bytes, bool] = Recent(_MAX_TOLD)
        self._problems: Recent[tuple[str, RawValue], str] = Recent(_MAX_PROBLEMS)

    @property
    def problems(self) -> tuple[str, ...]:
        """What was wrong with rows when they were read last."""
        return tuple(self._problems.values())

    def know(self, template: Template) -> None:
        """Keep what a file's expressions were parsed to."""
        self._kept.put(template.content_hash, template)

    def forget(self, name: str) -> None:
        """A name's rows are about to be read anew."""
        self._problems.drop(lambda key: key[0] == name)

    def template_of(self, name: str, row: TemplateRow) -> Template | None:
        """The template that a row holds, or None; then `reason_of` tells why, and the log has been told once."""
        try:
            template = self._parsed(row)
        except TemplateError as error:
            self._refuse(name, row, str(error)[:_MAX_REASON])
            return None
        self._problems.drop(lambda key: key == (name, row.version))
        if row.content_hash not in (None, template.content_hash):
            self._note_change(name, row)
        return template

    def reason_of(self, name: str, version: RawValue) -> str:
        """What is wrong with a version that was refused."""
        return self._problems.get((name, version)) or "it is not usable"

    def _parsed(self, row: TemplateRow) -> Template:
        content, problems = content_of(row)
        if problems:
            raise TemplateError(problems)
        read, _ = read_content(content)
        known = None if read is None else self._kept.get(read.content_hash())
        if read is None or known is None:
            template = read_template(content)
            self._kept.put(template.content_hash, template)
            return template
        return replace(known, version=read.version, description=read.description, is_active=read.is_active)

    def _refuse(self, name: str, row: TemplateRow, reason: str) -> None:
        told = f"template {name} version {_short(row.version)} in the database: {reason}"
        self._problems.put((name, row.version), told)
        if self._is_new(row):
            _log.error(LogEvent.TEMPLATE_REFUSED, reason=told)

    def _note_change(self, name: str, row: TemplateRow) -> None:
        told = f"template {name} version {_short(row.version)} in the database was changed after it was written"
        self._problems.put((name, row.version), told)
        if self._is_new(row):
            _log.warning(LogEvent.TEMPLATE_CHANGED, template=name, version=row.version)

    def _is_new(self, row: TemplateRow) -> bool:
        digest = sha256(repr(row).encode(errors="backslashreplace")).digest()
        known = self._told.get(digest) is not None
        self._told.put(digest, value=True)
        return not known


def _short(value: RawValue) -> str:
    return str(value) if isinstance(value, int) else ascii(value)[:20]
