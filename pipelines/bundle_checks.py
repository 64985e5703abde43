"""Whether the parts of a bundle fit what its manifest says of them."""

from collections.abc import Mapping

from pipelines.fusion.network import Network
from pipelines.fusion.reduce import Reducer
from schemas.bundles import NETWORK_HEAD, BundleManifest, TextModelRef
from schemas.errors import BundleError

TEXT = "text.bin"
SUPERVISED = "text-supervised.bin"

_TEXT_HASH_CHARS = 16


def check_parts(manifest: BundleManifest, reducer: Reducer | None, network: Network) -> None:
    """Refuse models that do not fit what the manifest says of them."""
    text = manifest.text_model
    outputs = len(manifest.classes) + manifest.reject
    fits = {
        f"a network of {outputs} classes": network.classes == outputs,
        f"a network of the halves {', '.join(manifest.halves)}": set(network.halves)
        == set(manifest.halves),
        "one share threshold per category": set(manifest.share_thresholds) == set(manifest.classes),
    }
    if "image" in manifest.halves:
        fits["a reducer"] = reducer is not None
    if reducer is not None:
        fits["a reducer as wide as the backbone's vectors"] = (
            reducer.input_width == manifest.backbone.width
        )
        fits["a reducer as wide as the network's image half"] = reducer.width == network.image.width
    if "text" in manifest.halves:
        fits["a text model as wide as the network's text half"] = (
            text is not None and text.width == network.text.width
        )
    fits["a text model whose file and hash agree"] = _agrees(manifest, text, TEXT)
    fits["a supervised text model whose file and hash agree"] = _agrees(
        manifest, manifest.supervised_model, SUPERVISED
    )
    _require(fits)


def check_recipes(manifest: BundleManifest) -> None:
    """Refuse methods that name what the bundle does not have."""
    known = {NETWORK_HEAD, *manifest.heads}
    fits = {
        "a file for every head": all(ref.file in manifest.files for ref in manifest.heads.values()),
        "a recipe for every method but the first": set(manifest.recipes)
        == set(manifest.methods[1:]),
        "heads that every recipe can name": all(
            set(recipe.heads) <= known for recipe in manifest.recipes.values()
        ),
        "two heads and a weight for every weighted method": all(
            len(recipe.heads) == 2 and recipe.image_weight is not None  # noqa: PLR2004 - image, text
            for recipe in manifest.recipes.values()
            if recipe.kind == "weighted"
        ),
        "one share threshold per category and method": all(
            set(recipe.share_thresholds) == set(manifest.classes)
            for recipe in manifest.recipes.values()
        ),
        "a supervised text model for its heads": manifest.supervised_model is not None
        or not any(ref.supervised for ref in manifest.heads.values()),
    }
    _require(fits)


def _agrees(manifest: BundleManifest, text: TextModelRef | None, name: str) -> bool:
    # What comes with a package has no file here.
    own = text.hash if text is not None and text.package is None else ""
    return own == manifest.files.get(name, "")[:_TEXT_HASH_CHARS]


def _require(fits: Mapping[str, bool]) -> None:
    for part, present in fits.items():
        if not present:
            raise BundleError(f"The bundle does not hold together: its manifest needs {part}.")
