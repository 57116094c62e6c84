"""The mailboxes that the contract is held against: ours, and a real Dovecot where the tests have one."""

import secrets
from collections.abc import AsyncIterator
from importlib.util import find_spec
from typing import Any

import pytest

from daemon.clock import SystemClock
from localstack.mail_host import MailHost, MailLogin
from tests.imap_wire import Place, opened

MAILBOXES = ("own", "dovecot") if find_spec("tests.mail_host") is not None else ("own",)


@pytest.fixture(params=MAILBOXES)
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    """An empty mailbox with INBOX and Junk."""
    if request.param == "own":
        login = MailLogin("probe", secrets.token_hex(8))
        async with MailHost(SystemClock(), login=login, imap_tls=False) as host:
            yield Place(host.imap.port, login.user, login.password)
        return
    real: Any = request.getfixturevalue("mail_host")
    found = Place(real.ports.imap, real.probe.name, real.probe.password)
    for folder in (b"INBOX", b"Junk"):
        async with opened(found, folder) as client:
            await client.ask(b"UID STORE 1:* +FLAGS.SILENT (\\Deleted)")
            await client.ask(b"EXPUNGE")
    yield found
