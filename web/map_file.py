"""A map as one file that opens anywhere."""

import json

from pipelines.evaluation.mistakes import make_thumbnail
from pipelines.vision.decode import PhotoLimits
from schemas.errors import BlobError
from schemas.maps import PostMap
from schemas.settings import Settings
from storage.blobs import BlobStore
from web.marks import shape_of
from web.render import category_namer, make_templates
from web.statics import STATIC
from web.words import Language, translator


def render_map_file(
    found: PostMap, blobs: BlobStore, settings: Settings, language: Language
) -> str:
    """Return a map as a page with all it needs inside: script, style, places and small photos.

    A photo that is lost or damaged is left out.
    """
    shown = {point.photo for point in found.points if point.photo}
    photos = {sha256: _small(blobs, settings, sha256) for sha256 in sorted(shown)}
    points = [
        point.model_dump(mode="json")
        | {"photo": point.photo if photos.get(point.photo or "") else None}
        for point in found.points
    ]
    document = {"points": points, "photos": {key: one for key, one in photos.items() if one}}
    # Nothing that people wrote may end the script it stands in.
    data = json.dumps(document, ensure_ascii=False).replace("<", "\\u003c")
    return (
        make_templates()
        .get_template("map_file.html")
        .render(
            t=translator(language),
            language=language,
            category=category_namer(language),
            shape=shape_of,
            state=found.state,
            style=(STATIC / "afin.css").read_text("utf-8"),
            script=(STATIC / "map.js").read_text("utf-8"),
            data=data,
        )
    )


def _small(blobs: BlobStore, settings: Settings, sha256: str) -> str | None:
    limits = PhotoLimits(max_bytes=settings.max_photo_bytes, max_pixels=settings.max_photo_pixels)
    try:
        return make_thumbnail(blobs.read_photo(sha256), limits)
    except BlobError:
        return None
