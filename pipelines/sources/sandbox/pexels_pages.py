"""Pexels' search pages in the layouts of 2020 and of Next.js, and its challenge for humans."""

import json
from html import escape

from aiohttp import web
from yarl import URL

from pipelines.sources.sandbox.gate import Handler
from pipelines.sources.sandbox.hostile import Call
from pipelines.sources.sandbox.pexels import PexelsApi, PexelsPhoto, find_photos, name_file
from pipelines.sources.sandbox.vocabulary import Term, find_term
from pipelines.sources.sandbox.world import KIND, World

PER_PAGE_2020, PER_PAGE_NEXT = 30, 24
LIGHT_EVERY = 3
"""Of so many articles of 2020 one has only an id, as on the real pages."""

CHALLENGE = """<!DOCTYPE html><html lang="en-US"><head><title>Just a moment...</title>\
<meta http-equiv="Content-Type" content="text/html; charset=UTF-8">\
<meta name="robots" content="noindex,nofollow"><meta http-equiv="refresh" content="360"></head>\
<body><div class="main-wrapper" role="main"><div class="main-content"><noscript><div class="h2">\
<span id="challenge-error-text">Enable JavaScript and cookies to continue</span></div></noscript>\
</div></div><script>(function(){window._cf_chl_opt = {cType: 'managed', cZone: 'sandbox'};\
var a = document.createElement('script');\
a.src = '/cdn-cgi/challenge-platform/h/g/orchestrate/chl_page/v1';}());</script></body></html>
"""


