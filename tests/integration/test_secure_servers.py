"""Servers with TLS and passwords, and what is said of those that do not answer."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from schemas.errors import BrokerError
from tasks.context import context
from tasks.start import answering_kinds, require_workers
from tests.adopted import adopted
from tests.houses import until
from tests.unit.deploy.compose import ROOT
from workers.processes import Child, ChildSpec, free_port
from workers.supervisor import Supervisor

PASSWORD = "brokersecret"
DEADLINE_S = 90.0


@dataclass(frozen=True)
class Tls:
    """A Redis that speaks TLS alone, and who signed its certificate."""

    url: str
    ca_file: Path


def run(*argv: str, cwd: Path) -> None:
    subprocess.run(argv, cwd=cwd, check=True, capture_output=True, timeout=60)


def make_certificates(folder: Path) -> None:
    """A certificate authority, and a certificate for localhost that it signed."""
    new = ("openssl", "req", "-newkey", "rsa:2048", "-nodes")
    run(*new, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test", cwd=folder)
    run(*new, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost", cwd=folder)
    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    signed = ("openssl", "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key")
    run(*signed, "-CAcreateserial", "-out", "server.pem", "-extfile", "names", cwd=folder)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tls]:
    server = shutil.which("redis-server") or shutil.which("valkey-server")
    if server is None or shutil.which("openssl") is None:
        pytest.skip("redis-server (or valkey-server) and openssl are not both installed.")
    folder = tmp_path_factory.mktemp("tls")
    make_certificates(folder)
    port = free_port()
    (folder / "redis.conf").write_text(
        f"port 0\ntls-port {port}\nbind 127.0.0.1\nrequirepass {PASSWORD}\nsave ''\n"
        "tls-cert-file server.pem\ntls-key-file server.key\ntls-ca-cert-file ca.pem\n"
        "tls-auth-clients no\n".replace("''", '""')
    )
    child = Child(ChildSpec(name="redis", argv=(server, "redis.conf"), cwd=folder), folder)
    child.start()
    until(lambda: "Ready to accept connections" in child.tail() or not child.alive(), DEADLINE_S)
    if not child.alive():
        pytest.skip(f"This Redis does not speak TLS: {child.tail(1)}")
    yield Tls(f"rediss://:{PASSWORD}@localhost:{port}/0", folder / "ca.pem")
    child.stop()


def test_a_worker_is_reached_over_tls(tls: Tls, tmp_path: Path) -> None:
    environment = {
        "AFIN_DATA_DIR": str(tmp_path),
        "AFIN_BROKER_URL": tls.url,
        "AFIN_TLS_CA_FILE": str(tls.ca_file),
    }
    spec = ChildSpec(name="control", argv=(sys.executable, "-m", "workers", "control"), cwd=ROOT)
    with adopted(environment), Supervisor([spec], logs=tmp_path / "logs"):
        require_workers(context(), ("control",), wait_s=DEADLINE_S)
        assert PASSWORD not in (tmp_path / "logs" / "control.log").read_text()


def test_a_certificate_that_somebody_else_signed_is_refused(tls: Tls, tmp_path: Path) -> None:
    with (
        adopted({"AFIN_DATA_DIR": str(tmp_path), "AFIN_BROKER_URL": tls.url}),
        pytest.raises(BrokerError, match="cannot be reached") as caught,
    ):
        answering_kinds()
    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"AFIN_BROKER_URL": "redis://:{secret}@127.0.0.1:9/0"}, "Trying again in"),
        ({"AFIN_BROKER_URL": "amqp://afin:{secret}@127.0.0.1:9//"}, "Trying again in"),
        (
            {
                "AFIN_BROKER_URL": "redis://127.0.0.1:9/0",
                "AFIN_DATABASE_URL": "postgresql://afin:{secret}@127.0.0.1:9/afin",
            },
            "cannot be reached",
        ),
    ],
    ids=["redis", "rabbitmq", "postgresql"],
)
def test_a_server_that_is_away_is_waited_for_and_its_password_not_told(
    environment: dict[str, str], said: str, tmp_path: Path
) -> None:
    secret = "hunter2hunter2"
    env = {name: value.format(secret=secret) for name, value in environment.items()}
    env |= {"AFIN_DATA_DIR": str(tmp_path), "AFIN_RESULT_URL": "redis://127.0.0.1:9/0"}
    argv = (sys.executable, "-m", "workers", "control")
    child = Child(ChildSpec(name="control", argv=argv, env=env, cwd=ROOT), tmp_path / "logs")
    child.start()
    try:
        until(lambda: child.log.read_text().count(said) >= 2 or not child.alive(), DEADLINE_S)
        assert child.alive(), child.tail()
    finally:
        child.stop()
    assert secret not in child.log.read_text()
