"""How a database that does not answer is told from one that answers no."""

import psycopg
import pytest
from sqlalchemy import text

from schemas.errors import LostDatabaseError
from storage.database import Database
from tests.postgres import fresh_database


def test_a_server_that_is_away_is_told_without_its_password() -> None:
    database = Database("postgresql://afin:hunter2@127.0.0.1:9/afin")
    with pytest.raises(LostDatabaseError, match="cannot be reached") as caught, database.read():
        pass
    assert "hunter2" not in str(caught.value)


def ask_on_a_cut_connection(database: Database, url: str) -> None:
    with database.read() as connection:
        pid = connection.scalar(text("SELECT pg_backend_pid()"))
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", (pid,))
        connection.execute(text("SELECT 1"))


def test_a_connection_cut_in_the_middle_is_a_lost_database_and_the_next_one_works(
    postgres_server: str,
) -> None:
    with fresh_database(postgres_server) as url:
        database = Database(url)
        with pytest.raises(LostDatabaseError):
            ask_on_a_cut_connection(database, url)
        with database.read() as connection:
            assert connection.scalar(text("SELECT 1")) == 1
        database.close()
