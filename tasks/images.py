"""Photos to vectors: shards of an account's posts, and shards of training photos."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection

from schemas.base import Frozen
from schemas.bundles import BackboneRef
from schemas.errors import AfinError, LostBlobError, NotFoundError, PhotoError
from schemas.runs import Run
from storage.bundles import find_bundle
from storage.members import touch_members
from storage.photos import photos_of_members, photos_of_posts
from storage.runs import is_current, read_run
from storage.stages import keep_lease, read_stages
from storage.tagged import photos_of_tagged
from storage.training import example_photos
from storage.vectors import Unusable, known_image_vectors, save_image_vectors
from tasks.app import task
from tasks.chords import handing_back, never_failing, noting_problems
from tasks.context import Context, context
from tasks.embedders import Embedder
from tasks.metrics import METRICS
from tasks.turns import DeviceTurns

log = logging.getLogger(__name__)

SHARD_DEADLINE_S = 600.0
"""Longest time one shard may take; threads know no time limit of Celery's."""

HEARTBEAT_S = 5.0
"""How often a shard at work says so."""

_IN_TURN = threading.Lock()
"""Threads that prepare or store side by side only take the interpreter's lock from each other."""

Beat = Callable[[Connection], None]
"""Says in a transaction that a shard is at work."""


class ShardResult(Frozen):
    """What became of one shard: photos it named, known before, computed now, unusable."""

    photos: int = 0
    cached: int = 0
    embedded: int = 0
    unusable: int = 0


@task("images.embed", ignore_result=True)
@never_failing
def embed(run_id: int, generation: int, influencer_id: int, first: int, last: int) -> str:
    """Embed the photos of an account's posts with ids from ``first`` to ``last``.

    What could not be done is noted on the member and found missing by the chord's body.
    """
    resources = context()
    with resources.database.read() as connection:
        run = read_run(connection, run_id)
        if not is_current(run, generation):
            return "stale"
        shown = photos_of_posts(connection, influencer_id, first=first, last=last, scope=run.scope)
    return _embed_members(resources, run, [influencer_id], shown)


@task("images.embed_accounts", ignore_result=True)
@never_failing
def embed_accounts(run_id: int, generation: int, first_account: int, last_account: int) -> str:
    """Embed all photos of the accounts in flight between two ids, both included.

    What could not be done is noted on the members and found missing when they are concluded.
    """
    resources = context()
    with _IN_TURN, resources.database.read() as connection:
        run = read_run(connection, run_id)
        if not is_current(run, generation):
            return "stale"
        members, shown = photos_of_members(
            connection,
            run_id,
            _backbone_hash(resources, run),
            first=first_account,
            last=last_account,
            scope=run.scope,
        )
    known = {sha256 for sha256, tried in shown.items() if tried}
    return _embed_members(resources, run, sorted(members), shown, known)


def _backbone_hash(resources: Context, run: Run) -> str:
    """Return what a run's vectors go by; nothing for a bundle that cannot be read: told later."""
    try:
        return resources.bundle(run.bundle_id or "").manifest.backbone.hash
    except AfinError:
        return ""


def _embed_members(
    resources: Context,
    run: Run,
    members: Sequence[int],
    shown: Collection[str],
    known: Collection[str] | None = None,
) -> str:
    if run.bundle_id is None:
        return "stale"

    def beat(connection: Connection) -> None:
        touch_members(connection, run.id, members)

    with (
        noting_problems(resources, run.id, *members),
        handing_back(lambda: resources.embedders.closed),
    ):
        ref = resources.bundle(run.bundle_id).manifest.backbone
        with (
            resources.embedders.borrow(ref.name, ref) as embedder,
            _turn(resources, embedder) if run.urgent else nullcontext(),
        ):
            result = embed_photos(resources, embedder, shown, beat, urgent=run.urgent, known=known)
    return _summary(result)


def _turn(resources: Context, embedder: Embedder) -> AbstractContextManager[None]:
    """Keep trainings on the device from their next step."""
    return DeviceTurns(resources.settings.data_dir, embedder.backbone.device).urgent()


@task("images.embed_examples")
@never_failing
def embed_examples(run_id: int, generation: int, first: int, last: int) -> str:
    """Embed the training photos with example ids from ``first`` to ``last``."""
    return _embed_training(run_id, generation, example_photos, first, last)


@task("images.embed_tagged")
@never_failing
def embed_tagged(run_id: int, generation: int, first: int, last: int) -> str:
    """Embed the photos of the tagged posts with ids from ``first`` to ``last``."""
    return _embed_training(run_id, generation, photos_of_tagged, first, last)


