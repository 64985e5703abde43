"""afin events: a secret to sign with, one event sent to try it out, and what came in."""

import base64
import json
import secrets as randomness
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.output import JsonFlag, note, print_json, print_table
from pipelines.webhooks import DEFAULT_SENDER, PREFIX, sign_headers
from schemas.errors import AfinError, UsageError
from schemas.events import EventState, EventType
from storage.inbox import list_events
from tasks.context import context
from tasks.reception import read_secrets

app = typer.Typer(no_args_is_help=True, help="Events of the platform: try out and see.")

TIMEOUT_S = 15


@app.command()
def secret(as_json: JsonFlag = False) -> None:
    """Make a new secret to sign events with; it is shown once and kept nowhere."""
    text = PREFIX + base64.b64encode(randomness.token_bytes(32)).decode()
    if as_json:
        print_json({"secret": text})
    else:
        typer.echo(text)


@app.command()
def send(
    username: Annotated[str, typer.Argument(help="The account it is about.")],
    url: Annotated[str, typer.Option(help="Where events are taken: https://host/events.")],
    kind: Annotated[EventType, typer.Option("--type", help="What happened.")] = EventType.CREATED,
    posts: Annotated[
        Path | None, typer.Option(help="JSON file with a list of posts (id, caption, photos).")
    ] = None,
    sender: Annotated[str, typer.Option(help="Whose secret signs it.")] = DEFAULT_SENDER,
    webhook_id: Annotated[str | None, typer.Option("--id", help="Instead of a new one.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Sign one event with our own secret and send it."""
    keys = read_secrets(context().settings).get(sender)
    if not keys:
        raise UsageError(f"AFIN_EVENT_SECRETS holds no secret of {sender!r}.")
    if not url.lower().startswith(("http://", "https://")):
        raise UsageError("--url has to be an http or https address, such as http://host/events.")
    body = json.dumps({"type": kind, "data": _data(username, kind, posts)}).encode()
    headers = sign_headers(keys, webhook_id or f"evt_{uuid.uuid4().hex}", int(time.time()), body)
    status, answer = _post(url, body, headers)
    if as_json:
        print_json({"status": status, "answer": answer})
    else:
        note(f"{status}: {json.dumps(answer, ensure_ascii=False)}")
    if status >= 400:  # noqa: PLR2004 - what HTTP calls errors
        raise typer.Exit(1)


@app.command("list")
def list_(
    state: Annotated[EventState | None, typer.Option(help="Only those in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 20,
    as_json: JsonFlag = False,
) -> None:
    """List events that came in, newest first."""
    with context().database.read() as connection:
        found = list_events(connection, state=state, limit=limit)
    if as_json:
        print_json([one.model_dump(mode="json") for one in found])
        return
    columns = ("id", "type", "username", "state", "attempts", "problem")
    print_table(columns, [[getattr(one, name) or "" for name in columns] for one in found])


def _data(username: str, kind: EventType, posts: Path | None) -> dict[str, Any]:
    data: dict[str, Any] = {"username": username}
    if posts is None:
        return data
    try:
        listed = json.loads(posts.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{posts} cannot be read as a JSON list of posts: {error}.") from None
    if kind is EventType.POSTED:
        data["post"] = listed[0] if isinstance(listed, list) and listed else listed
    else:
        data["posts"] = listed
    return data


def _post(url: str, body: bytes, headers: dict[str, str]) -> tuple[int, Any]:
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - checked by the caller
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            text = error.read().decode("utf-8", "replace")
        return error.code, json.loads(text) if text.startswith("{") else text[:200]
    except (OSError, ValueError) as error:
        raise AfinError(f"{url} cannot be reached: {error}. Does the web process run?") from None
