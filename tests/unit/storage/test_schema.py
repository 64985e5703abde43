"""Migrations bring any database to the tables that the code knows."""

import threading
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from schemas.errors import DatabaseError
from storage import schema
from storage.bundles import promote_bundle, roll_back_bundle
from storage.database import Database
from storage.schema import migrate
from storage.tables import SCHEMA_VERSION, metadata
from tests.unit.storage.builders import add_some_bundle


def test_migrations_end_in_exactly_the_tables_of_the_code(database: Database) -> None:
    with database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, metadata) == []


def test_the_schema_version_names_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == SCHEMA_VERSION


def test_bundles_of_an_older_database_can_be_rolled_back(database: Database) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    with database.write() as connection:
        for number, name in enumerate(("aaa", "bbb", "ccc")):
            add_some_bundle(connection, name, number)
        promote_bundle(connection, "ccc")
        config.attributes["connection"] = connection
        command.downgrade(config, "0001")
    migrate(database)
    with database.write() as connection:
        assert roll_back_bundle(connection)[0].id == "aaa"


def test_many_who_migrate_at_once_all_find_a_finished_schema(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(6)]
    errors: list[Exception] = []

    def run(one: Database) -> None:
        try:
            migrate(one)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            errors.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one in databases:
        one.close()
    assert errors == []


def test_a_database_of_a_newer_afin_is_refused(database: Database) -> None:
    with database.write() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseError, match="newer afin"):
        migrate(database)


def test_an_address_of_another_kind_of_database_is_refused() -> None:
    with pytest.raises(DatabaseError, match="SQLite or PostgreSQL"):
        Database("mysql://root@127.0.0.1/test")


def test_an_unreachable_server_is_told_without_its_password() -> None:
    lost = Database("postgresql://user:sesame@127.0.0.1:1/none")
    with pytest.raises(DatabaseError, match="cannot be reached") as caught, lost.read():
        pass
    lost.close()
    assert "sesame" not in str(caught.value)
