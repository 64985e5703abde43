"""Instagram's Graph API: tags and their posts, accounts and theirs, token, budgets, errors."""

import math
from collections import deque
from collections.abc import Awaitable, Callable

from aiohttp import web
from yarl import URL

from pipelines.sources.sandbox import graph, media
from pipelines.sources.sandbox.gate import Handler
from pipelines.sources.sandbox.graph import Field, GraphError, make_error, parse_fields, pick
from pipelines.sources.sandbox.hostile import Answer, Call
from pipelines.sources.sandbox.misbehaviours import Misbehaviour, Server
from pipelines.sources.sandbox.pager import Pager, write_cursor
from pipelines.sources.sandbox.plan import INSTAGRAM_TOKEN, INSTAGRAM_USER_ID
from pipelines.sources.sandbox.vocabulary import Term, find_term, list_terms
from pipelines.sources.sandbox.window import Window
from pipelines.sources.sandbox.world import KIND, World

HOUR_S, WEEK_S = 3600.0, 7 * 24 * 3600.0
LIMIT, MOST = 25, 50

_TAG_ID, _USER_ID = "17843", "17841"
_TAGGED = frozenset(
    {
        "id", "caption", "children", "comments_count", "like_count",
        "media_type", "media_url", "permalink", "timestamp",
    }
)  # fmt: skip
_OWN = _TAGGED | {"username"}
_PROFILE = frozenset(
    {
        "id", "username", "name", "biography", "followers_count",
        "follows_count", "media_count", "profile_picture_url", "website",
    }
)  # fmt: skip

Ask = Callable[[web.Request], Awaitable[dict[str, object]]]


