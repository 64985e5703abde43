"""afin models: see, compare, tune and promote bundles."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.evaluate import (
    COMPUTING,
    AccountsOption,
    PhotosOption,
    PostsOption,
    choose_set,
    print_evaluation,
)
from cli.output import JsonFlag, note, print_json, print_table
from cli.progress import metering
from schemas.bundles import BundleInfo
from storage.bundles import find_bundle, list_bundles, promote_bundle, roll_back_bundle
from tasks.context import context
from tasks.fusing import TARGET_PRECISION
from tasks.rivalry import choose_common_set, compare_bundles
from tasks.tuning import tune_bundle


class TuningRule(StrEnum):
    """How share thresholds are chosen."""

    PRECISION = "precision"
    BALANCE = "balance"
    HAMMING = "hamming"


app = typer.Typer(no_args_is_help=True, help="See, compare and promote bundles (model versions).")


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """List bundles, newest first."""
    with context().database.read() as connection:
        bundles = list_bundles(connection)
    if as_json:
        print_json([describe_bundle(info) for info in bundles])
    elif bundles:
        print_bundles(bundles)
    else:
        note("No bundle yet: 'afin train' makes one.")


@app.command()
def show(
    bundle: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")],
    as_json: JsonFlag = False,
) -> None:
    """Show all that a bundle says of itself."""
    with context().database.read() as connection:
        info = find_bundle(connection, bundle)
    if as_json:
        print_json({**describe_bundle(info), "manifest": info.manifest.model_dump(mode="json")})
        return
    print_bundles([info])
    fields = info.manifest.model_dump(mode="json", exclude={"files"})
    print_table(("field", "value"), [(name, value) for name, value in fields.items()])


@app.command()
def promote(
    bundle: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")],
    as_json: JsonFlag = False,
) -> None:
    """Make a bundle the one that judges accounts from now on."""
    with context().database.write() as connection:
        info = promote_bundle(connection, bundle)
    if as_json:
        print_json(describe_bundle(info))
    else:
        note(f"{info.id} is active. 'afin reclassify --all' judges everybody by it.")


@app.command()
def rollback(as_json: JsonFlag = False) -> None:
    """Make the bundle active again that was so before the present one."""
    with context().database.write() as connection:
        back, left = roll_back_bundle(connection)
    if as_json:
        print_json({**describe_bundle(back), "instead_of": left.id})
    else:
        note(f"{back.id} is active again, instead of {left.id}.")
        note("'afin reclassify --all' judges everybody by it.")


@app.command()
def compare(
    first: Annotated[str, typer.Argument(help="A bundle's id, or the beginning of it.")],
    second: Annotated[str, typer.Argument(help="Another's.")],
    photos: PhotosOption = None,
    posts: PostsOption = None,
    accounts: AccountsOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Score two bundles side by side on the same labelled items, which neither was trained on.

    Without a named set: all labelled posts, else accounts, else the largest source of photos.
    """
    chosen = choose_set(photos, posts, accounts)
    resources = context()
    with resources.database.read() as connection:
        one, other = find_bundle(connection, first), find_bundle(connection, second)
    kind, name = chosen or choose_common_set(resources)
    with metering(COMPUTING) as meter:
        found = compare_bundles(resources, one, other, kind, name, on_step=meter.show)
    if as_json:
        bundles = [describe_bundle(info) for info in (one, other)]
        print_json({"bundles": bundles, "evaluation": found.model_dump(mode="json")})
    else:
        print_bundles([one, other])
        print_evaluation(found)


@app.command()
def tune(
    bundle: Annotated[
        str | None, typer.Argument(help="Its id or the beginning of it; else the active one.")
    ] = None,
    by: Annotated[
        TuningRule,
        typer.Option(
            help="precision: one threshold a category; balance (precision = recall) or hamming: "
            "one for all."
        ),
    ] = TuningRule.PRECISION,
    precision: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="What each category has to reach.")
    ] = TARGET_PRECISION,
    seed: Annotated[int, typer.Option(help="Which half of the accounts it is fitted on.")] = 0,
    as_json: JsonFlag = False,
) -> None:
    """Make a candidate with share thresholds fitted on half of the labelled accounts."""
    found = tune_bundle(context(), bundle, rule=by.value, target_precision=precision, seed=seed)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    print_table(
        ("method", "", "Hamming (of nothing)", "precision", "recall", "macro-F1"),
        [
            (
                method,
                when,
                f"{scores.hamming:.3f} ({scores.hamming_of_nothing:.3f})",
                *(
                    "" if value is None else f"{value:.1%}"
                    for value in (scores.micro.precision, scores.micro.recall, scores.macro.f1)
                ),
            )
            for method in found.before
            for when, scores in (("before", found.before[method]), ("after", found.after[method]))
        ],
    )
    note(
        f"Fitted on {found.fitted_on} accounts, measured on the {found.measured_on} others. "
        f"{found.bundle_id} is a candidate: 'afin models promote {found.bundle_id}' makes it judge."
    )


def describe_bundle(info: BundleInfo) -> dict[str, Any]:
    """Return what is told of a bundle in one JSON object."""
    manifest = info.manifest
    return {
        "bundle": info.id,
        "state": info.state,
        "categories": list(manifest.classes),
        "reject_class": manifest.reject,
        "backbone": manifest.backbone.name,
        "text_model": manifest.text_model.name if manifest.text_model else None,
        "metrics": manifest.metrics,
        "created_at": manifest.created_at.isoformat(),
    }


def print_bundles(bundles: list[BundleInfo]) -> None:
    """Print a table of bundles."""
    print_table(
        ("bundle", "state", "backbone", "text model", "categories", "created"),
        [
            (
                info.id,
                info.state,
                info.manifest.backbone.name,
                info.manifest.text_model.name if info.manifest.text_model else "none",
                ", ".join(info.manifest.classes) + (" (+otra)" if info.manifest.reject else ""),
                f"{info.manifest.created_at:%Y-%m-%d %H:%M}",
            )
            for info in bundles
        ],
    )
