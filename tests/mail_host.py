"""A private mail host for the tests: Debian's real Postfix and Dovecot on high ports, gone with the tests.

`python -m tests.mail_host` runs one by hand until Enter and tells its ports and accounts.
"""

import datetime as dt
import grp
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, fields
from pathlib import Path

import trustme

from tests.mail_host_files import DOMAIN, DOVECOT, MAIN, MASTER

PACKAGES = "postfix dovecot-core dovecot-imapd dovecot-lmtpd"
OPT_OUT = "ROBOTD_TEST_WITHOUT_MAIL"
READY_S = 30.0
HOST = "127.0.0.1"
NAME = f"mx.{DOMAIN}"
POSTFIX = Path("/usr/lib/postfix/sbin")
# Where Debian puts the servers, which is on root's PATH only.
SEARCH_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
QUEUES = "active bounce corrupt defer deferred flush hold incoming pid private saved trace"
# Outlives the tests however they end, since the pipe it reads closes with them, and cleans up behind them.
UNDERTAKER = 'cat > /dev/null; for p in "$1"/*/pid "$1"/pid-*; do [ -f "$p" ] && kill "$(cat "$p")"; done; rm -rf "$1"'


class MailHostMissingError(RuntimeError):
    def __init__(self, program: str) -> None:
        super().__init__(f"{program}: as root install {PACKAGES} (Debian), or leave its tests out with {OPT_OUT}=1")


@dataclass(frozen=True, slots=True)
class Ports:
    """Where it listens. The SMTP ports differ in how they encrypt, and in their certificate."""

    starttls: int
    implicit: int
    plain: int
    expired: int
    soon: int
    old_tls: int
    auth_required: int
    imap: int
    imaps: int
    lmtp: int


@dataclass(frozen=True, slots=True)
class Account:
    """Who may log in, to SMTP and IMAP alike."""

    name: str
    password: str


