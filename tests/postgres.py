"""A PostgreSQL for tests: the one that answers locally, or one of our own, or a reason for none."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
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


@contextlib.contextmanager
def own_cluster(binaries: Path) -> Iterator[str]:
    """A cluster that lives for one test session, on a socket only."""
    # PostgreSQL refuses to run as root.
    owner = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="afin-pg-") as folder:
        if owner:
            shutil.chown(folder, "nobody", "nogroup")
        data = f"{folder}/data"

        def run(program: str, *arguments: str) -> None:
            subprocess.run(  # type: ignore[call-overload]
                [str(binaries / program), "-D", data, *arguments],
                check=True,
                capture_output=True,
                cwd=folder,
                timeout=TIMEOUT_S,
                **owner,
            )

        run("initdb", "-U", "postgres", "-A", "trust", "--no-sync")
        options = f"-c listen_addresses='' -c unix_socket_directories='{folder}' -c fsync=off"
        run("pg_ctl", "-w", "-l", f"{folder}/log", "-o", options, "start")
        try:
            yield f"postgresql://postgres@/postgres?host={folder}"
        finally:
            run("pg_ctl", "-w", "-m", "immediate", "stop")


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