def _embed_training(
    run_id: int, generation: int, find: Callable[..., set[str]], first: int, last: int
) -> str:
    resources = context()
    with resources.database.read() as connection:
        run = read_run(connection, run_id)
        if not is_current(run, generation):
            return "stale"
        output = read_stages(connection, run_id)["backbone"].output
        wanted = find(connection, run.params["classes"], first=first, last=last)
    ref = BackboneRef.model_validate(output)

    def beat(connection: Connection) -> None:
        lease_s = resources.settings.train_lease_s
        keep_lease(connection, run_id, "vectors", holder=None, lease_s=lease_s)

    with (
        handing_back(lambda: resources.embedders.closed),
        resources.embedders.borrow(ref.name, ref) as embedder,
    ):
        result = embed_photos(resources, embedder, wanted, beat)
    return _summary(result)


def load_active_backbone(seen: str | None = None) -> str | None:
    """Load the active bundle's backbone, so that no account waits for it; return the bundle's id.

    Nothing is done for a bundle that was ``seen`` before: if it could not be loaded, its jobs say
    so.
    """
    resources = context()
    try:
        with resources.database.read() as connection:
            active = find_bundle(connection)
    except NotFoundError:
        return None
    if active.id != seen:
        ref = active.manifest.backbone
        try:
            resources.embedder(ref.name, ref)
        except AfinError as error:
            log.info("no backbone loaded ahead: %s", error)
    return active.id


def embed_photos(
    resources: Context,
    embedder: Embedder,
    wanted: Collection[str],
    beat: Beat,
    *,
    urgent: bool = False,
    known: Collection[str] | None = None,
) -> ShardResult:
    """Compute and keep the vectors of those photos that have none yet; ``urgent`` ones go first.

    ``known`` are those that were tried before, where the caller has just read that.
    ``beat`` says that work goes on, every few seconds and where vectors are stored. A photo that
    cannot be decoded or embedded is kept with its reason and hurts no other.

    Raises:
        BlobError: the blob store cannot be reached.
        BatcherClosedError: the worker is stopping; what was computed is kept.
        TimeoutError: the shard took longer than ``SHARD_DEADLINE_S``; what was computed is kept.
    """
    backbone = embedder.backbone.ref.hash
    if known is None:
        with resources.database.read() as connection:
            known = known_image_vectors(connection, backbone, wanted)
    METRICS.cached(len(known))
    missing = sorted(set(wanted).difference(known))
    pending = {sha256: embedder.submit(sha256, urgent=urgent) for sha256 in missing}
    results: dict[str, NDArray[np.float32] | Unusable] = {}

    def beat_alone() -> None:
        with resources.database.write() as connection:
            beat(connection)

    try:
        _gather(pending, results, beat_alone)
    finally:
        with _IN_TURN, resources.database.write() as connection:
            save_image_vectors(connection, backbone, results)
            beat(connection)
        embedder.reader.forget(missing)
    unusable = sum(isinstance(result, Unusable) for result in results.values())
    return ShardResult(
        photos=len(set(wanted)),
        cached=len(known),
        embedded=len(results) - unusable,
        unusable=unusable,
    )


def _gather(
    pending: Mapping[str, Future[NDArray[np.float32]]],
    results: dict[str, NDArray[np.float32] | Unusable],
    beat: Callable[[], None],
) -> None:
    """Wait for every photo, saying every few seconds that the shard is at work."""
    deadline = time.monotonic() + SHARD_DEADLINE_S
    heard = time.monotonic()
    for sha256, future in pending.items():
        while not future.done() and time.monotonic() < deadline:
            with suppress(TimeoutError):
                future.exception(timeout=HEARTBEAT_S)
            if time.monotonic() - heard >= HEARTBEAT_S:
                beat()
                heard = time.monotonic()
        results[sha256] = _result(future)


def _result(future: Future[NDArray[np.float32]]) -> NDArray[np.float32] | Unusable:
    try:
        return future.result(timeout=0)
    except TimeoutError:
        raise
    except PhotoError as error:
        return Unusable(problem=error.reason)
    except LostBlobError:
        return Unusable(problem="lost")
    except RuntimeError as error:
        log.warning("a photo could not be embedded: %s", error)
        return Unusable(problem="not-embedded")


def _summary(result: ShardResult) -> str:
    counts: dict[str, Any] = result.model_dump()
    return " ".join(f"{name}={count}" for name, count in counts.items() if count)
