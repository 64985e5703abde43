"""Captions to vectors."""

from collections.abc import Callable, Collection, Mapping

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from pipelines.bundle import Bundle
from pipelines.text.models import CaptionModel
from schemas.bundles import BundleManifest
from storage.accounts import captions_of_account
from storage.evidence import Evidence
from storage.runs import is_current, read_run
from storage.vectors import as_stored, known_text_vectors, save_text_vectors
from tasks.app import task
from tasks.chords import never_failing, noting_problems
from tasks.context import Context, context

Table = dict[str, NDArray[np.float32] | None]
"""Vectors of captions by their hash; None for one of which a model knows no word."""

FEW = 200
"""Captions that a sentence model reads between two transactions: about 13 s of one core."""


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
        embedded.update(keep_captions(resources, model, captions))
    return len(embedded)


def keep_captions(
    resources: Context,
    model: CaptionModel,
    captions: Mapping[str, str],
    on_step: Callable[[int, int], None] = lambda _done, _total: None,
) -> list[str]:
    """Compute and keep one model's vectors of captions (by hash) that lack them; return which.

    They are kept a few at a time, so that what a killed worker has done is not done again.
    """
    with resources.database.read() as connection:
        known = known_text_vectors(connection, model.ref.hash, captions)
    missing = sorted(set(captions) - known)
    size = FEW if model.ref.package else len(missing)
    for start in range(0, len(missing), max(size, 1)):
        on_step(start, len(missing))
        part = missing[start : start + size]
        vectors, usable = model.embed([captions[sha256] for sha256 in part])
        rows = {
            sha256: vector if good else None
            for sha256, vector, good in zip(part, vectors, usable, strict=True)
        }
        with resources.database.write() as connection:
            save_text_vectors(connection, model.ref.hash, rows)
    return missing


def embed_unread(bundle: Bundle, evidence: Evidence) -> dict[str, Table]:
    """Compute the vectors of captions that a text model has not read yet, and fill them in.

    Returns them by the model's hash, to be stored.
    """
    fresh: dict[str, Table] = {}
    for ref, texts in zip(bundle.manifest.text_models, evidence.texts, strict=True):
        if not texts.unread:
            continue
        missing = sorted(texts.unread)
        model = next(one for one in bundle.text_models if one.ref.hash == ref.hash)
        vectors, usable = model.embed([texts.unread[sha256] for sha256 in missing])
        # As they will be read: a verdict must not depend on who computed its vectors when.
        vectors = as_stored(vectors)
        places = {sha256: place for place, sha256 in enumerate(missing)}
        read = [place for row in evidence.captions if (place := places.get(row or "")) is not None]
        rows = [row for row, sha256 in enumerate(evidence.captions) if sha256 in places]
        texts.usable[rows] = usable[read]
        texts.vectors[rows] = np.where(usable[read, None], vectors[read], np.float32(0))
        fresh[ref.hash] = {
            sha256: vector if good else None
            for sha256, vector, good in zip(missing, vectors, usable, strict=True)
        }
    return fresh


def read_known_captions(
    connection: Connection, manifest: BundleManifest, said: Collection[str]
) -> set[str] | None:
    """Return which captions every text model of a bundle has embedded; None if it has no model."""
    known: set[str] | None = None
    for ref in manifest.text_models:
        found = known_text_vectors(connection, ref.hash, said)
        known = found if known is None else known & found
    return known
