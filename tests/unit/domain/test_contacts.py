"""Phone numbers, chat ids and personal texts: what is accepted, what is refused, and what reaches people."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.contacts import address_of, chat_id_of, normal_phone, personal, unknown_placeholders
from domain.errors import RuleViolation

DIGITS = st.from_regex("[1-9][0-9]{6,14}", fullmatch=True)
SEPARATOR = st.sampled_from(["", " ", "-", ".", " - "])
PHONE = "999000000001"


def refusal(text: str, default_country: str | None = None) -> str:
    with pytest.raises(RuleViolation) as error:
        normal_phone(text, default_country)
    assert error.value.kind == "invalid-phone"
    return str(error.value)


@pytest.mark.parametrize(
    "written",
    [
        PHONE,
        f"+{PHONE}",
        f"00{PHONE}",
        "+999 00-000 (0001)",
        "(+999) 000 000 001",
        " 999.000.000.001\n",
        "00 999 000000001",
    ],
)
def test_a_number_is_the_same_however_it_is_written(written: str) -> None:
    """Blanks, hyphens, brackets, dots, a leading + or 00 make no difference."""
    assert normal_phone(written) == PHONE


@pytest.mark.parametrize("digits", ["9990000", "99900000", "99900000000000", "999000000000000"])
def test_seven_to_fifteen_digits_are_a_number(digits: str) -> None:
    """Both ends of the range are in it; as a chat id they are the same digits."""
    assert 7 <= len(digits) <= 15
    assert normal_phone(digits) == normal_phone(f"+{digits}") == digits
    assert chat_id_of(digits) == chat_id_of(f"{digits}@c.us") == f"{digits}@c.us"


@settings(deadline=None)  # a busy machine
@given(digits=DIGITS, prefix=st.sampled_from(["", "+", "00", "+ ", "(00) "]), gaps=st.lists(SEPARATOR, min_size=15))
def test_separators_never_change_a_number(digits: str, prefix: str, gaps: list[str]) -> None:
    """Whatever stands between the digits, the same digits come out, and reading them again changes nothing."""
    written = prefix + "".join(digit + gap for digit, gap in zip(digits, gaps, strict=False))
    assert normal_phone(written) == digits
    assert normal_phone(digits) == digits


@settings(deadline=None)  # a busy machine
@given(st.text(max_size=40), st.sampled_from([None, "1", "31", "999"]))
def test_any_text_is_a_number_of_ascii_digits_or_a_refusal(text: str, default_country: str | None) -> None:
    """Never anything else, whatever script, sign or control character is in it; a refusal does not repeat it."""
    try:
        phone = normal_phone(text, default_country)
    except RuleViolation as error:
        problem = error
    else:
        assert phone.isascii()
        assert phone.isdigit()
        assert 7 <= len(phone) <= 15
        assert not phone.startswith("0")
        return
    assert problem.kind == "invalid-phone"
    assert len(text) < 4 or text not in str(problem)


def test_a_default_country_takes_the_place_of_a_leading_zero() -> None:
    """Of one that is national only: a number with its country code keeps it."""
    assert normal_phone("0900 000 0001", "999") == "9999000000001"
    assert normal_phone(f"+{PHONE}", "31") == PHONE
    assert normal_phone(f"00{PHONE}", "31") == PHONE
    assert normal_phone(PHONE, "31") == PHONE


@pytest.mark.parametrize(
    ("written", "country", "says"),
    [
        ("", None, "no phone number"),
        ("  ", None, "no phone number"),
        ("0900000001", None, "default country"),
        ("0900000001", "+31", "1 to 3 digits"),
        ("0900000001", "0", "1 to 3 digits"),
        ("+0900000001", "31", "never begins with 0"),
        ("000900000001", "31", "never begins with 0"),
        ("999123", None, "7 to 15 digits, not 6"),
        ("9" * 16, None, "7 to 15 digits, not 16"),
        ("++9990000001", None, "'+' is not a digit"),
        ("999000O001", None, "'O' is not a digit"),
        ("9990000001x", None, "'x' is not a digit"),
        ("\u0669\u0669\u0669\u0660\u0660\u0660\u0660\u0661", None, r"'\u0669' is not a digit"),
        ("\u202a9990000001", None, r"'\u202a' is not a digit"),
        ("999\u00a00000001", None, r"'\xa0' is not a digit"),
        ("999\u20110000001", None, r"'\u2011' is not a digit"),
        ("\uff19990000001", None, r"'\uff19' is not a digit"),
        ("9990000001\x00", None, r"'\x00' is not a digit"),
        ("9990000001;9990000002", None, "';' is not a digit"),
        ("9990000001\n9990000002", None, r"'\n' is not a digit"),
        ("+999 (0) 00000001", None, "without the (0)"),
        ("00999(0)00000001", None, "without the (0)"),
        ("9.99E+11", None, "spreadsheet"),
        ("9,99000000001e11", None, "spreadsheet"),
        ("999000000001.0", None, "spreadsheet"),
    ],
)
def test_what_is_no_number_is_refused_with_the_reason(written: str, country: str | None, says: str) -> None:
    """Local numbers, other scripts, and what a spreadsheet or a habit has made of a number."""
    assert says in refusal(written, country)


@pytest.mark.parametrize(
    "chat_id", [f"{PHONE}@c.us", "999000000000000001@g.us", f"{PHONE}-1700000000@g.us", "99900@lid"]
)
def test_a_chat_id_stays_as_it_is(chat_id: str) -> None:
    """A person, a group, a hidden id: nothing is doubled."""
    assert chat_id_of(chat_id) == chat_id
    assert chat_id_of(chat_id_of(chat_id)) == chat_id


def test_digits_become_a_chat_id() -> None:
    """A number's own address, and the number itself beside it."""
    assert chat_id_of(PHONE) == f"{PHONE}@c.us"
    assert address_of("+999 000 000 001") == (PHONE, f"{PHONE}@c.us")
    assert address_of(f" {PHONE}@c.us ") == (PHONE, f"{PHONE}@c.us")
    assert address_of("99900@lid") == ("99900@lid", "99900@lid")


