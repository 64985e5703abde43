"""A PostgreSQL for tests: the one that answers locally, or one of our own, or a reason for none."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import psycopg
from psycopg import sql

USUAL = "postgresql://postgres@127.0.0.1:5432/postgres"
TIMEOUT_S = 60


def server_url() -> str:
    """Where to look first: AFIN_TEST_POSTGRES_URL, or the usual port on this machine."""
    return os.environ.get("AFIN_TEST_POSTGRES_URL", USUAL)


@cache
def answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=3):
            return True
    except psycopg.OperationalError:
        return False


def find_binaries() -> Path | None:
    """The folder of initdb and pg_ctl, which distributions keep off the PATH."""
    found = shutil.which("initdb")
    candidates = [Path(found).parent] if found else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((path for path in candidates if (path / "pg_ctl").exists()), None)


class Cluster:
    """A PostgreSQL of our own, on a socket only, which tests may stop and start."""

    def __init__(self, binaries: Path, folder: Path, *, owner: Mapping[str, str]) -> None:
        self.url = f"postgresql://postgres@/postgres?host={folder}"
        self._binaries, self._folder, self._owner = binaries, folder, owner

    def create(self) -> None:
        self._run("initdb", "-U", "postgres", "-A", "trust", "--no-sync")

    def start(self) -> None:
        where = f"-c listen_addresses='' -c unix_socket_directories='{self._folder}' -c fsync=off"
        self._run("pg_ctl", "-w", "-l", f"{self._folder}/log", "-o", where, "start")

    def stop(self) -> None:
        """End it as a crash would: connections are cut, and the log is replayed at the start."""
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(  # type: ignore[call-overload]
            [str(self._binaries / program), "-D", f"{self._folder}/data", *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=self._folder,
            timeout=TIMEOUT_S,
            **self._owner,
        )


@contextlib.contextmanager
def running_cluster(binaries: Path) -> Iterator[Cluster]:
    """A cluster that lives for a block."""
    # PostgreSQL refuses to run as root.
    owner = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="afin-pg-") as folder:
        if owner:
            shutil.chown(folder, "nobody", "nogroup")
        cluster = Cluster(binaries, Path(folder), owner=owner)
        cluster.create()
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()


@contextlib.contextmanager
def own_cluster(binaries: Path) -> Iterator[str]:
    """The address of a cluster that lives for one test session."""
    with running_cluster(binaries) as cluster:
        yield cluster.url


@contextlib.contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """An empty database of that server, dropped at the end."""
    name = f"afin_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    base, _, query = server.partition("?")
    try:
        yield f"{base.rsplit('/', 1)[0]}/{name}" + (f"?{query}" if query else "")
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            drop = sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            connection.execute(drop)