class MailHost:
    """Postfix and Dovecot in a folder of their own. Methods block.

    Mail to `probe@`, with whatever behind a plus, arrives; to `junk@`: in the probe's junk folder; to `refused@`: is
    accepted, then bounces; to `lost@`: is accepted, then gone; to others: refused. Bounces go to `bounce@`. Foreign
    domains are refused.
    """

    def __init__(self) -> None:
        for program in (POSTFIX / "master", "dovecot"):
            if shutil.which(program, path=SEARCH_PATH) is None or os.geteuid() != 0:
                raise MailHostMissingError(str(program))
        shared_memory = Path("/dev/shm")  # noqa: S108  tmpfs: a private folder is made inside it
        parent = shared_memory if os.access(shared_memory, os.W_OK) else None
        self.folder = Path(tempfile.mkdtemp(prefix="robotd-mail-", dir=parent))
        self.folder.chmod(0o711)  # the servers' own users pass through
        self.ports = Ports(*_free_ports(len(fields(Ports))))
        self.probe = Account(f"probe@{DOMAIN}", secrets.token_hex(16))
        self.bounce = Account(f"bounce@{DOMAIN}", secrets.token_hex(16))
        self.sender = Account(f"sender@{DOMAIN}", secrets.token_hex(16))
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._undertaker = subprocess.Popen(  # noqa: S603  our own words
            ["/bin/sh", "-c", UNDERTAKER, "sh", str(self.folder)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def log(self) -> str:
        """What both servers have logged."""
        return "\n".join(path.read_text(errors="replace") for path in self.folder.glob("*.log"))

    @property
    def authority(self) -> Path:
        """The certificate that the host's own are signed with."""
        return self.folder / "ca.pem"

    def create(self) -> None:
        """Make certificates, folders and configuration, and start both."""
        self._certificates()
        self._folders()
        self._configuration()
        self.start_dovecot()
        self.start_postfix()

    def start_postfix(self) -> None:
        """Start it and wait until it answers."""
        self._start("postfix", [str(POSTFIX / "master"), "-c", str(self.folder / "postfix"), "-s"], self.ports.starttls)

    def start_dovecot(self) -> None:
        """Start it and wait until it answers."""
        program = shutil.which("dovecot", path=SEARCH_PATH) or "dovecot"
        self._start("dovecot", [program, "-F", "-c", str(self.folder / "dovecot.conf")], self.ports.imap)

    def stop_dovecot(self) -> None:
        """The mailbox is gone: mail stays in Postfix's queue, IMAP refuses."""
        self._end("dovecot")

    def stop(self) -> None:
        """End both and remove every trace."""
        for name in list(self._processes):
            self._end(name)
        self._undertaker.communicate()

    def _end(self, name: str) -> None:
        process = self._processes.pop(name)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # those that still serve somebody outlive their master
        process.wait()
        (self.folder / f"pid-{name}").unlink(missing_ok=True)

    def _start(self, name: str, command: list[str], port: int) -> None:
        with (self.folder / f"{name}.out.log").open("ab") as log:
            process = subprocess.Popen(  # noqa: S603  our own words
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._processes[name] = process
        (self.folder / f"pid-{name}").write_text(str(process.pid))
        ends = time.monotonic() + READY_S
        while not _answers(port):
            if process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"{name} did not start:\n{self.log}")
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.01)

    def _certificates(self) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(self.authority)
        now = dt.datetime.now(dt.UTC)
        lives = {"good": 365, "expired": -1, "soon": 5}
        for name, days in lives.items():
            certificate = authority.issue_cert(
                NAME,
                "localhost",
                HOST,
                not_before=now - dt.timedelta(days=90),
                not_after=now + dt.timedelta(days=days),
            )
            certificate.private_key_and_cert_chain_pem.write_to_path(self.folder / f"{name}.pem")

    def _folders(self) -> None:
        postfix, postdrop = pwd.getpwnam("postfix").pw_uid, grp.getgrnam("postdrop").gr_gid
        (self.folder / "postfix").mkdir()
        (self.folder / "queue").mkdir()
        for name in QUEUES.split():
            (self.folder / "queue" / name).mkdir(mode=0o700)
            os.chown(self.folder / "queue" / name, 0 if name == "pid" else postfix, -1)
        for name, mode in (("public", 0o710), ("maildrop", 0o730)):
            (self.folder / "queue" / name).mkdir()
            os.chown(self.folder / "queue" / name, postfix, postdrop)
            (self.folder / "queue" / name).chmod(mode)
        (self.folder / "data").mkdir(mode=0o700)
        os.chown(self.folder / "data", postfix, -1)
        (self.folder / "mail").mkdir(mode=0o700)
        nobody = pwd.getpwnam("nobody")
        os.chown(self.folder / "mail", nobody.pw_uid, nobody.pw_gid)

    def _configuration(self) -> None:
        values = {
            "folder": self.folder,
            "name": NAME,
            "domain": DOMAIN,
            **{field.name: getattr(self.ports, field.name) for field in fields(Ports)},
        }
        accounts = (self.probe, self.bounce, self.sender)
        passwords = "".join(f"{account.name}:{{PLAIN}}{account.password}\n" for account in accounts)
        (self.folder / "passwords").write_text(passwords)
        os.chown(self.folder / "passwords", pwd.getpwnam("dovecot").pw_uid, -1)
        (self.folder / "passwords").chmod(0o400)
        (self.folder / "dovecot.conf").write_text(DOVECOT.format_map(values))
        (self.folder / "postfix" / "main.cf").write_text(MAIN.format_map(values))
        (self.folder / "postfix" / "master.cf").write_text(MASTER.format_map(values))


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago."""
    lines = [socket.socket() for _ in range(count)]
    try:
        for line in lines:
            line.bind((HOST, 0))
        return [line.getsockname()[1] for line in lines]
    finally:
        for line in lines:
            line.close()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=READY_S) as line:
            return bool(line.recv(1))
    except OSError:
        return False


@contextmanager
def mail_host() -> Iterator[MailHost]:
    """One that runs until the block ends."""
    host = MailHost()
    try:
        host.create()
        yield host
    finally:
        host.stop()


if __name__ == "__main__":
    with mail_host() as running:
        accounts = (running.probe, running.bounce, running.sender)
        sys.stdout.write(f"{running.folder}\n{running.ports}\n" + "".join(f"{account}\n" for account in accounts))
        sys.stdin.readline()
