"""The shapes of the map's marks."""

SHAPES = {
    "aire-libre": "triangle",
    "animal": "circle",
    "arte": "circle",
    "belleza": "diamond",
    "comida": "square",
    "deporte": "diamond",
    "familia": "plus",
    "moda": "down",
    "musica": "square",
    "tatuajes": "down",
    "viajes": "plus",
    "vida-sana": "triangle",
    "videojuegos": "square",
}
"""Categories whose colours some eyes confuse differ in shape; a test holds them to that."""

UNKNOWN = "ring"
ANY = "circle"
"""Of categories that somebody added."""


def shape_of(category: str | None) -> str:
    """Return the shape of a category's marks; None is unknown."""
    return UNKNOWN if category is None else SHAPES.get(category, ANY)
