"""The structure of parsed JSON, without its values, to compare answers by."""

from typing import Any


def shape(value: Any) -> Any:
    """Replace values by the names of their types; a list by the shapes that occur in it."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in sorted(value.items())}
    if isinstance(value, list):
        return sorted({repr(shape(inner)) for inner in value})
    return type(value).__name__
