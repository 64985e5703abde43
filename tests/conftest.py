"""What tests of several rooms share: databases of both kinds, and the real data."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.database import Database
from storage.schema import migrate
from tests import postgres

SHARED_DATA = Path(__file__).parents[1] / "../shared/data"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL server; tests are skipped aloud where there is none and none can be started."""
    url = postgres.server_url()
    if postgres.answers(url):
        yield url
        return
    binaries = postgres.find_binaries()
    if binaries is None:
        pytest.skip("No PostgreSQL answers on 127.0.0.1:5432 and none is installed to be started.")
    with postgres.own_cluster(binaries) as own:
        yield own


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'afin.db'}"
        return
    server: str = request.getfixturevalue("postgres_server")
    with postgres.fresh_database(server) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """An empty, migrated database, of each kind in turn."""
    opened = Database(database_url)
    migrate(opened)
    yield opened
    opened.close()


@pytest.fixture
def shared_data() -> Path:
    """The folder of real photos and accounts; tests are skipped aloud where it is missing."""
    if not SHARED_DATA.is_dir():
        pytest.skip("The real photos and accounts (../shared/data) are not on this machine.")
    return SHARED_DATA.resolve()
