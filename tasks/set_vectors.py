"""The vectors of labelled items as one bundle sees them; those that are missing are computed."""

from collections.abc import Callable, Sequence

from pipelines.verdict import PostVectors
from schemas.bundles import BundleManifest
from storage.accounts import PhotoPlace, PostRow
from storage.vectors import known_image_vectors
from tasks.context import Context
from tasks.evidence import stack_posts
from tasks.images import embed_photos
from tasks.labelled import Item
from tasks.texts import embed_captions, read_known_captions

Step = Callable[[int, int], None]
"""Called with photos done and photos in all while vectors are computed."""


def gather_vectors(
    resources: Context, bundle_id: str, items: Sequence[Item], on_step: Step
) -> PostVectors:
    """Return the vectors of items as one bundle sees them; missing ones are computed and kept.

    They are computed in this process, on the device that the settings name, so that no worker is
    needed.

    Raises:
        WeightsError: the bundle's backbone cannot be had here.
    """
    bundle = resources.bundle(bundle_id)
    if "image" in bundle.manifest.halves:
        shown = {sha256 for item in items for sha256 in item.photos}
        _embed_photos(resources, bundle.manifest, shown, on_step)
    _embed_captions(resources, bundle.manifest, bundle_id, items)
    posts = [_as_post(place, item) for place, item in enumerate(items)]
    return stack_posts(resources, bundle, posts)


def _embed_photos(
    resources: Context, manifest: BundleManifest, shown: set[str], on_step: Step
) -> None:
    ref = manifest.backbone
    with resources.database.read() as connection:
        missing = sorted(shown - known_image_vectors(connection, ref.hash, shown))
    size = resources.settings.shard_photos
    for start in range(0, len(missing), size):
        on_step(start, len(missing))
        embedder = resources.embedder(ref.name, ref)
        embed_photos(resources, embedder, missing[start : start + size], lambda _connection: None)
    if missing:
        on_step(len(missing), len(missing))


def _embed_captions(
    resources: Context, manifest: BundleManifest, bundle_id: str, items: Sequence[Item]
) -> None:
    said = {item.caption_sha256: item.caption for item in items if item.caption_sha256}
    with resources.database.read() as connection:
        known = read_known_captions(connection, manifest, said)
    # Loading the models takes longer than all the rest.
    if known is not None and len(known) < len(said):
        embed_captions(resources, bundle_id, said)


def _as_post(place: int, item: Item) -> PostRow:
    """Let an item be judged as posts of accounts are; its place is its id."""
    return PostRow(
        id=place,
        external_id=item.key,
        caption=item.caption,
        caption_sha256=item.caption_sha256,
        posted_at=None,
        likes=None,
        comments=None,
        photos=tuple(PhotoPlace(sha256=sha256) for sha256 in item.photos),
    )