class GraphApi:
    """The handlers, with the budgets of the one account that asks."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._calls = Window(HOUR_S, world.clock)
        self._tags: deque[tuple[float, str]] = deque()
        self._pager = Pager()

    def routes(self) -> dict[str, Handler]:
        """The handlers by path, each with and without a version in front."""
        asks: dict[str, Ask] = {
            "/ig_hashtag_search": self.search_tag,
            "/{node:[0-9]+}/recent_media": self.list_recent,
            "/{node:[0-9]+}/top_media": self.list_top,
            "/{node:[0-9]+}/recently_searched_hashtags": self.list_searched,
            "/{node:[0-9]+}": self.read_node,
        }
        return {
            f"{version}{path}": self._guard(ask)
            for path, ask in asks.items()
            for version in ("", r"/{version:v[0-9]+\.[0-9]+}")
        }

    def _guard(self, ask: Ask) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            try:
                self._check(request)
                document, status = await ask(request), 200
            except GraphError as error:
                request[KIND] = f"error-{error.code}"
                document, status = error.describe(request.path), 400
            return web.json_response(document, status=status, headers=self._usage())

        return handle

    def _check(self, request: web.Request) -> None:
        token = request.query.get("access_token")
        if token is None:
            token = request.headers.get("Authorization", "").removeprefix("Bearer ") or None
        if token is None:
            raise make_error(104)
        if token != INSTAGRAM_TOKEN:
            raise GraphError(190, "Invalid OAuth access token - Cannot parse access token")
        allowed = self._world.plan.graph_calls
        if allowed and self._calls.used >= allowed:
            raise make_error(4)
        self._calls.add()

    def _usage(self) -> dict[str, str]:
        allowed = self._world.plan.graph_calls
        percent = 100 * self._calls.used // allowed if allowed else min(1, self._calls.used)
        blocked = bool(allowed) and self._calls.used >= allowed
        wait_s = self._calls.free_at() - self._world.clock() if blocked else 0
        return graph.usage_headers(INSTAGRAM_USER_ID, min(100, percent), math.ceil(wait_s / 60))

    async def search_tag(self, request: web.Request) -> dict[str, object]:
        """``ig_hashtag_search``: the id of a tag, if the budget of tags allows."""
        _require_user(request)
        request[KIND] = "hashtag-search"
        term = find_term(request.query.get("q", ""))
        if term is None:
            raise GraphError(100, "(#100) The requested hashtag does not exist", subcode=2207024)
        self._spend(term)
        known = {"id": _tag_id(term), "name": term.text}
        wanted = parse_fields(request.query.get("fields", "id"))
        return {"data": [pick(known, wanted, allowed=frozenset(known))]}

    async def list_searched(self, request: web.Request) -> dict[str, object]:
        """The tags that count towards the budget."""
        if request.match_info["node"] != INSTAGRAM_USER_ID:
            raise make_error(100)
        request[KIND] = "searched-hashtags"
        self._forget()
        terms = [find_term(text) for text in dict.fromkeys(text for _, text in self._tags)]
        data = [{"id": _tag_id(term), "name": term.text} for term in terms if term]
        return {"data": data, "paging": {"cursors": {"before": "before", "after": "after"}}}

    async def list_recent(self, request: web.Request) -> dict[str, object]:
        """The posts of a tag within the last 24 hours, newest first."""
        request[KIND] = "recent-media"
        count = self._world.content.posts_per_tag
        return self._list_tagged(request, lambda term: list(self._posts(term, 0, count)))

    async def list_top(self, request: web.Request) -> dict[str, object]:
        """The most liked posts of a tag; half of them are recent ones too."""
        request[KIND] = "top-media"
        count = self._world.content.posts_per_tag

        def rank(term: Term) -> list[media.Media]:
            found = self._posts(term, count // 2, count // 2 + count)
            return sorted(found, key=lambda post: (-post.likes, post.id))

        return self._list_tagged(request, rank)

    def _posts(self, term: Term, start: int, end: int) -> list[media.Media]:
        return [media.tagged_media(self._world, term, number) for number in range(start, end)]

    def _list_tagged(
        self, request: web.Request, find: Callable[[Term], list[media.Media]]
    ) -> dict[str, object]:
        _require_user(request)
        term = _read_tag(request.match_info["node"])
        wanted = parse_fields(request.query.get("fields", "id"))
        limit = _read_limit(request.query.get("limit", str(LIMIT)))
        self._spend(term)
        posts = find(term)
        start = self._pager.start(_name_listing(request), request.query.get("after"))
        page = posts[start : start + limit]
        described = (media.describe_media(self._world, post) for post in page)
        document: dict[str, object] = {
            "data": [pick(post, wanted, allowed=_TAGGED) for post in described]
        }
        if start + limit < len(posts):
            document["paging"] = self._write_paging(request, start + limit)
        return document

    def _write_paging(self, request: web.Request, start: int) -> dict[str, object]:
        """Cursor and next address; the latter carries the token, as the real one does."""
        repeat = self._world.plan.repeat_cursor
        cursor = self._pager.cursor(_name_listing(request), start, repeat=repeat)
        query = {"access_token": INSTAGRAM_TOKEN, "pretty": "0", **request.query, "after": cursor}
        following = URL(self._world.bases[Server.INSTAGRAM] + request.path).with_query(query)
        return {"cursors": {"after": cursor}, "next": str(following)}

    async def read_node(self, request: web.Request) -> dict[str, object]:
        """A tag's name, or another account seen through ``business_discovery``."""
        node = request.match_info["node"]
        wanted = parse_fields(request.query.get("fields", "id"))
        if node != INSTAGRAM_USER_ID:
            request[KIND] = "hashtag"
            term = _read_tag(node)
            known = {"id": node, "name": term.text}
            return pick(known, wanted, allowed=frozenset(known))
        request[KIND] = "discovery"
        asked = next((one for one in wanted if one.name == "business_discovery"), None)
        if asked is None:
            return pick({"id": node}, wanted, allowed=frozenset({"id"}))
        return {"business_discovery": self._discover(asked), "id": node}

    def _discover(self, asked: Field) -> dict[str, object]:
        world, name = self._world, asked.modifiers.get("username", "")
        names = [account.username for account in world.accounts]
        if name not in names:
            raise GraphError(
                100,
                f"(#100) The user with username {name} cannot be found, or is no business account",
                subcode=2207013,
            )
        number = names.index(name)
        profile = self._describe_account(number)
        plain = tuple(one for one in asked.fields if one.name != "media")
        found = pick(profile, plain, allowed=_PROFILE)
        for one in asked.fields:
            if one.name == "media":
                found["media"] = self._list_own(number, one)
        return found

    def _describe_account(self, number: int) -> dict[str, object]:
        account = self._world.accounts[number]
        return {
            "id": f"{_USER_ID}{number + 1:012d}",
            "username": account.username,
            "name": account.username.replace(".", " ").replace("_", " ").title(),
            "biography": "Una cuenta del sandbox.",
            "followers_count": account.followers,
            "follows_count": 100 + number,
            "media_count": len(account.posts),
            "profile_picture_url": media.sign_address(
                self._world, media.account_media(self._world, number)[-1].id, "IMAGE"
            ),
        }

    def _list_own(self, number: int, asked: Field) -> dict[str, object]:
        limit = _read_limit(asked.modifiers.get("limit", str(LIMIT)))
        name = self._world.accounts[number].username
        posts = media.account_media(self._world, number)
        start = self._pager.start(name, asked.modifiers.get("after"))
        data = [
            pick(
                media.describe_media(self._world, post) | {"username": name},
                asked.fields,
                allowed=_OWN,
            )
            for post in posts[start : start + limit]
        ]
        cursors = {"before": write_cursor(start)} if start else {}
        if start + limit < len(posts):
            repeat = self._world.plan.repeat_cursor
            cursors["after"] = self._pager.cursor(name, start + limit, repeat=repeat)
        return {"data": data, **({"paging": {"cursors": cursors}} if cursors else {})}

    def _spend(self, term: Term) -> None:
        """Count a tag towards the budget of distinct ones in 7 days."""
        self._forget()
        lately = {text for _, text in self._tags}
        if term.text in lately:
            return
        if len(lately) >= self._world.plan.tag_budget:
            raise make_error(18)
        self._tags.append((self._world.clock(), term.text))

    def _forget(self) -> None:
        while self._tags and self._tags[0][0] <= self._world.clock() - WEEK_S:
            self._tags.popleft()