def pexels_routes(world: World) -> dict[str, Handler]:
    """The handlers of the API, the search pages, and the pages that credits link to."""
    api = PexelsApi(world)

    async def show_search(request: web.Request) -> web.Response:
        request[KIND] = "page"
        term = find_term(request.match_info["term"])
        text = request.query.get("page", "1")
        page = int(text) if text.isascii() and text.isdecimal() else 0
        old = world.plan.pexels_layout == "2020"
        per_page = PER_PAGE_2020 if old else PER_PAGE_NEXT
        pages = -(-world.content.photos_per_term // per_page) if term else 0
        if term is None or not 1 <= page <= max(1, pages):
            return _html(_write_2020([], "", "") if old else _write_next([], 1, 0))
        photos = await find_photos(world, term, (page - 1) * per_page, per_page)
        if old:
            articles = [_write_article(world, photo) for photo in photos]
            return _html(_write_2020(articles, term.text, _write_links(term, page, pages)))
        return _html(_write_next([_describe(world, photo) for photo in photos], page, pages))

    async def show_about(request: web.Request) -> web.Response:
        request[KIND] = "about"
        return _html(f"<!DOCTYPE html><title>{escape(request.path)}</title>\n")

    return {
        "/v1/search": api.search,
        "/v1/search/": api.search,
        "/search/{term}/": show_search,
        "/photo/{slug}/": show_about,
        "/{handle:@[a-z]+}": show_about,
    }


async def challenge(_call: Call) -> web.StreamResponse:
    """Ask for a human, as Pexels' guard does of crawlers."""
    return _html(CHALLENGE, 403)


def _html(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/html")


def _write_2020(articles: list[str], term: str, links: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en-US" data-locale="en-US">\n<head>\n'
        f"<title>{escape(term)} Photos · Free Stock Photos</title>\n</head>\n"
        "<body class=' no-js'>\n<div class='search__grid'>\n<div class=\"photos\">\n"
        f"{''.join(articles)}</div>\n</div>\n"
        f'<div class="js-pagination" data-seed="">{links}</div>\n</body>\n</html>\n'
    )


def _write_links(term: Term, page: int, pages: int) -> str:
    if pages <= 1:
        return ""
    path = str(URL(f"/search/{term.text}/"))
    before = "" if page > 1 else '<span class="previous_page disabled">Previous</span> '
    numbers = [
        f'<a{_rel(number, page)} href="{path}?page={number}">{number}</a>'
        for number in range(1, pages + 1)
        if number != page
    ]
    after = (
        f'<a class="next_page" rel="next" href="{path}?page={page + 1}">Next</a>'
        if page < pages
        else '<span class="next_page disabled">Next</span>'
    )
    return (
        f'<div class="pagination">{before}<em class="current">{page}</em> '
        f"{' '.join(numbers)} {after}</div>\n"
    )


def _rel(number: int, page: int) -> str:
    return {1: ' rel="next"', -1: ' rel="prev"'}.get(number - page, "")


def _write_article(world: World, photo: PexelsPhoto) -> str:
    file = name_file(world, photo)
    small = f"{file}?auto=compress&cs=tinysrgb&dpr=1&w=500"
    large = f"{file}?auto=compress&cs=tinysrgb&dpr=2&w=500"
    big = f"{file}?auto=compress&cs=tinysrgb&h=750&w=1260"
    modal = {"medium-id": str(photo.id)}
    if photo.id % LIGHT_EVERY:
        modal |= {
            "download-url": f"/photo/{photo.id}/download/",
            "download-value-original": f"{photo.width}x{photo.height}",
            "height": str(photo.height),
            "image-alt": photo.title,
            "image-download-link": f"{file}?cs=srgb&dl={photo.page}.jpg&fm=jpg",
            "image-grid-item-src": small,
            "image-src": big,
            "photographer-id": str(photo.photographer_id),
            "type": "Photo",
            "user-profile-full-name": photo.photographer,
            "user-profile-link": f"/{photo.handle}",
            "width": str(photo.width),
        }
    data = " ".join(f"data-photo-modal-{name}='{escape(value)}'" for name, value in modal.items())
    aspect = photo.width / photo.height
    return (
        "<div class='photos__column'>\n"
        f"<article class='photo-item photo-item--overlay' data-aspect-ratio='{aspect}' "
        f"data-meta-title='{escape(photo.title)} · Free Stock Photo' {data} "
        f"style='padding-top: {100 / aspect}%'>\n"
        f'<a class="js-photo-link photo-item__link" title="{escape(photo.title)}" '
        f'href="/photo/{photo.page}/"><img srcset="{escape(small)} 1x, {escape(large)} 2x" '
        f'class="photo-item__img" alt="{escape(photo.title)}" data-image-width="{photo.width}" '
        f'data-image-height="{photo.height}" data-big-src="{escape(big)}" '
        f'data-tiny-src="{escape(small)}" src="{escape(small)}" />\n</a>'
        f'<a class="photo-item__photographer" '
        f'data-overview-tooltip-user-id="{photo.photographer_id}" href="/{photo.handle}">'
        f'<img class="photo-item__avatar" height="30" width="30" src="/avatar.jpeg" />\n'
        f"<span class='photo-item__name'>{escape(photo.photographer)}</span>\n</a>"
        f'<a download="true" href="/photo/{photo.id}/download/"></a>\n</article>\n</div>\n'
    )


def _write_next(data: list[dict[str, object]], page: int, pages: int) -> str:
    document = {
        "props": {
            "pageProps": {
                "initialData": {
                    "data": data,
                    "pagination": {"current_page": page, "total_pages": pages},
                }
            }
        },
        "page": "/search/[query]",
    }
    # As Next.js does, so that no text of it can end the script.
    text = json.dumps(document, ensure_ascii=False).replace("<", "\\u003c")
    return (
        '<!DOCTYPE html><html lang="en-US"><head><title>Free Stock Photos</title></head><body>'
        '<div id="__next"><div class="BreakpointGrid_item__x7Hq2"></div></div>'
        f'<script id="__NEXT_DATA__" type="application/json">{text}</script></body></html>\n'
    )


def _describe(world: World, photo: PexelsPhoto) -> dict[str, object]:
    file = name_file(world, photo)
    first, _, last = photo.photographer.partition(" ")
    return {
        "id": str(photo.id),
        "type": "photo",
        "attributes": {
            "id": photo.id,
            "slug": photo.slug,
            "title": photo.title,
            "width": photo.width,
            "height": photo.height,
            "image": {
                "small": f"{file}?auto=compress&cs=tinysrgb&w=400",
                "medium": f"{file}?auto=compress&cs=tinysrgb&w=600",
                "large": f"{file}?auto=compress&cs=tinysrgb&w=1200",
                "download_link": f"{file}?cs=srgb&dl={photo.page}.jpg&fm=jpg",
            },
            "user": {
                "id": photo.photographer_id,
                "first_name": first,
                "last_name": last,
                "slug": photo.handle.removeprefix("@"),
                "username": photo.handle.removeprefix("@"),
            },
        },
    }
