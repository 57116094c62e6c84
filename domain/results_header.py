"""The Authentication-Results header (RFC 8601) of our own mail server, and no one else's."""

import re
from collections.abc import Collection

from domain.mail_headers import Headers, topmost_received, without_comments, without_quoted

_RESULT = re.compile(r"\s*([a-z0-9-]+)\s*(?:/\s*\d+\s*)?=\s*([a-z]+)", re.IGNORECASE)
Results = tuple[tuple[str, str], ...]
"""(method, result), lower case, in the order of the header; a method may stand there more than once."""


def own_results(headers: Headers, authserv_id: str, own_mx: Collection[str]) -> Results | None:
    """What our own server, known by its id, says in the topmost header of its own; None where it says nothing.

    A header below the note of whoever had the mail before our server took it was brought along, whatever id it bears.
    """
    for name, value in headers[: _end_of_own(headers, own_mx)]:
        if name.lower() != "authentication-results":
            continue
        said_by, _, rest = without_quoted(without_comments(value)).partition(";")
        if said_by.split()[:1] and said_by.split()[0].lower() == authserv_id.lower():
            return _results(rest)
    return None


def _end_of_own(headers: Headers, own_mx: Collection[str]) -> int:
    own = topmost_received(headers, own_mx)
    if own is None:
        return len(headers)
    below = range(own.position + 1, len(headers))
    return next((position for position in below if headers[position][0].lower() == "received"), len(headers))


def _results(rest: str) -> Results:
    found = (_RESULT.match(part) for part in rest.split(";"))
    return tuple((each[1].lower(), each[2].lower()) for each in found if each is not None)
