"""Accounts as a table: one row a post, with Spanish or English column names."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.sources.assemble import Notes, build_account, build_post
from pipelines.sources.tables import Row, read_rows
from pipelines.sources.values import make_problem, parse_username, sort_categories
from schemas.posts import Problem, SourceAccount, SourcePost

_NAMES = {
    "username": "username user account usuario cuenta nombre_de_usuario",
    "id": "id post_id post shortcode codigo id_post publicacion id_publicacion",
    "caption": "caption text texto descripcion description leyenda",
    "photos": "photos photo fotos foto imagen imagenes image images file files archivo archivos "
    "media_url url urls",
    "posted_at": "posted_at date fecha timestamp taken_at publicado",
    "likes": "likes like_count me_gusta megusta",
    "comments": "comments comments_count comentarios",
    "followers": "followers followers_count seguidores",
    "categories": "categories categorias",
    "category": "category categoria",
}
COLUMNS = {name: column for column, names in _NAMES.items() for name in names.split()}
_POST_COLUMNS = ("id", "caption", "photos", "posted_at", "likes", "comments", "category")


@dataclass
class _Gathered:
    """What the rows read so far say of one account."""

    notes: Notes
    posts: list[SourcePost] = field(default_factory=list)
    followers: str = ""
    categories: list[str] = field(default_factory=list)


def read_table_accounts(path: Path, *, max_caption_chars: int) -> Iterator[SourceAccount | Problem]:
    """Read a table of posts and yield its accounts, in the order of their first rows.

    The rows of an account need not stand together, so all text is held in memory. Several photos
    are separated by ``|`` or ``;``, several categories by ``|``, ``;`` or ``,``; ``categories`` is
    the account's truth, ``category`` the post's.

    Raises:
        SourceError: the file is no table, or names no username column.
    """
    accounts: dict[str, _Gathered] = {}
    for row in read_rows(path, COLUMNS, ["username"]):
        problem = row if isinstance(row, Problem) else None
        if isinstance(row, Row):
            problem = _gather(accounts, row, path, max_caption_chars)
        if problem is not None:
            yield problem
    for username, gathered in accounts.items():
        yield from build_account(
            username,
            gathered.posts,
            gathered.notes,
            followers=gathered.followers,
            truth=gathered.categories or None,
        )


def _gather(
    accounts: dict[str, _Gathered], row: Row, path: Path, max_caption_chars: int
) -> Problem | None:
    try:
        username = parse_username(row.cells["username"])
    except ValueError as error:
        return make_problem(where=row.where, reason="invalid-username", detail=str(error))
    account = accounts.setdefault(username, _Gathered(Notes(f"{path.name}: {username}")))
    cells = row.cells
    account.followers = account.followers or cells.get("followers", "").strip()
    if named := cells.get("categories", "").strip():
        ours, strange = sort_categories(named)
        account.categories += [*(ours or ()), *strange] or ["otra"]
    raw = _read_cells(cells)
    if raw:
        account.posts.append(
            build_post(
                raw, where=row.where, folder=path.parent, max_caption_chars=max_caption_chars
            )
        )
    return None


def _read_cells(cells: Mapping[str, str]) -> dict[str, object]:
    """Return the post's own cells that hold something; a row may also only describe an account."""
    raw: dict[str, object] = {
        column: cells[column] if column == "caption" else cells[column].strip()
        for column in _POST_COLUMNS
        if cells.get(column, "").strip()
    }
    if isinstance(photos := raw.get("photos"), str):
        parts = photos.split("|" if "|" in photos else ";")
        raw["photos"] = [part.strip() for part in parts if part.strip()]
    return raw
