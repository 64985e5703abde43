"""What one process holds open: database, blobs, bundles, backbones. Opened when first needed."""

import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from functools import cached_property

from pipelines.bundle import Bundle, read_bundle
from schemas.bundles import BackboneRef, TunedWeights
from schemas.settings import Settings, load_settings
from storage.blobs import BlobStore
from storage.bundles import bundle_key, weights_key
from storage.database import Database
from storage.schema import migrate
from tasks.app import connect
from tasks.embedders import Embedder, Embedders, make_embedder

BUNDLES_HELD = 4
"""Bundles kept in memory: the active one, its successor, and a comparison or two."""


class Context:
    """The resources of one process; its threads share them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._lock = threading.RLock()
        self._bundles: OrderedDict[str, Bundle] = OrderedDict()
        self.embedders = Embedders(self._load_embedder)

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

        Fine-tuned weights are those that ``expected`` names, else ``tuned``. It may be closed once
        another was loaded: work with ``embedders.borrow`` instead.

        Raises:
            WeightsError: its weights cannot be had, or are others than ``expected``.
        """
        with self.embedders.borrow(name, expected, tuned=tuned) as embedder:
            return embedder

    def _load_embedder(
        self, name: str, expected: BackboneRef | None, tuned: TunedWeights | None
    ) -> Embedder:
        # torch is imported by this: 700 MB that no other worker needs.
        from pipelines.vision.backbones import load_backbone
        from tasks.metrics import METRICS

        settings = self.settings
        weights = expected.tuned if expected is not None else tuned
        found = (weights, self.blobs.local_file(weights_key(weights.sha256))) if weights else None
        backbone = load_backbone(
            name,
            device=settings.device,
            weights_dir=settings.weights,
            engine=settings.engine,
            decoder=settings.decoder,
            expected=expected,
            tuned=found,
        )
        return make_embedder(backbone, self.blobs, settings, METRICS)


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
