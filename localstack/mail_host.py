"""A mail host: delivery servers that speak SMTP, and the mailbox behind them that speaks IMAP. All in memory, no root.

It stands in for what a server test meets on its direct way: the server that is tested, with all the ways in which it
may fail, the mail exchanger of the probes, and their mailbox. What it saw and did is on record for judges.
"""

import argparse
import asyncio
import secrets
import sys
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Self

from daemon.clock import SystemClock
from domain.ports import Clock
from localstack.mail_box import Mailbox
from localstack.mail_faults import SmtpFault, SmtpFaultKind, Stage, Treatment
from localstack.mail_imap import ImapServer
from localstack.mail_record import MailRecord, Seen
from localstack.mail_route import MailRoute
from localstack.mail_smtp import SmtpServer
from localstack.mail_smtp_talk import SmtpAccount, SmtpTls
from localstack.mail_tls import Certificate, Certificates
from localstack.server import serve_until_signalled

__all__ = ["Certificate", "MailHost", "MailLogin", "Seen", "SmtpAccount", "SmtpFault", "SmtpFaultKind", "SmtpTls"]
__all__ += ["Stage", "Treatment"]
