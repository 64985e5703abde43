"""Who may use the pages and the API: users, their sessions and their tokens (hashes only)."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, func, insert, select

from schemas.errors import NotFoundError, UsageError
from schemas.users import Role, User
from storage.web_tables import api_tokens, sessions, users

SESSION_HOURS = 12
NAME_CHARS = 60


def add_user(connection: Connection, name: str, password_hash: str, role: Role) -> User:
    """Record a user.

    Raises:
        UsageError: the name is taken, empty or too long.
    """
    if not 0 < len(name) <= NAME_CHARS or not name.isprintable() or name != name.strip():
        raise UsageError(f"A user's name has 1 to {NAME_CHARS} characters, without spaces around.")
    if connection.scalar(select(users.c.id).where(users.c.name == name)) is not None:
        raise UsageError(f"There is a user {name!r} already: remove it first, or use another name.")
    now = datetime.now(UTC)
    row = {"name": name, "password_hash": password_hash, "role": role, "created_at": now}
    identifier = connection.execute(insert(users).values(row).returning(users.c.id)).scalar_one()
    return User(id=identifier, name=name, role=role)


def list_users(connection: Connection) -> list[User]:
    """Return all users by name."""
    query = select(users.c.id, users.c.name, users.c.role).order_by(users.c.name)
    return [User(id=row.id, name=row.name, role=row.role) for row in connection.execute(query)]


def count_users(connection: Connection) -> int:
    """Return how many users there are."""
    return connection.scalars(select(func.count()).select_from(users)).one()


def find_user(connection: Connection, name: str) -> tuple[User, str]:
    """Return a user and the hash of the password.

    Raises:
        NotFoundError: there is none of that name.
    """
    row = connection.execute(select(users).where(users.c.name == name)).one_or_none()
    if row is None:
        raise NotFoundError(f"No user is named {name!r}: 'afin users list' shows those there are.")
    return User(id=row.id, name=row.name, role=row.role), row.password_hash


def remove_user(connection: Connection, name: str) -> None:
    """Remove a user with sessions and tokens; what they decided stays under their name.

    Raises:
        NotFoundError: there is none of that name.
    """
    user, _hash = find_user(connection, name)
    connection.execute(delete(users).where(users.c.id == user.id))


def open_session(connection: Connection, user_id: int) -> str:
    """Begin a session and return its secret, which is kept as a hash only."""
    now = datetime.now(UTC)
    connection.execute(delete(sessions).where(sessions.c.expires_at < now))
    token = secrets.token_urlsafe(32)
    row = {
        "token_sha256": digest(token),
        "user_id": user_id,
        "expires_at": now + timedelta(hours=SESSION_HOURS),
    }
    connection.execute(insert(sessions).values(row))
    return token


def close_session(connection: Connection, token: str) -> None:
    """End a session; one that has ended is fine."""
    connection.execute(delete(sessions).where(sessions.c.token_sha256 == digest(token)))


def session_user(connection: Connection, token: str) -> User | None:
    """Return whose session this is, unless it has expired."""
    query = (
        select(users.c.id, users.c.name, users.c.role)
        .join(sessions, sessions.c.user_id == users.c.id)
        .where(sessions.c.token_sha256 == digest(token), sessions.c.expires_at > datetime.now(UTC))
    )
    row = connection.execute(query).one_or_none()
    return User(id=row.id, name=row.name, role=row.role) if row else None


def add_token(connection: Connection, name: str) -> str:
    """Make a token for the API and return it; it is shown once and kept as a hash.

    Raises:
        NotFoundError: there is no such user.
    """
    user, _hash = find_user(connection, name)
    token = f"afin_{secrets.token_urlsafe(32)}"
    row = {"token_sha256": digest(token), "user_id": user.id, "created_at": datetime.now(UTC)}
    connection.execute(insert(api_tokens).values(row))
    return token


def token_user(connection: Connection, token: str) -> User | None:
    """Return whose token this is."""
    query = (
        select(users.c.id, users.c.name, users.c.role)
        .join(api_tokens, api_tokens.c.user_id == users.c.id)
        .where(api_tokens.c.token_sha256 == digest(token))
    )
    row = connection.execute(query).one_or_none()
    return User(id=row.id, name=row.name, role=row.role) if row else None


def digest(token: str) -> str:
    """Return what is kept of a secret that was drawn at random; no salt, as nobody can guess it."""
    return hashlib.sha256(token.encode()).hexdigest()
