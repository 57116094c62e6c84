"""Contact lists and opt-outs: rows come in, who is there already is left alone, and who wants no messages is kept."""

from dataclasses import asdict

from domain.contact_messages import AddOptOut, ImportContacts
from domain.contact_rows import RawRow, RowsRead, read_rows
from domain.contacts import ContactList, address_of, chat_id_of
from domain.errors import RuleViolation
from domain.messages import Addressed, reply_id, result_to
from domain.outcome import Done, Outcome
from domain.ports import UnitOfWork
from domain.wire import JsonObject


class ContactHandlers:
    """The use cases of contacts."""

    async def import_rows(self, command: ImportContacts, uow: UnitOfWork) -> Outcome:
        """Add what a list does not have yet. Bad rows are told by their number; the others go in."""
        into = await _list_of(command, uow)
        read = read_rows(_raw(command), command.default_country)
        imported = await uow.contacts.add(into.id, read.contacts)
        known = len(read.contacts) - imported
        _reply(command, "contacts.imported", _told(into, len(command.rows), imported, known, read), uow)
        bad = len(read.problems)
        return Done(f"{imported} imported, {known + read.repeated} duplicates, {bad} bad of {len(command.rows)} rows")

    async def opt_out(self, command: AddOptOut, uow: UnitOfWork) -> Outcome:
        """Keep that somebody wants no messages; the first word of it stays."""
        chat_id = _chat_id(command)
        is_new = await uow.contacts.opt_out(chat_id, command.reason, uow.now_ms)
        _reply(command, "opt-out.added", {"chatId": chat_id, "isNew": is_new}, uow)
        return Done("added" if is_new else "known")


async def _list_of(command: ImportContacts, uow: UnitOfWork) -> ContactList:
    if command.list_name is not None:
        found = await uow.contacts.list_named(command.user_id, command.list_name)
        return found or await uow.contacts.new_list(command.user_id, command.list_name)
    found = await uow.contacts.list_of(command.list_id or 0, command.user_id)
    if found is None:
        raise RuleViolation(f"the user has no contact list {command.list_id}", kind="no-such-list")
    return found


def _raw(command: ImportContacts) -> list[RawRow]:
    return [RawRow(row, each.phone_number, each.first_name, each.fields) for row, each in enumerate(command.rows, 1)]


def _chat_id(command: AddOptOut) -> str:
    if command.phone_number is not None:
        return address_of(command.phone_number, command.default_country)[1]
    return chat_id_of(command.chat_id or "")


def _told(into: ContactList, rows: int, imported: int, known: int, read: RowsRead) -> JsonObject:
    return {
        "listId": into.id,
        "listName": into.name,
        "rows": rows,
        "imported": imported,
        "duplicates": known + read.repeated,
        "bad": len(read.problems),
        "errors": [asdict(problem) for problem in read.problems],
    }


def _reply(to: Addressed, result_type: str, payload: JsonObject, uow: UnitOfWork) -> None:
    result = result_to(to, reply_id(uow.source, uow.id), result_type, payload, uow.call_ref)
    if result is not None:
        uow.publish(result)
