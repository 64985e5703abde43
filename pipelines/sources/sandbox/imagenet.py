"""ImageNet as it was: the text API, the three files, and the strangers' hosts behind its lists."""

import asyncio
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from aiohttp import web

from pipelines.sources.sandbox.chance import draw_misbehaviour
from pipelines.sources.sandbox.gate import Handler
from pipelines.sources.sandbox.library import Subject
from pipelines.sources.sandbox.misbehaviours import LISTED, Misbehaviour, Server
from pipelines.sources.sandbox.synsets import list_children, list_subtree, list_synsets
from pipelines.sources.sandbox.world import KIND, World

INVALID = "Invalid url!"
LINE_END = "\r\n"
WORDS, IS_A, URLS = "words.txt", "wordnet.is_a.txt", "fall11_urls.txt"

_PHOTO = re.compile(r"/(n[0-9]{8})_([0-9]{1,7})\.(?:jpg|JPG)\Z")
_FOLDERS = ("farm1/164", "farm2/1142", "farm3/2325", "wp-content/uploads/2007/04", "photos")
_ODD = ("albums/./a/../perro", "fotos/niño y perro", "a%20b/ñandú", "日本/写真")
_BROKEN_EVERY = 10  # synsets
_FARTHEST = 7  # ids of a list leave gaps of up to so many


def imagenet_routes(world: World) -> dict[str, Handler]:
    """The handlers of the API and of the files."""

    async def ask(request: web.Request) -> web.Response:
        wnid = request.query.get("wnid", "")
        method = request.match_info["method"]
        if wnid not in list_synsets() or method not in _METHODS:
            request[KIND] = "invalid"
            return web.Response(text=INVALID)
        kind, write = _METHODS[method]
        request[KIND] = kind
        lines = write(world, wnid, request.query.get("full", "0"))
        return web.Response(text="".join(f"{line}{LINE_END}" for line in lines))

    async def serve_file(request: web.Request) -> web.Response:
        request[KIND] = "file"
        writers: dict[str, Callable[[], Iterator[bytes]]] = {
            WORDS: list_words,
            IS_A: list_edges,
            URLS: lambda: list_urls(world),
        }
        name = request.match_info["name"]
        if name not in writers:
            raise web.HTTPNotFound
        body = await asyncio.to_thread(lambda: b"".join(writers[name]()))
        return web.Response(body=body, content_type="text/plain")

    return {"/api/text/{method}": ask, "/archive/{name}": serve_file}


def _write_urls(world: World, wnid: str, _full: str) -> list[str]:
    return [url for _, url in list_mapping(world, wnid)]


def _write_mapping(world: World, wnid: str, _full: str) -> list[str]:
    return [f"{name} {url}" for name, url in list_mapping(world, wnid)]


def _write_hyponyms(_world: World, wnid: str, full: str) -> list[str]:
    below = list_subtree(wnid) if full == "1" else list_children(wnid)
    return [wnid, *(f"-{child}" for child in below)]


_METHODS = {
    "imagenet.synset.geturls": ("urls", _write_urls),
    "imagenet.synset.geturls.getmapping": ("mapping", _write_mapping),
    "wordnet.structure.hyponym": ("hyponyms", _write_hyponyms),
}


def list_mapping(world: World, wnid: str) -> list[tuple[str, str]]:
    """The photos of a synset as ``(n02084071_13, address)``; some addresses are dead or odd."""
    number = 0
    found = []
    for _ in range(world.content.urls_per_synset):
        number = _next_number(world, wnid, number)
        found.append((f"{wnid}_{number}", _name_url(world, wnid, number)))
    return found


def _next_number(world: World, wnid: str, number: int) -> int:
    return number + 1 + int(world.draw("gap", wnid, number) * _FARTHEST)


def _name_url(world: World, wnid: str, number: int) -> str:
    listed = draw_misbehaviour(
        world.plan.shares(Server.IMAGENET_PHOTOS),
        LISTED,
        world.content.seed,
        "listed",
        wnid,
        number,
    )
    base = world.bases[Server.IMAGENET_PHOTOS]
    luck = world.draw("folder", wnid, number)
    folder = _FOLDERS[int(luck * len(_FOLDERS))]
    if listed is Misbehaviour.REFUSED:
        base = world.dead_base
    elif listed is Misbehaviour.ODD_NAME:
        folder = _ODD[int(luck * len(_ODD))]
        if luck * len(_ODD) % 1 < 0.5:  # noqa: PLR2004 - every second one
            base = base.replace("://", "://user:pass@")
    ending = "JPG" if luck < 0.1 else "jpg"  # noqa: PLR2004 - a few, as in the lists
    return f"{base}/{folder}/{wnid}_{number}.{ending}"


def list_words() -> Iterator[bytes]:
    """The lines of words.txt."""
    for synset in list_synsets().values():
        yield f"{synset.wnid}\t{synset.words}\n".encode()


def list_edges() -> Iterator[bytes]:
    """The lines of wordnet.is_a.txt."""
    for synset in list_synsets().values():
        for parent in synset.parents:
            yield f"{parent} {synset.wnid}\n".encode()


def list_urls(world: World) -> Iterator[bytes]:
    """The lines of fall11_urls.txt: ISO-8859-1, with a few stray bytes and a broken line."""
    for place, wnid in enumerate(sorted(list_synsets())):
        for name, url in list_mapping(world, wnid):
            yield _encode(f"{name}\t{url}\n")
        if place % _BROKEN_EVERY == 0:
            yield f"{wnid}_9999999\t{world.dead_base}/caf".encode() + b"\xe9\x96.jpg\n"
            yield b"\xff\xfe no id and no address\n"


def _encode(line: str) -> bytes:
    try:
        return line.encode("latin-1")
    except UnicodeEncodeError:
        return line.encode()


def write_files(world: World, folder: Path) -> list[Path]:
    """Write the three files into a folder, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, lines in ((WORDS, list_words()), (IS_A, list_edges()), (URLS, list_urls(world))):
        path = folder / name
        with path.open("wb") as file:
            file.writelines(lines)
        written.append(path)
    return written


def find_subject(world: World, path: str) -> Subject | None:
    """What the photo at a path of the photo hosts shows."""
    match = _PHOTO.search(path)
    synset = list_synsets().get(match[1]) if match else None
    if match is None or synset is None:
        return None
    number = int(match[2])
    # The lists name some photos twice, under two addresses.
    if number > _FARTHEST and world.draw("twin", synset.wnid, number) < world.content.twin_share:
        number = _next_number(world, synset.wnid, 0)
    return Subject(synset.category, synset.wnid, number)