def instagram_misbehaviours(world: World) -> dict[Misbehaviour, Answer]:
    """The errors that only this API has."""

    def fail(code: Callable[[], int]) -> Answer:
        async def answer(call: Call) -> web.StreamResponse:
            document = make_error(code()).describe(call.request.path)
            headers = graph.usage_headers(INSTAGRAM_USER_ID, 100, 5)
            return web.json_response(document, status=400, headers=headers)

        return answer

    return {
        Misbehaviour.DEAD_TOKEN: fail(lambda: 190),
        Misbehaviour.GRAPH_ERROR: fail(lambda: world.plan.graph_code),
    }


def _require_user(request: web.Request) -> None:
    if request.query.get("user_id") != INSTAGRAM_USER_ID:
        raise GraphError(100, "(#100) The parameter user_id is required")


def _tag_id(term: Term) -> str:
    return f"{_TAG_ID}{term.number:012d}"


def _read_tag(node: str) -> Term:
    number = int(node.removeprefix(_TAG_ID)) if node.startswith(_TAG_ID) else -1
    terms = list_terms()
    if not 0 <= number < len(terms) or node != _tag_id(terms[number]):
        raise make_error(100)
    return terms[number]


def _read_limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= MOST):
        raise GraphError(100, f"(#100) Param limit must be a number from 1 to {MOST}")
    return int(text)


def _name_listing(request: web.Request) -> str:
    return f"{request.path}?{request.query.get('fields')}&{request.query.get('limit')}"
