"""What a broken or hostile source may send: any JSON, and good answers with one part spoiled."""

import copy

from hypothesis import strategies as st

json_values: st.SearchStrategy[object] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["http://[", "https://e.test/\0", "\ud800", "n02084071", "9" * 5000, 10**400, -1, "//x"]
    ),
    lambda children: (
        st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4)
    ),
    max_leaves=12,
)

PIECES = (
    "<article ",
    "class='photo-item' ",
    "data-photo-modal-medium-id='7' ",
    ">",
    "</article>",
    "<!--",
    "-->",
    "<![x[",
    '"',
    "<a rel=next href='?page=3'>",
    "<a href='//[' rel=next>",
    "<a href=/@x>",
    "<img data-big-src=http://x ",
    "<script id='__NEXT_DATA__'>",
    "</script>",
    "&#",
    "99999999999999999999",
    "http://[",
)
html_like = st.lists(st.sampled_from(PIECES) | st.text(max_size=8), max_size=25).map("".join)
"""Pages put together from pieces of Pexels' and from anything."""

Path = tuple[str | int, ...]


def list_places(value: object, path: Path = ()) -> list[Path]:
    """Every place within a JSON value."""
    found = [path]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += list_places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += list_places(inner, (*path, index))
    return found


def spoil(value: object, path: Path, junk: object) -> object:
    """A copy of a JSON value with something else at one place."""
    if not path:
        return junk
    spoiled = copy.deepcopy(value)
    inner = spoiled
    for key in path[:-1]:
        inner = inner[key]  # type: ignore[index]
    inner[path[-1]] = junk  # type: ignore[index]
    return spoiled


def spoiled_copies(value: object) -> st.SearchStrategy[object]:
    """Copies of a good answer with one part of it replaced by anything."""
    return st.builds(
        lambda path, junk: spoil(value, path, junk),
        st.sampled_from(list_places(value)),
        json_values,
    )
