"""What the pages say, in English and Spanish: one catalogue a language, the same keys in each."""

from collections.abc import Callable
from functools import cache
from typing import Literal

from aiohttp import web

from web.words.english import ENGLISH
from web.words.spanish import SPANISH

Language = Literal["en", "es"]
Translate = Callable[..., str]

CATALOGUES: dict[Language, dict[str, str]] = {"en": ENGLISH, "es": SPANISH}


@cache
def translator(language: Language) -> Translate:
    """Return the function that gives a key's words, with its figures filled in."""
    catalogue = CATALOGUES[language]

    def t(key: str, **values: object) -> str:
        if str(values.get("count")) == "1":
            # "1 post", where a language says it otherwise than "2 posts".
            key = f"{key}.one" if f"{key}.one" in catalogue else key
        return catalogue[key].format(**values) if values else catalogue[key]

    return t


def choose_language(request: web.Request) -> Language:
    """Return the language the reader chose, else the first that the browser asks for and we have."""
    chosen = request.cookies.get("language", "")
    if chosen == "es":
        return "es"
    if chosen == "en":
        return "en"
    for part in request.headers.get("Accept-Language", "").split(","):
        wanted = part.split(";")[0].strip().lower()[:2]
        if wanted == "es":
            return "es"
        if wanted == "en":
            return "en"
    return "en"