@pytest.mark.parametrize(
    "text",
    [
        f"{PHONE}@s.whatsapp.net",
        "99900000@newsletter",
        "status@broadcast",
        f"{PHONE}@c.us@c.us",
        f"+{PHONE}@c.us",
        f"{PHONE}@C.US",
        f"{PHONE}@c.us\n",
        "@c.us",
        "somebody@example.com",
        "12@c.us",
        "0900000001",
        "",
        "\u0669" * 8,
    ],
)
def test_what_nothing_can_be_sent_to_is_refused(text: str) -> None:
    """Inner forms, channels, the status, mail addresses, local numbers."""
    with pytest.raises(RuleViolation) as error:
        chat_id_of(text)
    assert error.value.kind == "invalid-phone"


def test_a_name_is_put_everywhere_in_any_case() -> None:
    """Trimmed; without one the default stands there."""
    text = "Dear {Name}, {NAME}! {name}?"
    assert personal(text, " Ann ", "friend", {}) == "Dear Ann, Ann! Ann?"
    for nobody in (None, "", "   "):
        assert personal(text, nobody, "friend", {}) == "Dear friend, friend! friend?"


@pytest.mark.parametrize(
    "name", ["$&", "A$$ap", r"A\1", r"C:\new", "{Name}", "{City}", "{", "}}", "Ann <3 & Co", r"\g<0>"]
)
def test_a_name_is_never_read_as_anything_else(name: str) -> None:
    """Neither as a replacement pattern nor as a placeholder nor as HTML."""
    assert personal("<{Name}|{City}>", name, "friend", {"city": "{Name}"}) == f"<{name}|{{Name}}>"


@settings(deadline=None)  # a busy machine
@given(st.text(min_size=1, max_size=30).filter(lambda name: name.strip()), st.text(max_size=30))
def test_every_name_arrives_as_it_is(name: str, field: str) -> None:
    """Whatever its signs are."""
    assert personal("a{Name}b{x}c", name, "friend", {"x": field}) == f"a{name.strip()}b{field}c"


def test_fields_are_put_in_and_others_stay() -> None:
    """An empty field is put in as nothing; an unknown one is left for the preflight to find."""
    assert personal("{City}{zip}{Street}", None, "friend", {"city": "Utrecht", "zip": ""}) == "Utrecht{Street}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Hi {Name} from {CITY}", []),
        ("Hi {LastName}, {LastName}", ["{LastName}"]),
        ("Hi {{Name}}", ["{{Name}}"]),
        ("Hi { Name }", ["{ Name }"]),
        ("Hi {Name, how", ["{Name"]),
        ("Hi Name}, how", ["Name}"]),
        ("Hi {}", ["{}"]),
        ("Hi {first name}", ["{first name}"]),
        ("{zip} {a} {zip}", ["{zip}", "{a}"]),
        ("a smile :-} and :-{ is no placeholder", []),
        ("{" + "x" * 90 + "}", ["{" + "x" * 39 + "..."]),
    ],
)
def test_what_would_go_out_as_braces_is_found(text: str, found: list[str]) -> None:
    """Unknown names, doubled braces, blanks, and braces that are not closed."""
    assert unknown_placeholders(text, {"city"}) == found


@settings(deadline=None)  # a busy machine
@given(st.text(alphabet="{}a N", max_size=60))
def test_a_text_without_complaints_has_no_words_in_braces_left(text: str) -> None:
    """What the preflight accepts is put in whole: no word with a brace at it is left."""
    if unknown_placeholders(text, {"a", "n", "an", "na"}):
        return
    known = dict.fromkeys(("a", "n", "an", "na"), "#")
    assert unknown_placeholders(personal(text, "#", "#", known), known) == []


@pytest.mark.parametrize("text", ["{" * 65_536, "a" * 65_536, "{a" * 32_768, "a}" * 32_768 + "}", "{" + "a" * 65_535])
def test_a_hostile_text_is_looked_through_at_once(text: str) -> None:
    """As long as a message may be: what is found is bounded by the text."""
    assert len(unknown_placeholders(text, ())) <= 2
    assert personal(text, "Ann", "friend", {}) == text
