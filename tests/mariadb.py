"""A private MariaDB for the tests: own data directory, own socket, no network, one second to start, killed at will."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pymysql

from daemon.store.mysql import MysqlAddress

PACKAGES = "mariadb-server-core mariadb-client-core"
OPT_OUT = "ROBOTD_TEST_WITHOUT_MARIADB"
READY_S = 30.0
# Where Debian puts the server, which is on root's PATH only.
SEARCH_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
LIKE_MYSQL_8 = "ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO"


# Outlives the tests however they end, since the pipe it reads closes with them, and cleans up behind them.
UNDERTAKER = 'cat > /dev/null; [ -f "$1/pid" ] && kill -9 "$(cat "$1/pid")"; rm -rf "$1"'


class MariaDbMissingError(RuntimeError):
    def __init__(self, program: str) -> None:
        super().__init__(f"{program} not found: install {PACKAGES} (Debian), or leave its tests out with {OPT_OUT}=1")


def program(name: str) -> str:
    found = shutil.which(name, path=SEARCH_PATH)
    if found is None:
        raise MariaDbMissingError(name)
    return found


class MariaDb:
    """One server. Methods block; call them through `asyncio.to_thread` where a loop must go on."""

    def __init__(self) -> None:
        shared_memory = Path("/dev/shm")  # noqa: S108  tmpfs: a private folder is made inside it
        parent = shared_memory if os.access(shared_memory, os.W_OK) else None
        self._folder = Path(tempfile.mkdtemp(prefix="robotd-db-", dir=parent))
        self._password = secrets.token_hex(16)
        self._databases = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._undertaker = subprocess.Popen(  # noqa: S603  our own words
            ["/bin/sh", "-c", UNDERTAKER, "sh", str(self._folder)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def socket_path(self) -> str:
        return str(self._folder / "s")

    @property
    def log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")

    def create(self) -> None:
        """Make the data directory and start."""
        install = [program("mariadb-install-db"), "--no-defaults", f"--datadir={self._folder / 'data'}"]
        install += ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        (self._folder / "tmp").mkdir()
        subprocess.run([*install, *self._as_root()], check=True, capture_output=True, env=self._environment)  # noqa: S603  our own words
        self._write_init_file()
        self.start()

    @property
    def _environment(self) -> dict[str, str]:
        """A folder of its own for temporary tables: in a shared one a starting server removes those of all others.

        mariadb-install-db looks for the server on PATH, where a plain user's has no sbin.
        """
        return {**os.environ, "PATH": SEARCH_PATH, "TMPDIR": str(self._folder / "tmp")}

    def start(self) -> None:
        """Start and wait until it answers; a killed server recovers first."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command(), stdout=log, stderr=log, env=self._environment)  # noqa: S603  our own words
        ends = time.monotonic() + READY_S
        while not self._answers():
            if self._has_exited_within(0.01) or time.monotonic() > ends:
                raise RuntimeError(f"mariadbd did not start:\n{self.log}")

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """Start again after `kill`, on the same data and socket."""
        self.start()

    def heal(self) -> None:
        """Make it run and answer, whatever was done to it."""
        self.resume()
        if self._process is None or self._process.poll() is not None:
            self.start()
        self.execute("SET GLOBAL read_only = 0")

    def pause(self) -> None:
        """SIGSTOP, and wait until every thread has stopped: connections stay open, nothing answers."""
        self._signal(signal.SIGSTOP)
        assert self._process is not None
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """End it and remove every trace."""
        self.kill()
        (self._folder / "pid").unlink(missing_ok=True)
        self._undertaker.communicate()

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Run one statement as root, on a connection of its own."""
        connection = pymysql.connect(
            unix_socket=self.socket_path, user="root", password=self._password, autocommit=True, charset="utf8mb4"
        )
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def new_database(self) -> MysqlAddress:
        """Create an empty database and say how to reach it."""
        self._databases += 1
        name = f"robotd_{self._databases}"
        self.execute(f"CREATE DATABASE {name}")
        return MysqlAddress(
            host="localhost",
            port=0,
            unix_socket=self.socket_path,
            user="robotd",
            password=self._password,
            database=name,
        )

    def drop(self, address: MysqlAddress) -> None:
        """Drop what `new_database` made."""
        self.execute(f"DROP DATABASE {address.database}")

    def clients(self, address: MysqlAddress) -> list[int]:
        """The connections to one database that the server has."""
        listed = self.execute("SHOW PROCESSLIST")
        return [int(row[0]) for row in listed if row[3] == address.database]

    def kill_clients(self, address: MysqlAddress) -> None:
        """KILL every connection to one database; one that has just gone by itself is no error."""
        for client in self.clients(address):
            with suppress(pymysql.err.OperationalError):
                self.execute(f"KILL {client}")

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)

    def _has_exited_within(self, seconds: float) -> bool:
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(seconds)
                return True
        return False

    def _answers(self) -> bool:
        # pymysql leaves its socket open when nobody listens, so a socket of ours goes first.
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(self.socket_path)
            self.execute("SELECT 1")
        except (OSError, pymysql.err.OperationalError):
            return False
        return True

    def _as_root(self) -> list[str]:
        return ["--user=root"] if os.geteuid() == 0 else []

    def _write_init_file(self) -> None:
        (self._folder / "init.sql").write_text(
            f"ALTER USER root@localhost IDENTIFIED BY '{self._password}';\n"
            f"CREATE USER IF NOT EXISTS robotd@localhost IDENTIFIED BY '{self._password}';\n"
            "GRANT ALL ON `robotd\\_%`.* TO robotd@localhost;\n"
        )

    def _command(self) -> list[str]:
        # A commit survives kill -9 (flush 1 costs nothing in shared memory); the rest is made small and quiet.
        return [
            program("mariadbd"),
            "--no-defaults",
            *self._as_root(),
            f"--datadir={self._folder / 'data'}",
            f"--socket={self.socket_path}",
            f"--pid-file={self._folder / 'pid'}",
            f"--init-file={self._folder / 'init.sql'}",
            "--skip-networking",
            "--skip-log-bin",
            "--performance-schema=0",
            "--innodb-flush-log-at-trx-commit=1",
            "--innodb-doublewrite=0",
            "--innodb-buffer-pool-size=32M",
            "--innodb-log-file-size=16M",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_unicode_ci",
            "--default-time-zone=+00:00",
            f"--sql-mode={LIKE_MYSQL_8}",
        ]
