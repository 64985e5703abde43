"""afin users: who may sign in to the pages, and tokens for the API."""

import sys
from typing import Annotated

import typer

from cli.output import JsonFlag, note, print_json, print_table
from schemas.errors import UsageError
from schemas.users import Role
from storage.users import add_token, add_user, list_users, remove_user
from tasks.context import context
from web.sign_in import hash_password

app = typer.Typer(no_args_is_help=True, help="Who may sign in to the pages and use the API.")

Name = Annotated[str, typer.Argument(show_default=False)]


@app.command()
def add(
    name: Name,
    role: Annotated[Role, typer.Option(help="What this user may do.")] = Role.VIEWER,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from stdin.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Add a user; the password is asked for, never an argument that others could see."""
    if password_stdin:
        password = sys.stdin.readline().rstrip("\n")
    elif sys.stdin.isatty():
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    else:
        raise UsageError("Nobody can be asked for a password here: pass --password-stdin.")
    hashed = hash_password(password)
    with context().database.write() as connection:
        user = add_user(connection, name, hashed, role)
    if as_json:
        print_json({"user": user.name, "role": user.role})
    else:
        note(f"{user.name} may sign in as {user.role}.")


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """List users and their roles."""
    with context().database.read() as connection:
        users = list_users(connection)
    if as_json:
        print_json([{"user": user.name, "role": user.role} for user in users])
    else:
        print_table(("user", "role"), [(user.name, user.role) for user in users])


@app.command()
def remove(name: Name, as_json: JsonFlag = False) -> None:
    """Remove a user, with sessions and tokens; what they decided stays under their name."""
    with context().database.write() as connection:
        remove_user(connection, name)
    if as_json:
        print_json({"removed": name})
    else:
        note(f"{name} may no longer sign in.")


@app.command()
def token(name: Name, as_json: JsonFlag = False) -> None:
    """Make an API token for a user; it is shown this once and has the user's role."""
    with context().database.write() as connection:
        made = add_token(connection, name)
    if as_json:
        print_json({"user": name, "token": made})
    else:
        note("Keep it: it is not shown again.")
        typer.echo(made)
