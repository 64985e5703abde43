"""Bundles: everything one model version needs, in one folder that is never changed."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray
from pydantic import ValidationError

from pipelines.bundle_checks import SUPERVISED, TEXT, check_parts, check_recipes
from pipelines.fusion.concepts import ConceptHead
from pipelines.fusion.network import Network
from pipelines.fusion.reduce import Reducer
from pipelines.methods import Head, Opinion, ask_head, decide
from pipelines.text.models import CaptionModel, load_model
from pipelines.verdict import PostVectors, conclude_account, prepare_inputs
from schemas.bundles import NETWORK_HEAD, BundleManifest, HeadRef
from schemas.errors import BundleError
from schemas.verdicts import PostOutcome, Verdict

T = TypeVar("T")

MANIFEST = "manifest.json"
REDUCER = "reducer.safetensors"
NETWORK = "network.safetensors"
CARD = "card.md"
SPLIT = "split.json"

_ID_CHARS = 12


@dataclass(frozen=True)
class Bundle:
    """A bundle as read from its folder; text models and heads are loaded when first asked for."""

    id: str
    path: Path
    manifest: BundleManifest
    reducer: Reducer | None
    network: Network

    @property
    def text_model_path(self) -> Path | None:
        """Where the fastText file lies, if the bundle has one; a sentence model is no file."""
        ref = self.manifest.text_model
        return self.path / TEXT if ref is not None and ref.package is None else None

    @cached_property
    def text_model(self) -> CaptionModel | None:
        """The text model, loaded once.

        Raises:
            WeightsError: it comes with a package that is not installed on this machine.
        """
        ref = self.manifest.text_model
        return load_model(ref, self.path / TEXT) if ref else None

    @cached_property
    def supervised_model(self) -> CaptionModel | None:
        """The supervised text model, loaded once, if the bundle has one."""
        ref = self.manifest.supervised_model
        return load_model(ref, self.path / SUPERVISED) if ref else None

    @cached_property
    def text_models(self) -> tuple[CaptionModel, ...]:
        """Every text model whose vectors the bundle's methods read."""
        both = (self.text_model, self.supervised_model)
        return tuple(model for model in both if model is not None)

    @cached_property
    def heads(self) -> dict[str, Head]:
        """Every classifier of the bundle by name, loaded once."""
        loaded = {name: _load_head(self.path, ref) for name, ref in self.manifest.heads.items()}
        return {NETWORK_HEAD: self.network, **loaded}

    def judge(self, posts: PostVectors, method: str = "nn") -> list[PostOutcome]:
        """Judge posts by one method of this bundle, in order; see ``pipelines.methods.decide``."""
        return self._decide(method, posts, self._ask(posts, self.manifest.recipe(method).heads))

    def judge_all(self, posts: PostVectors) -> dict[str, list[PostOutcome]]:
        """Judge posts by every method of this bundle; each classifier is asked once."""
        recipes = [self.manifest.recipe(method) for method in self.manifest.methods]
        opinions = self._ask(posts, {name for recipe in recipes for name in recipe.heads})
        return {method: self._decide(method, posts, opinions) for method in self.manifest.methods}

    def conclude(self, outcomes: list[PostOutcome], method: str = "nn") -> Verdict:
        """Conclude an account with this bundle; see ``conclude_account``."""
        return conclude_account(outcomes, self.manifest, method)

    def _ask(self, posts: PostVectors, names: Iterable[str]) -> dict[str, Opinion]:
        inputs = prepare_inputs(posts, self.manifest, self.reducer)
        opinions = {}
        for name in names:
            # A bundle of one network needs not load the others.
            head = self.network if name == NETWORK_HEAD else self.heads[name]
            ref = self.manifest.heads.get(name)
            opinions[name] = ask_head(
                head,
                inputs,
                supervised=ref is not None and ref.supervised,
                whole=ref is not None and ref.kind == "concepts",
                columns=ref.columns if ref else None,
                classes=self.network.classes,
            )
        return opinions

    def _decide(
        self, method: str, posts: PostVectors, opinions: Mapping[str, Opinion]
    ) -> list[PostOutcome]:
        recipe = self.manifest.recipe(method)
        return decide(recipe, opinions, posts.post_ids, self.manifest.classes)


