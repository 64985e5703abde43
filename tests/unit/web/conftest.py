"""Pages for tests: open on loopback, and behind sign-in."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu.transport.memory import Channel

from schemas.users import Role
from storage.users import add_user
from tasks.context import Context, context
from tests.adopted import adopted
from tests.pages import Visitor, World, populate, serving
from web.sign_in import hash_password

PASSWORD = "correct horse battery"


def environment(tmp_path: Path) -> dict[str, str]:
    return {
        "AFIN_DATA_DIR": str(tmp_path / "data"),
        "AFIN_BROKER_URL": "memory://",
        "AFIN_RESULT_URL": "cache+memory://",
    }


@pytest.fixture
def resources(tmp_path: Path) -> Iterator[Context]:
    with adopted(environment(tmp_path)):
        yield context()
        Channel.queues.clear()


@pytest.fixture
def world(resources: Context, tmp_path: Path) -> World:
    return populate(resources, tmp_path)


@pytest.fixture
def visitor(resources: Context, world: World) -> Iterator[Visitor]:
    """Somebody on this machine, where no sign-in is asked for."""
    with serving(resources) as base:
        yield Visitor(base)


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[Visitor]:
    """Somebody who has not signed in where that is needed; three users could."""
    with adopted({**environment(tmp_path), "AFIN_WEB_SIGN_IN": "true"}):
        resources = context()
        populate(resources, tmp_path)
        hashed = hash_password(PASSWORD)
        with resources.database.write() as connection:
            for role in Role:
                add_user(connection, role.value, hashed, role)
        with serving(resources) as base:
            yield Visitor(base)
        Channel.queues.clear()


def sign_in(visitor: Visitor, name: str, password: str = PASSWORD) -> int:
    return visitor.post("/sign-in", {"name": name, "password": password}).status
