"""Every service of docker-compose.yml, started by its exact command as a process."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import packages_distributions
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from redis import Redis

from schemas.settings import Settings
from storage.database import Database
from storage.tables import SCHEMA_VERSION
from storage.verdicts import newest_verdicts
from tasks.addresses import answers
from tests.houses import until
from tests.postgres import fresh_database
from tests.unit.deploy.compose import ROOT, environment, services
from tests.unit.deploy.test_locks import pins
from workers.broker import find_server
from workers.processes import free_port

pytestmark = pytest.mark.timeout(300)

PASSWORDS = {"POSTGRES_PASSWORD": "pgsecret", "VALKEY_PASSWORD": "vksecret", "FLOWER_PASSWORD": "f"}
WORKERS = ("scrape", "gpu", "cpu", "control", "train")
READY_S = 120.0
STOP_S = 30.0

# Put before everything else that a process imports; names come from the environment.
BLOCKER = """
import os, sys
class Blocker:
    names = set(os.environ["AFIN_TEST_FORBIDDEN"].split())
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}: the small image lacks it")
sys.meta_path.insert(0, Blocker())
"""


@dataclass(frozen=True)
class Site:
    """Where the servers are that the file's services talk to."""

    folder: Path
    database_url: str
    valkey_port: int

    def environment(self, name: str) -> dict[str, str]:
        """What a service of the file would see, with this machine's addresses in it."""
        found = environment(name, PASSWORDS)
        found["AFIN_BROKER_URL"] = found["AFIN_BROKER_URL"].replace(
            "@valkey:6379", f"@127.0.0.1:{self.valkey_port}"
        )
        found["AFIN_DATABASE_URL"] = self.database_url
        found["AFIN_DATA_DIR"] = str(self.folder / "data")
        found["AFIN_HEALTH_FILE"] = str(self.folder / f"{name}.alive")
        found["PATH"] = os.environ["PATH"]
        if services()[name]["image"] == "afin:slim":
            found["PYTHONPATH"] = str(self.folder / "slim")
            found["AFIN_TEST_FORBIDDEN"] = " ".join(lacking_in_slim())
        return found


def lacking_in_slim() -> list[str]:
    """Modules that are installed here and would not be in the small image."""
    held = {pin.partition("==")[0].lower().replace("_", "-") for pin in pins("slim.txt")}
    held |= {"afin", "pip"}
    return sorted(
        module
        for module, distributions in packages_distributions().items()
        if not any(name.lower().replace("_", "-") in held for name in distributions)
        and not module.startswith("__editable__")
    )


@contextmanager
def running(
    argv: list[str], env: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is asked to end at the end of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, env=dict(env), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def site(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Valkey as the file starts it, an empty PostgreSQL, and what hides the heavy libraries."""
    folder = tmp_path_factory.mktemp("compose")
    for name in ("bin", "slim", "valkey"):
        (folder / name).mkdir()
    (folder / "bin" / "valkey-server").symlink_to(find_server())
    (folder / "slim" / "sitecustomize.py").write_text(BLOCKER)
    port = free_port()
    env = {
        **environment("valkey", PASSWORDS),
        "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
        "VALKEY_PORT": str(port),
        "VALKEY_BIND": "127.0.0.1",
        "VALKEY_DIR": str(folder / "valkey"),
    }
    # Compose doubles a dollar to keep it from being its own.
    command = [word.replace("$$", "$") for word in services()["valkey"]["command"]]
    with ExitStack() as stack:
        stack.enter_context(running(command, env, folder / "valkey.log"))
        url = f"redis://:{PASSWORDS['VALKEY_PASSWORD']}@127.0.0.1:{port}/0"
        until(lambda: answers(url), READY_S)
        yield Site(folder, stack.enter_context(fresh_database(postgres_server)), port)


def start(site: Site, name: str, **extra: str) -> AbstractContextManager[subprocess.Popen[bytes]]:
    argv = [sys.executable, "-m", "cli.main", *services()[name]["command"]]
    return running(argv, site.environment(name) | extra, site.folder / f"{name}.log")


def log_of(site: Site, name: str) -> str:
    return (site.folder / f"{name}.log").read_text(errors="replace")


def wait_for_file(site: Site, name: str, process: subprocess.Popen[bytes]) -> None:
    path = Path(site.environment(name)["AFIN_HEALTH_FILE"])
    until(lambda: path.exists() or process.poll() is not None, READY_S)
    assert path.exists(), log_of(site, name)


def test_valkey_needs_its_password_and_never_forgets_a_message(site: Site) -> None:
    assert not answers(f"redis://127.0.0.1:{site.valkey_port}/0")
    url = f"redis://:{PASSWORDS['VALKEY_PASSWORD']}@127.0.0.1:{site.valkey_port}/0"
    with Redis.from_url(url, decode_responses=True) as client:
        assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
        assert client.config_get("appendonly")["appendonly"] == "yes"


def test_migrate_brings_the_database_to_the_newest_schema_and_ends(site: Site) -> None:
    with start(site, "migrate") as process:
        assert process.wait(READY_S) == 0, log_of(site, "migrate")
    assert SCHEMA_VERSION in log_of(site, "migrate")
    database = Database(site.database_url)
    with database.read() as connection:
        assert newest_verdicts(connection) == []
    database.close()


def test_every_worker_becomes_healthy_and_shows_no_password(site: Site) -> None:
    with ExitStack() as stack:
        started = {name: stack.enter_context(start(site, name)) for name in WORKERS}
        for name, process in started.items():
            wait_for_file(site, name, process)
    for name in WORKERS:
        assert not any(secret in log_of(site, name) for secret in ("pgsecret", "vksecret"))


def test_flower_becomes_healthy_behind_its_password(site: Site) -> None:
    port = free_port()
    # On loopback: this is no container.
    extra = {"AFIN_FLOWER_PORT": str(port), "AFIN_FLOWER_ADDRESS": "127.0.0.1"}
    with start(site, "flower", **extra) as process:
        until(lambda: status(f"http://127.0.0.1:{port}/healthcheck") == 200 or died(process))
        assert status(f"http://127.0.0.1:{port}/workers") == 401, log_of(site, "flower")


def test_web_becomes_healthy(site: Site) -> None:
    if "web_port" not in Settings.model_fields:
        pytest.skip("This version has no web server yet.")
    port = free_port()
    extra = {"AFIN_WEB_PORT": str(port), "AFIN_WEB_ADDRESS": "127.0.0.1"}
    with start(site, "web", **extra) as process:
        until(lambda: status(f"http://127.0.0.1:{port}/healthz") == 200 or died(process))
        assert status(f"http://127.0.0.1:{port}/healthz") == 200, log_of(site, "web")


def died(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is not None


def status(url: str) -> int:
    """The status that an address answers with; 0 where nobody answers."""
    try:
        with urlopen(url, timeout=5) as answer:  # noqa: S310 - loopback
            return int(answer.status)
    except URLError as error:
        code = getattr(error, "code", 0)
        if hasattr(error, "close"):
            error.close()
        return int(code)
    except OSError:
        time.sleep(0.1)
        return 0
