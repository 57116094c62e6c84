"""The commands of contact lists and opt-outs."""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from domain.command_data import Answered, CommandData, Owner
from domain.wire import RowId

MAX_ROWS = 1_000


def _without_edges(name: str) -> str:
    trimmed = name.strip()
    if not trimmed or not trimmed.isprintable():
        raise ValueError("a list's name is one line of text that people can read")
    return trimmed


ListName = Annotated[str, Field(strict=True, max_length=256), AfterValidator(_without_edges)]
CountryCode = Annotated[str, Field(strict=True, pattern="^[1-9][0-9]{0,2}$")]


class ContactRow(CommandData):
    """One contact as somebody wrote it. What is wrong with its values is told by row, and refuses no other row."""

    phone_number: str = Field(strict=True)
    first_name: str | None = Field(default=None, strict=True)
    fields: dict[str, Annotated[str, Field(strict=True)]] = Field(default_factory=dict)


class ImportContacts(Answered):
    """`contacts.import`: add contacts to one list of a user; a list that is named and not there is made."""

    user_id: Owner
    list_id: RowId | None = None
    list_name: ListName | None = None
    rows: tuple[ContactRow, ...] = Field(min_length=1, max_length=MAX_ROWS)
    default_country: CountryCode | None = None

    @model_validator(mode="after")
    def _names_one_list(self) -> "ImportContacts":
        if (self.list_id is None) == (self.list_name is None):
            raise ValueError("name the list by either listId or listName")
        return self


class AddOptOut(Answered):
    """`opt-out.add`: this person wants no messages of any campaign."""

    phone_number: str | None = Field(default=None, strict=True, max_length=64)
    chat_id: str | None = Field(default=None, strict=True, max_length=64)
    default_country: CountryCode | None = None
    reason: str = Field(default="", strict=True, max_length=256)

    @model_validator(mode="after")
    def _names_one_person(self) -> "AddOptOut":
        if (self.phone_number is None) == (self.chat_id is None):
            raise ValueError("name the person by either phoneNumber or chatId")
        return self