def write_bundle(
    folder_parent: Path,
    manifest_fields: Mapping[str, Any],
    *,
    reducer: Reducer | None,
    network: Network,
    text_model_path: Path | None,
    extras: Mapping[str, Path] | None = None,
) -> tuple[str, Path]:
    """Write a bundle into a folder named after its id, and return id and folder.

    ``manifest_fields`` are those of ``BundleManifest`` without ``format`` and ``files``.
    ``extras`` are further files by the name they get: heads, the supervised text model, the model
    card, the split. The id is
    taken from the whole manifest, ``created_at`` included: give the start of the training, not the
    time of writing, and a repeated call finds the folder that is already there. The folder appears
    only when it is whole and on disk.

    Raises:
        BundleError: fields and models contradict each other, or the folder exists and is damaged.
    """
    folder_parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder_parent))
    try:
        _write_models(partial, reducer, network, text_model_path)
        for name, source in (extras or {}).items():
            _copy(source, partial / name)
        hashes = {path.name: _hash_file(path) for path in sorted(partial.iterdir())}
        manifest = _make_manifest({**manifest_fields, "files": hashes})
        check_parts(manifest, reducer, network)
        check_recipes(manifest)
        raw = manifest.model_dump(mode="json")
        bundle_id = _identify(raw)
        text = json.dumps(raw, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
        _write(partial / MANIFEST, text.encode())
        # Made private by mkdtemp; other workers may run as other users.
        partial.chmod(0o755)
        _sync_folder(partial)
        return bundle_id, _publish(partial, folder_parent / bundle_id)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def derive_bundle(
    folder_parent: Path, bundle: Bundle, changes: Mapping[str, Any]
) -> tuple[str, Path]:
    """Write a bundle of the same models with other manifest fields; return its id and folder.

    Raises:
        BundleError: the changed fields do not fit the models.
    """
    own = {MANIFEST, REDUCER, NETWORK, TEXT}
    fields = bundle.manifest.model_dump(exclude={"format", "files"}) | dict(changes)
    return write_bundle(
        folder_parent,
        fields,
        reducer=bundle.reducer,
        network=bundle.network,
        text_model_path=bundle.text_model_path,
        extras={name: bundle.path / name for name in bundle.manifest.files if name not in own},
    )


def read_bundle(path: Path) -> Bundle:
    """Read a bundle, after checking that nothing in its folder is missing, added or altered.

    Raises:
        BundleError: something is, or this version cannot read the bundle's format; the file at
            fault is named.
    """
    raw = _read_manifest(path)
    if raw.get("format") != 1:
        raise BundleError(
            f"{path / MANIFEST} has format {raw.get('format')!r}, and this version of afin reads "
            "format 1: update afin or train again."
        )
    if _identify(raw) != path.name:
        raise BundleError(f"{path / MANIFEST} was altered: it no longer gives the id {path.name}.")
    manifest = _make_manifest(raw)
    _check_files(path, manifest.files)
    needed = [NETWORK]
    needed += [REDUCER] if "image" in manifest.halves else []
    for name, ref in ((TEXT, manifest.text_model), (SUPERVISED, manifest.supervised_model)):
        needed += [name] if ref is not None and ref.package is None else []
    needed += [ref.file for ref in manifest.heads.values()]
    for name in needed:
        if name not in manifest.files:
            raise BundleError(f"{path} lacks {name}: copy the bundle again or train a new one.")
    reducer = _load(path / REDUCER, Reducer.from_tensors) if REDUCER in manifest.files else None
    network = _load(path / NETWORK, Network.from_tensors)
    check_parts(manifest, reducer, network)
    check_recipes(manifest)
    return Bundle(path.name, path, manifest, reducer, network)


def _write_models(
    folder: Path, reducer: Reducer | None, network: Network, text_model_path: Path | None
) -> None:
    from safetensors.numpy import save

    if reducer is not None:
        _write(folder / REDUCER, save(dict(reducer.to_tensors())))
    _write(folder / NETWORK, save(network.to_tensors()))
    if text_model_path is not None:
        _copy(text_model_path, folder / TEXT)


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
    with target.open("rb+") as file:
        os.fsync(file.fileno())


def _load_head(folder: Path, ref: HeadRef) -> Head:
    path = folder / ref.file
    if ref.kind == "network":
        return _load(path, Network.from_tensors)
    if ref.kind == "concepts":
        return _load(path, ConceptHead.from_tensors)
    from pipelines.fusion.svm import Svm

    try:
        return Svm.from_bytes(path.read_bytes())
    except BundleError as error:
        raise BundleError(f"{path} cannot be read: {error}.") from error


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _publish(partial: Path, final: Path) -> Path:
    """Move the finished folder to its name, unless the very same bundle is already there."""
    if not final.exists():
        try:
            partial.rename(final)
        except OSError:
            # Another process may have been a moment faster with the same bundle.
            if not final.exists():
                raise
        else:
            _sync_folder(final.parent)
            return final
    read_bundle(final)
    return final


def _make_manifest(fields: Mapping[str, Any]) -> BundleManifest:
    try:
        return BundleManifest.model_validate(fields)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
        )
        raise BundleError(f"The bundle's manifest is not one of this version: {wrong}.") from error


def _identify(raw: Mapping[str, Any]) -> str:
    """Return the first 12 hex digits of the sha256 of the manifest as canonical JSON.

    Taken from the JSON itself, so that fields added by later versions leave old ids alone.
    """
    try:
        canonical = json.dumps(
            raw, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
        )
    except ValueError as error:
        raise BundleError(f"The bundle's manifest holds what JSON cannot: {error}.") from error
    return hashlib.sha256(canonical.encode()).hexdigest()[:_ID_CHARS]


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        raw = json.loads((path / MANIFEST).read_text("utf-8"))
    except FileNotFoundError as error:
        raise BundleError(f"{path} is not a bundle: it has no {MANIFEST}.") from error
    except (OSError, ValueError) as error:
        raise BundleError(f"{path / MANIFEST} cannot be read: {error}.") from error
    if not isinstance(raw, dict):
        raise BundleError(f"{path / MANIFEST} is not a manifest: it holds no JSON object.")
    return raw


def _check_files(folder: Path, hashes: Mapping[str, str]) -> None:
    for name in hashes:
        if name in {"", ".", "..", MANIFEST} or {"/", "\\", "\0"} & set(name):
            raise BundleError(
                f"{folder / MANIFEST} names a file that no bundle may have: {name!r}."
            )
    present = {entry.name for entry in folder.iterdir()} - {MANIFEST}
    again = "copy the bundle again or train a new one"
    for name in sorted(present - set(hashes)):
        raise BundleError(f"{folder / name} is not part of the bundle: {again}.")
    for name, expected in sorted(hashes.items()):
        file = folder / name
        if name not in present:
            raise BundleError(f"{file} is missing: {again}.")
        if file.is_symlink() or not file.is_file() or _hash_file(file) != expected:
            raise BundleError(f"{file} was altered: {again}.")


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _load(path: Path, build: Callable[[Mapping[str, NDArray[Any]]], T]) -> T:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return build(load_file(path))
    except (SafetensorError, KeyError) as error:
        raise BundleError(f"{path} does not hold the arrays it should: {error}.") from error
