"""The port of contact lists and opt-outs; `domain.ports` has the others."""

from collections.abc import Sequence
from typing import Protocol

from domain.contacts import ContactList, NewContact


class Contacts(Protocol):
    """The contact lists in the database, and who wants no messages."""

    async def list_of(self, list_id: int, owner: str) -> ContactList | None:
        """One list, or None where there is none or it is somebody else's."""
        ...

    async def list_named(self, owner: str, name: str) -> ContactList | None:
        """An owner's list by its name, or None."""
        ...

    async def lists(self, owner: str | None = None) -> list[ContactList]:
        """All lists, or those of one owner, by owner and name."""
        ...

    async def field_names(self, list_id: int) -> frozenset[str]:
        """The fields that contacts of a list have, as far as its first ones tell: each of those has all of them."""
        ...

    async def new_list(self, owner: str, name: str) -> ContactList:
        """Collect an empty list; the commit raises Conflict if the owner has one of this name meanwhile."""
        ...

    async def add(self, list_id: int, contacts: Sequence[NewContact]) -> int:
        """Collect those that the list does not have yet, and return how many; each chat id at most once among them.

        Once for each list and unit of work. The commit raises Conflict if another writer added one of them, or if
        the list is gone.
        """
        ...

    async def opt_out(self, chat_id: str, reason: str, at_ms: int) -> bool:
        """Collect: this person wants no messages. False, and nothing is collected, if that is known already."""
        ...

    async def opted_out(self, chat_ids: Sequence[str]) -> frozenset[str]:
        """Which of these want no messages."""
        ...
