"""afin reclassify: bulk runs over all accounts, or some of them."""

from pathlib import Path
from typing import Annotated

import typer

from cli.output import JsonFlag, note, print_json, print_table, warn
from cli.verdicts import BundleOption, WaitFlag, report_run
from schemas.categories import parse_category_set
from schemas.errors import UsageError
from storage.bundles import find_bundle
from storage.selection import (
    accounts_in_category,
    every_account,
    measure_work,
    named_accounts,
    stale_accounts,
)
from tasks.context import context
from tasks.events import choose_scope_now
from tasks.start import start_bulk

SHOWN = 5


def reclassify(
    everyone: Annotated[bool, typer.Option("--all", help="Every account there is.")] = False,
    category: Annotated[
        str | None, typer.Option(help="Those whose newest verdict has this category.")
    ] = None,
    file: Annotated[Path | None, typer.Option(help="Those named in this file, one a line.")] = None,
    stale: Annotated[
        bool, typer.Option("--stale", help="Those not judged by this bundle since posts changed.")
    ] = False,
    bundle: BundleOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what there would be to do.")
    ] = False,
    wait: WaitFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Classify accounts again, as one run; what is known stays valid until it is replaced."""
    if sum((everyone, category is not None, file is not None, stale)) != 1:
        raise UsageError("Say which accounts: one of --all, --category, --file and --stale.")
    chosen, asked = _choose(category, file, bundle, stale=stale)
    if dry_run:
        _report_work(chosen, bundle, as_json=as_json)
        return
    if not chosen:
        _report_nothing(stale=stale, as_json=as_json)
        return
    run_id, adopted = start_bulk(context(), chosen, bundle_id=bundle, asked=asked)
    if adopted:
        note(f"{adopted} accounts were concluded by a run that still goes on, and are taken over.")
    report_run(run_id, wait=wait, as_json=as_json)


def _choose(
    category: str | None, file: Path | None, bundle: str | None, *, stale: bool
) -> tuple[list[int], str]:
    """Return the accounts that are meant, and in which words."""
    with context().database.read() as connection:
        if stale:
            return stale_accounts(connection, find_bundle(connection, bundle).id), "--stale"
        if category is not None:
            (slug, *more) = parse_category_set(category)
            if more:
                raise UsageError("One category at a time: --category comida.")
            return accounts_in_category(connection, slug), f"--category {slug}"
        if file is None:
            found = every_account(connection)
            if not found:
                find_bundle(connection, bundle)
                raise UsageError(
                    "There are no accounts yet: 'afin import accounts FILE' adds some."
                )
            return found, "--all"
        found, unknown = named_accounts(connection, _read_names(file))
    if unknown:
        more_text = "" if len(unknown) <= SHOWN else f" and {len(unknown) - SHOWN} more"
        warn(f"Not known, and left out: {', '.join(unknown[:SHOWN])}{more_text}.")
    if not found:
        raise UsageError(f"{file} names no account that we know: a user name a line is needed.")
    return found, f"--file {file.name}"


def _read_names(file: Path) -> list[str]:
    try:
        lines = file.read_text("utf-8-sig", "replace").splitlines()
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}.") from error
    names = (line.partition("#")[0].strip().lstrip("@").lower() for line in lines)
    return [name for name in names if name]


def _report_work(chosen: list[int], bundle: str | None, *, as_json: bool) -> None:
    resources = context()
    with resources.database.read() as connection:
        info = find_bundle(connection, bundle)
        scope = choose_scope_now(resources.settings)
        work = measure_work(connection, chosen, info.manifest.backbone.hash, scope)
    if as_json:
        print_json({"bundle": info.id, **work.model_dump()})
        return
    estimate = "no earlier run can tell" if work.seconds is None else f"about {work.seconds:.0f} s"
    rows: list[tuple[str, object]] = [
        ("bundle", info.id),
        ("accounts", work.accounts),
        ("posts", work.posts),
        ("photos", work.photos),
        ("of them with a vector", work.cached),
        ("photos to fetch", work.to_fetch),
        ("estimated time", estimate),
    ]
    print_table(("what", "how much"), rows)


def _report_nothing(*, stale: bool, as_json: bool) -> None:
    why = "Every account is up to date" if stale else "No account has that category"
    if as_json:
        print_json({"run": None})
    note(f"{why}: nothing was started.")
