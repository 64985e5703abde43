"""What one process holds open: database, blobs, bundles, backbones. Opened when first needed."""

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from pipelines.bundle import Bundle, read_bundle
from schemas.bundles import BackboneRef, TunedWeights
from schemas.errors import WeightsError
from schemas.settings import Settings, load_settings
from storage.blobs import BlobStore
from storage.bundles import bundle_key, weights_key
from storage.database import Database
from storage.schema import migrate
from tasks.app import connect

if TYPE_CHECKING:
    from pipelines.vision.backbones import Backbone
    from pipelines.vision.batcher import Batcher

BUNDLES_HELD = 4
"""Bundles kept in memory: the active one, its successor, and a comparison or two."""


class Embedder:
    """A backbone on this process's device behind the batcher that feeds it."""

    def __init__(self, backbone: "Backbone", batcher: "Batcher") -> None:
        self.backbone = backbone
        self.batcher = batcher


class Context:
    """The resources of one process; its threads share them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.RLock()
        self._bundles: OrderedDict[str, Bundle] = OrderedDict()
        self._embedders: dict[tuple[str, TunedWeights | None], Embedder] = {}

    @cached_property
    def database(self) -> Database:
        """The database, brought to the newest schema."""
        database = Database(self.settings.database)
        migrate(database)
        return database

    @cached_property
    def blobs(self) -> BlobStore:
        """The store of photos and bundles."""
        return BlobStore(self.settings.blobs, cache_dir=self.settings.data_dir.absolute() / "cache")

    def bundle(self, bundle_id: str) -> Bundle:
        """Return a bundle, checked and loaded once.

        Raises:
            BundleError: it was altered or is incomplete.
            BlobError: the store has it no longer, or cannot be reached.
        """
        with self._lock:
            if bundle_id not in self._bundles:
                folder = self.blobs.local_folder(bundle_key(bundle_id))
                self._bundles[bundle_id] = read_bundle(folder)
            self._bundles.move_to_end(bundle_id)
            while len(self._bundles) > BUNDLES_HELD:
                self._bundles.popitem(last=False)
            return self._bundles[bundle_id]

    def embedder(
        self,
        name: str,
        expected: BackboneRef | None = None,
        *,
        tuned: TunedWeights | None = None,
    ) -> Embedder:
        """Return the embedder of a backbone, loaded once; only gpu workers call this.

        Fine-tuned weights are those that ``expected`` names, else ``tuned``.

        Raises:
            WeightsError: its weights cannot be had, or are others than ``expected``.
        """
        weights = expected.tuned if expected is not None else tuned
        with self._lock:
            if (name, weights) not in self._embedders:
                self._embedders[name, weights] = self._load_embedder(name, weights)
            embedder = self._embedders[name, weights]
        if expected is not None and embedder.backbone.ref != expected:
            raise WeightsError(
                f"The weights of {name} on this machine ({embedder.backbone.ref.hash}) are not "
                f"those the bundle was trained with ({expected.hash}): put the same weight file "
                "into AFIN_WEIGHTS_DIR, or train a new bundle."
            )
        return embedder

    def _load_embedder(self, name: str, tuned: TunedWeights | None) -> Embedder:
        # torch is imported by these two: 700 MB that no other worker needs.
        from pipelines.vision.backbones import load_backbone
        from pipelines.vision.batcher import Batcher

        settings = self.settings
        found = (tuned, self.blobs.local_file(weights_key(tuned.sha256))) if tuned else None
        backbone = load_backbone(
            name, device=settings.device, weights_dir=settings.weights, tuned=found
        )
        batcher = Batcher(
            backbone.embed,
            batch_size=settings.batch_size,
            wait_s=settings.batch_wait_ms / 1000,
            max_pending=4 * settings.batch_size,
        )
        return Embedder(backbone, batcher)


def adopt_settings(environment: Mapping[str, str]) -> Settings:
    """Change this process's environment and read all settings again.

    For programs that start their own broker, like the demo; what was open is opened anew.
    """
    os.environ.update(environment)
    load_settings.cache_clear()
    with _lock:
        _contexts.clear()
    settings = load_settings()
    connect(settings)
    return settings


_contexts: dict[int, Context] = {}
_lock = threading.Lock()


def context() -> Context:
    """Return this process's resources; a forked child never shares its parent's."""
    with _lock:
        pid = os.getpid()
        if pid not in _contexts:
            _contexts[pid] = Context(load_settings())
        return _contexts[pid]
