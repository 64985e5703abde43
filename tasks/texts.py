"""Captions to vectors."""

from collections.abc import Collection

from sqlalchemy import Connection

from schemas.bundles import BundleManifest
from storage.accounts import captions_of_account
from storage.runs import is_current, read_run
from storage.vectors import read_text_vectors, save_text_vectors
from tasks.app import task
from tasks.chords import never_failing, noting_problems
from tasks.context import Context, context


@task("texts.embed", ignore_result=True)
@never_failing
def embed(run_id: int, generation: int, influencer_id: int) -> str:
    """Embed the captions of an account's posts with the text model of the run's bundle.

    What could not be done is noted on the member and found missing by the chord's body.
    """
    resources = context()
    with resources.database.read() as connection:
        run = read_run(connection, run_id)
        if not is_current(run, generation) or run.bundle_id is None:
            return "stale"
        captions = captions_of_account(connection, influencer_id, run.scope)
    with noting_problems(resources, run_id, influencer_id):
        count = embed_captions(resources, run.bundle_id, captions)
    return f"captions={len(captions)} embedded={count}"


def embed_captions(resources: Context, bundle_id: str, captions: dict[str, str]) -> int:
    """Compute and keep the vectors of captions (by hash) that have none yet; return how many.

    A caption counts once, however many text models the bundle has.
    """
    embedded: set[str] = set()
    for model in resources.bundle(bundle_id).text_models:
        with resources.database.read() as connection:
            known = read_text_vectors(connection, model.ref.hash, captions)
        missing = sorted(set(captions) - set(known))
        if not missing:
            continue
        vectors, usable = model.embed([captions[sha256] for sha256 in missing])
        rows = {
            sha256: vector if good else None
            for sha256, vector, good in zip(missing, vectors, usable, strict=True)
        }
        with resources.database.write() as connection:
            save_text_vectors(connection, model.ref.hash, rows)
        embedded.update(missing)
    return len(embedded)


def read_known_captions(
    connection: Connection, manifest: BundleManifest, said: Collection[str]
) -> set[str] | None:
    """Return which captions every text model of a bundle has embedded; None if it has no model."""
    known: set[str] | None = None
    for ref in manifest.text_models:
        found = set(read_text_vectors(connection, ref.hash, said))
        known = found if known is None else known & found
    return known
