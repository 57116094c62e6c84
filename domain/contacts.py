"""Contacts of campaigns: phone numbers and chat ids, a text made personal, and what counts as an opt-out.

No sentence of an error here repeats the number: it may end in a log or in a journal.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from domain.errors import RuleViolation

MAX_FIRST_NAME = 256
FIELD_NAME = re.compile("[a-z][a-z0-9_]{0,31}")
NAME = "name"  # {Name}: the first name, else the campaign's default

_SEPARATORS = str.maketrans("", "", " -().")
_PHONE = re.compile("[0-9]{7,15}")  # ASCII only: \d would take the digits of every script
_COUNTRY = re.compile("[1-9][0-9]{0,2}")
_TRUNK_ZERO = re.compile(r"(?:\+|00)[^(]*\(\s*0\s*\)")
_SPREADSHEET = re.compile(r"[0-9]{7,}\.0{1,2}|[0-9](?:[.,][0-9]{1,20})?[eE]\+?[0-9]{1,3}")
_CHAT_IDS = re.compile(r"[0-9]{7,15}@c\.us|[0-9]{5,25}(?:-[0-9]{5,15})?@g\.us|[0-9]{5,25}@lid")
_UNSENDABLE = {
    "s.whatsapp.net": "is WhatsApp's inner form: write the number alone, or with @c.us",
    "newsletter": "is a channel, which takes no messages of campaigns",
    "broadcast": "is a broadcast, which takes no messages of campaigns",
}
_PLACEHOLDER = re.compile(r"\{([A-Za-z][A-Za-z0-9_]{0,31})\}")
# Possessive and never begun within a run: a text of braces alone is read once.
_BRACES = re.compile(r"(?<!\{)\{++[^{}]*+\}++|(?<!\{)\{++\w++|(?<!\w)\w++\}++")
_SHOWN = 40


@dataclass(frozen=True, slots=True)
class NewContact:
    """A contact as it is added to a list. `chat_id` is what it is known by there."""

    phone_number: str
    chat_id: str
    first_name: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ContactList:
    """A list of contacts. `contact_count` is the number of its contacts when it was read."""

    id: int
    owner: str
    name: str
    contact_count: int


def normal_phone(text: str, default_country: str | None = None) -> str:
    """7 to 15 digits, country code first. Raises RuleViolation (`invalid-phone`) that says what is wrong.

    A leading 0 is a national number: `default_country` (`31`) takes its place, and without one it is refused. A number
    that begins otherwise is taken to have its country code already.
    """
    written = text.strip()
    _refuse_what_misleads(written)
    bare = written.translate(_SEPARATORS)
    if bare.startswith("+"):
        digits = bare[1:]
    elif bare.startswith("00"):
        digits = bare[2:]
    elif bare.startswith("0"):
        digits = _country(default_country) + bare[1:]
    else:
        digits = bare
    return _checked(digits)


def _refuse_what_misleads(written: str) -> None:
    """What could be read as digits, but as wrong ones: somebody else would get the message."""
    if not written:
        raise _invalid("there is no phone number")
    if _TRUNK_ZERO.match(written):
        raise _invalid("write the number with its country code and without the (0)")
    if _SPREADSHEET.fullmatch(written):
        raise _invalid("a spreadsheet has made a decimal number of it: format the column as text")


def _country(default_country: str | None) -> str:
    if default_country is None:
        raise _invalid("a leading 0 needs a default country, or write the number with its country code")
    if not _COUNTRY.fullmatch(default_country):
        raise _invalid("the default country is 1 to 3 digits such as 31, without + or 0 before them")
    return default_country


def _checked(digits: str) -> str:
    strange = next((sign for sign in digits if sign not in "0123456789"), None)
    if strange is not None:
        raise _invalid(f"{strange!a} is not a digit")
    if digits.startswith("0"):
        raise _invalid("a country code never begins with 0")
    if not _PHONE.fullmatch(digits):
        raise _invalid(f"a number with its country code has 7 to 15 digits, not {len(digits)}")
    return digits


def _invalid(reason: str) -> RuleViolation:
    return RuleViolation(reason, kind="invalid-phone")


def chat_id_of(phone: str) -> str:
    """`<digits>@c.us` of a normal phone number; a chat id of a person or group stays as it is.

    Raises RuleViolation (`invalid-phone`) for everything else, and for what nothing can be sent to.
    """
    if "@" not in phone:
        return f"{_checked(phone)}@c.us"
    place = phone.rpartition("@")[2]
    if place in _UNSENDABLE:
        raise _invalid(f"@{place} {_UNSENDABLE[place]}")
    if not _CHAT_IDS.fullmatch(phone):
        raise _invalid("a chat id is digits and @c.us, @g.us or @lid")
    return phone


def address_of(text: str, default_country: str | None = None) -> tuple[str, str]:
    """(phone number, chat id) of whatever people write: a number, or a chat id.

    A group or a hidden id has no number: its chat id stands for it. Raises RuleViolation (`invalid-phone`).
    """
    written = text.strip()
    if "@" not in written:
        phone = normal_phone(written, default_country)
        return phone, chat_id_of(phone)
    chat_id = chat_id_of(written)
    return chat_id.removesuffix("@c.us"), chat_id


def personal(text: str, name: str | None, default_name: str, fields: Mapping[str, str]) -> str:
    """The text for one contact: `{Name}` and `{Field}` in any case, each replaced everywhere and only once.

    Raw text: nothing is escaped, and what a name contains is never read as a placeholder. One that is neither stays
    as it is; `unknown_placeholders` finds it beforehand.
    """
    first = (name or "").strip() or default_name

    def value(match: re.Match[str]) -> str:
        key = match[1].lower()
        return first if key == NAME else fields.get(key, match[0])

    return _PLACEHOLDER.sub(value, text)


def unknown_placeholders(text: str, known: Collection[str]) -> list[str]:
    """What would reach people as braces: `{LastName}`, `{{Name}}`, `{ Name }`, `{Name`. Each once, in its order.

    `known` are field names in lower case; `{Name}` is always known.
    """
    found = [match[0] for match in _BRACES.finditer(text) if not _is_known(match[0], known)]
    if not found:  # braces around a good placeholder, apart from it: seen once a value stands there
        filled = _PLACEHOLDER.sub(lambda match: "..." if _is_known(match[0], known) else match[0], text)
        found = [match[0] for match in _BRACES.finditer(filled)]
    return [each if len(each) <= _SHOWN else f"{each[:_SHOWN]}..." for each in dict.fromkeys(found)]


def _is_known(braces: str, known: Collection[str]) -> bool:
    match = _PLACEHOLDER.fullmatch(braces)
    return match is not None and (match[1].lower() == NAME or match[1].lower() in known)
