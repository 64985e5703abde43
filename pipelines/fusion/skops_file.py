"""Reading a skops file as plain data: nothing of it is imported, called or built.

``skops.io`` walks through all of scikit-learn when it is imported, and so imports torch: five
seconds and 700 MB, for a file that is JSON beside arrays.
"""

import io
import json
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from schemas.errors import BundleError

PLAIN = frozenset(
    {
        "builtins.dict",
        "builtins.float",
        "builtins.int",
        "builtins.list",
        "builtins.str",
        "builtins.tuple",
        "numpy.float64",
        "numpy.ndarray",
    }
)
"""Types that are only numbers, words, and collections of those."""

_OPAQUE = {"LossNode", "TypeNode"}
"""What a machine is told to be fitted with, and what its keys are: of no use for predicting."""


@dataclass(frozen=True)
class Part:
    """An object as it was written: the full name of its type, and its attributes."""

    type: str
    fields: dict[str, Any]


def read_skops(raw: bytes, reviewed: Collection[str]) -> Any:
    """Return what a skops file holds: plain values and arrays, and objects as ``Part``.

    Raises:
        BundleError: it is no skops file, or holds types that are neither plain nor reviewed.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            schema = json.loads(archive.read("schema.json"))
            _review(schema, reviewed)
            return _build(schema, archive)
    except BundleError:
        raise
    except Exception as error:
        # A damaged archive fails in as many ways as it has parts.
        raise BundleError(f"it is no skops file ({type(error).__name__})") from error


def _review(schema: Any, reviewed: Collection[str]) -> None:
    strange = sorted(_list_types(schema) - PLAIN - set(reviewed))
    if strange:
        raise BundleError(f"it holds types that are not reviewed: {', '.join(strange)}")


def _list_types(node: Any) -> set[str]:
    if isinstance(node, list):
        return {name for one in node for name in _list_types(one)}
    if not isinstance(node, dict):
        return set()
    own = {f"{node['__module__']}.{node['__class__']}"} if "__class__" in node else set()
    return own | {name for one in node.values() for name in _list_types(one)}


def _build(node: dict[str, Any], archive: zipfile.ZipFile) -> Any:
    loader, content = node["__loader__"], node.get("content")
    if loader == "JsonNode":
        return json.loads(content)  # type: ignore[arg-type]
    if loader == "NdArrayNode":
        return np.load(io.BytesIO(archive.read(node["file"])), allow_pickle=False)
    if loader in {"ListNode", "TupleNode"}:
        return [_build(one, archive) for one in content or ()]
    if loader in {"DictNode", "ObjectNode"}:
        attributes = content if loader == "DictNode" else (content or {}).get("content", {})
        fields = {name: _build(one, archive) for name, one in (attributes or {}).items()}
        name = f"{node['__module__']}.{node['__class__']}"
        return fields if loader == "DictNode" else Part(name, fields)
    if loader in _OPAQUE:
        return None
    raise BundleError(f"it holds a {loader}, which is not reviewed")
