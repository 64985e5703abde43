"""afin sandbox: the three sources on this machine, to try the crawlers on."""

import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from cli.output import JsonFlag, note, print_json, print_table, print_text
from pipelines.sources.sandbox import Sandbox, SandboxContent, SandboxPlan, parse_plan
from pipelines.sources.sandbox.plan import MOST
from schemas.errors import UsageError
from schemas.settings import load_settings
from tasks.logs import set_up_logs


def sandbox(
    *,
    photos: Annotated[
        Path | None,
        typer.Option(help="Serve photos of this folder, one inner folder a category; else drawn."),
    ] = None,
    files: Annotated[
        Path | None,
        typer.Option(help="Write words.txt, wordnet.is_a.txt and fall11_urls.txt into it."),
    ] = None,
    misbehave: Annotated[
        str,
        typer.Option(
            help="What goes wrong: name=share, server.name=share or setting=value, with commas: "
            "'none', 'dead=0.4', 'pexels.throttle=0.3,retry-after=date', 'pexels.challenge'. "
            "Without a server it is said of the photo hosts. A wrong name prints all there are."
        ),
    ] = "",
    port: Annotated[
        int, typer.Option(min=0, max=65_000, help="First of nine ports; 0: any free ones.")
    ] = 0,
    seed: Annotated[int, typer.Option(help="The same seed serves the same photos.")] = 7,
    photos_per_term: Annotated[
        int, typer.Option(min=0, max=MOST, help="Pexels photos a search term.")
    ] = 90,
    urls_per_synset: Annotated[
        int, typer.Option(min=0, max=MOST, help="ImageNet addresses a synset.")
    ] = 40,
    posts_per_tag: Annotated[
        int, typer.Option(min=0, max=MOST, help="Recent Instagram posts a tag, and as many top.")
    ] = 60,
    accounts: Annotated[int, typer.Option(min=0, max=500, help="Instagram accounts.")] = 24,
    as_json: JsonFlag = False,
) -> None:
    """Serve stand-ins of ImageNet, Pexels and Instagram on this machine until Ctrl-C.

    They answer in the real formats, with drawn photos, and misbehave on request.
    """
    content = SandboxContent(
        seed=seed,
        photos_dir=photos,
        photos_per_term=photos_per_term,
        urls_per_synset=urls_per_synset,
        posts_per_tag=posts_per_tag,
        accounts=accounts,
    )
    set_up_logs(load_settings(), "sandbox")
    with Sandbox(content, parse_plan(misbehave, SandboxPlan()), port=port) as running:
        written = _write(running, files)
        if as_json:
            print_json({**running.describe(), "files": [str(path) for path in written]})
        else:
            _show(running, written)
        # Whoever started us may wait for this through a pipe.
        sys.stdout.flush()
        note("Ctrl-C stops it.")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            note("Stopped.")


def _write(running: Sandbox, folder: Path | None) -> list[Path]:
    if folder is None:
        return []
    try:
        return running.write_files(folder.absolute())
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}. Name another.") from None


def _show(running: Sandbox, written: list[Path]) -> None:
    rows = [("desk", running.url), *running.servers.items()]
    print_table(["server", "address"], [*rows, *(("file", path) for path in written)])
    print_text("\n# Lead the crawlers here:")
    print_text("\n".join(f"export {name}={value}" for name, value in running.environment().items()))
    names = ", ".join(account.username for account in running.accounts[:6])
    if names:
        note(f"\nAccounts to scrape: {names}, … (all of them: {running.url})")
