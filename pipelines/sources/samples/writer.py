"""Writes a sample: training photos with their table, and accounts that also have their faults."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from pipelines.sources.samples import scenes, things
from pipelines.sources.samples.accounts import PlannedAccount, PlannedPost, plan_accounts
from pipelines.sources.samples.canvas import Canvas, seed_random
from pipelines.sources.samples.captions import compose_caption
from schemas.categories import OTRA
from schemas.errors import UsageError

_DRAWINGS: dict[str, Callable[[Canvas], None]] = {
    "aire-libre": scenes.draw_outdoors,
    "animal": scenes.draw_animal,
    "arte": things.draw_art,
    "belleza": things.draw_beauty,
    "comida": things.draw_food,
    "deporte": scenes.draw_sport,
    "familia": scenes.draw_family,
    "moda": things.draw_fashion,
    "musica": things.draw_music,
    "tatuajes": scenes.draw_tattoo,
    "viajes": scenes.draw_travel,
    "vida-sana": scenes.draw_wellbeing,
    "videojuegos": things.draw_games,
    OTRA: things.draw_other,
}
_HTML = b"<!doctype html><title>404</title><p>Esta foto ya no existe.</p>\n"


@dataclass(frozen=True)
class SampleSet:
    """What was written, and where."""

    photos_table: Path
    accounts_file: Path
    training_photos: int
    accounts: int
    posts: int
    account_photos: int


def draw_photo(category: str, random: Random) -> bytes:
    """Return a drawn photo of a category as JPEG; the same random state gives the same bytes."""
    canvas = Canvas(random)
    _DRAWINGS[category](canvas)
    return canvas.save()


def write_samples(
    folder: Path,
    *,
    seed: int = 7,
    categories: Sequence[str],
    training_per_category: int,
    accounts: int,
    posts: tuple[int, int],
    photo_base_url: str | None = None,
    url_share: float = 0.5,
) -> SampleSet:
    """Write ``photos.tsv``, ``accounts.jsonl`` and ``photos/`` into a folder, the same for a seed.

    Training photos are drawn for every category and for ``otra``; every second one has a caption.
    Accounts have between ``posts`` (least, most) posts. With ``photo_base_url`` a ``url_share`` of
    the accounts name their photos by address, ``<photo_base_url>/<path within folder>``.

    Raises:
        UsageError: no category was named, or one that there is no drawing for.
    """
    topics = [category for category in categories if category != OTRA]
    unknown = [category for category in topics if category not in _DRAWINGS]
    if unknown or not topics:
        raise UsageError(f"No samples can be drawn of {unknown or 'no category'}: name categories.")
    trained = [*topics, OTRA]
    _write_training(folder, seed, trained, training_per_category)
    planned = plan_accounts(seed_random(f"{seed}/accounts"), topics, accounts, posts)
    by_url = round(len(planned) * url_share) if photo_base_url is not None else 0
    photos = 0
    with (folder / "accounts.jsonl").open("w", encoding="utf-8", newline="\n") as file:
        for index, account in enumerate(planned):
            photos += sum(_write_photos(folder, seed, account, post) for post in account.posts)
            # Spread over the list, so that ordinary and faulty accounts come both ways.
            fetched = (index + 1) * by_url // len(planned) > index * by_url // len(planned)
            prefix = f"{photo_base_url.rstrip('/')}/" if photo_base_url and fetched else ""
            file.write(json.dumps(_describe(account, prefix), ensure_ascii=False) + "\n")
    return SampleSet(
        photos_table=folder / "photos.tsv",
        accounts_file=folder / "accounts.jsonl",
        training_photos=len(trained) * training_per_category,
        accounts=len(planned),
        posts=sum(len(account.posts) for account in planned),
        account_photos=photos,
    )


def _write_training(folder: Path, seed: int, categories: Sequence[str], each: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "photos.tsv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["file", "category", "split", "caption"])
        for category in categories:
            (folder / "photos" / "train" / category).mkdir(parents=True, exist_ok=True)
            for number in range(each):
                random = seed_random(f"{seed}/train/{category}/{number}")
                name = f"photos/train/{category}/{number:04d}.jpg"
                (folder / name).write_bytes(draw_photo(category, random))
                caption = compose_caption(category, random) if number % 2 == 0 else ""
                table.writerow([name, category, "train", caption])


def _write_photos(folder: Path, seed: int, account: PlannedAccount, post: PlannedPost) -> int:
    """Write a post's photos with the faults planned for it, and return how many were written."""
    names = _name_photos(account, post)
    written = 0
    for number, name in enumerate(names):
        if post.fault == "missing":
            continue
        random = seed_random(f"{seed}/{account.username}/{post.id}/{number}")
        data = draw_photo(post.category, random)
        if post.fault == "truncated":
            data = data[: len(data) // 3]
        elif post.fault == "html":
            data = _HTML
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        written += 1
    return written


def _name_photos(account: PlannedAccount, post: PlannedPost) -> list[str]:
    stem = f"photos/accounts/{account.username}/{post.id}"
    return [f"{stem}_{number}.jpg" for number in range(1, post.photos + 1)]


def _describe(account: PlannedAccount, prefix: str) -> dict[str, object]:
    described: dict[str, object] = {"username": account.username, "followers": account.followers}
    if account.categories is not None:
        described["categories"] = list(account.categories)
    described["posts"] = [
        {
            "id": post.id,
            "photos": [f"{prefix}{name}" for name in _name_photos(account, post)],
            "caption": post.caption,
            "posted_at": post.posted_at,
            "likes": post.likes,
            "comments": post.comments,
            "category": post.category,
        }
        for post in account.posts
    ]
    return described
