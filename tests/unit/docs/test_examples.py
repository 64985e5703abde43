"""The examples that people copy from the documentation do what it says, against real pages."""

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu.transport.memory import Channel

from schemas.users import Role
from storage.inbox import list_events
from storage.users import add_token, add_user
from tasks.context import Context, context
from tests.adopted import adopted
from tests.pages import populate, serving
from tests.unit.docs.pages import example
from web.events import event_routes
from web.sign_in import hash_password

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
SHOWN = "http://127.0.0.1:8080"
"""The address that the examples name."""

needs_curl = pytest.mark.skipif(
    not (shutil.which("curl") and shutil.which("openssl")),
    reason="curl or openssl is not installed: apt-get install curl openssl.",
)


@pytest.fixture
def resources(tmp_path: Path) -> Iterator[Context]:
    environment = {
        "AFIN_DATA_DIR": str(tmp_path / "data"),
        "AFIN_BROKER_URL": "memory://",
        "AFIN_RESULT_URL": "cache+memory://",
        "AFIN_EVENT_SECRETS": SECRET,
    }
    with adopted(environment):
        yield context()
        Channel.queues.clear()


def run(argv: list[str], environment: dict[str, str]) -> str:
    """Run what an example says as its reader would; return what it prints."""
    ended = subprocess.run(
        argv, env=os.environ | environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def run_shell(text: str, environment: dict[str, str]) -> str:
    return run(["bash", "-euo", "pipefail", "-c", text], environment)


def told(resources: Context) -> list[tuple[str, str]]:
    with resources.database.read() as connection:
        return [(event.type, event.username) for event in list_events(connection)]


def test_the_python_example_sends_an_event(resources: Context) -> None:
    code = example("events.md", "python", "urllib.request")
    assert SHOWN in code
    with serving(resources, event_routes(resources)) as base:
        said = run(
            [sys.executable, "-c", code.replace(SHOWN, base)], {"AFIN_EVENT_SECRETS": SECRET}
        )
    assert '"state": "received"' in said
    assert told(resources) == [("influencer.created", "jansport_cl")]


@needs_curl
def test_the_curl_example_sends_an_event(resources: Context) -> None:
    text = example("events.md", "sh", "curl -i")
    assert SHOWN in text
    with serving(resources, event_routes(resources)) as base:
        said = run_shell(text.replace(SHOWN, base), {"AFIN_EVENT_SECRETS": SECRET})
    assert " 202 " in said.splitlines()[0]
    assert told(resources) == [("influencer.created", "jansport_cl")]


@pytest.fixture
def signed_in(resources: Context, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment that the examples of the API ask for, where sign-in is needed."""
    populate(resources, tmp_path)
    with resources.database.write() as connection:
        add_user(connection, "vera", hash_password("correct horse"), Role.VIEWER)
        token = add_token(connection, "vera")
    environment = {"AFIN_DATA_DIR": str(tmp_path / "data"), "AFIN_WEB_SIGN_IN": "true"}
    with adopted(environment), serving(context()) as base:
        yield {"AFIN": base, "AFIN_TOKEN": token}


def test_the_python_example_asks_the_api(signed_in: dict[str, str]) -> None:
    code = example("api.md", "python", "def ask").replace("category=deporte&", "")
    lines = run([sys.executable, "-c", code], signed_in).splitlines()
    assert sorted(line.split()[0] for line in lines) == ["ana.cocina", "beto_gol", "carla.viaja"]


def test_the_python_example_fails_without_its_token(signed_in: dict[str, str]) -> None:
    code = example("api.md", "python", "def ask")
    with pytest.raises(AssertionError, match="401"):
        run([sys.executable, "-c", code], signed_in | {"AFIN_TOKEN": "wrong"})


@needs_curl
def test_the_curl_examples_ask_the_api(signed_in: dict[str, str]) -> None:
    text = example("api.md", "sh", "curl").replace("la_cocina_de_ines", "ana.cocina")
    said = run_shell(text.replace("curl ", "curl --fail-with-body --silent "), signed_in)
    assert '"accounts"' in said
    assert '"username":"ana.cocina"' in said
