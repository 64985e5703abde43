"""The names of everything that a server of the sandbox can be told to do wrong, and where."""

from enum import StrEnum


class Server(StrEnum):
    """One of the sandbox's servers; the photos of a source come from a host of their own."""

    IMAGENET = "imagenet"
    IMAGENET_PHOTOS = "imagenet-photos"
    PEXELS = "pexels"
    PEXELS_PHOTOS = "pexels-photos"
    INSTAGRAM = "instagram"
    INSTAGRAM_PHOTOS = "instagram-photos"


PHOTO_SERVERS = (Server.IMAGENET_PHOTOS, Server.PEXELS_PHOTOS, Server.INSTAGRAM_PHOTOS)


class Misbehaviour(StrEnum):
    """One thing that goes wrong with a share of the addresses, or of the requests."""

    # Drawn for each request anew, so that another try may do better
    THROTTLE = "throttle"  # 429 with the plan's retry_after
    SERVER_ERROR = "server-error"  # 500
    UNAVAILABLE = "unavailable"  # 503 with the plan's retry_after
    DROPPED = "dropped"  # closed without a word
    HALF = "half"  # closed amid the body
    CHALLENGE = "challenge"  # Pexels' page for humans, 403
    DEAD_TOKEN = "dead-token"  # noqa: S105 - its name; Instagram's error 190
    GRAPH_ERROR = "graph-error"  # Instagram's error of the plan's graph_code

    # Drawn once for each address: gone, or never a photo
    NOT_FOUND = "not-found"
    GONE = "gone"
    EXPIRED = "expired"  # an Instagram address past its time, 403
    HTML = "html"  # a page as text/html, 200
    HTML_AS_JPEG = "html-as-jpeg"
    JPEG_AS_HTML = "jpeg-as-html"
    PLACEHOLDER = "placeholder"  # 302 to a photo_unavailable picture
    STAND_IN = "stand-in"  # the same picture for many addresses, at once
    THROTTLED_BODY = "throttled-body"  # 200 and 93 bytes
    SVG = "svg"
    GIF = "gif"  # animated
    EMPTY = "empty"
    TRUNCATED = "truncated"  # half a body with a fitting Content-Length
    NOAI = "noai"  # X-Robots-Tag

    # Drawn once for each address: slow, endless, lying
    SLOW = "slow"  # silent for the plan's slow_s, then fine
    SLOW_HEADERS = "slow-headers"  # a byte every drip_s
    DRIP = "drip"  # the body, a byte every drip_s
    ENDLESS = "endless"  # chunks without end
    LYING_LENGTH = "lying-length"  # half of what Content-Length says
    HUGE_HEADERS = "huge-headers"  # 10 MB
    GZIP_BOMB = "gzip-bomb"
    BROTLI_BOMB = "brotli-bomb"
    ZSTD_BOMB = "zstd-bomb"
    PNG_BOMB = "png-bomb"

    # Drawn once for each address: leading elsewhere
    REDIRECT_LOOP = "redirect-loop"
    REDIRECT_CHAIN = "redirect-chain"  # 25 hops
    REDIRECT_ELSEWHERE = "redirect-elsewhere"  # to another host, which looks for credentials
    REDIRECT_FILE = "redirect-file"
    REDIRECT_DATA = "redirect-data"
    REDIRECT_LOOPBACK = "redirect-loopback"
    REDIRECT_HEX = "redirect-hex"
    REDIRECT_DECIMAL = "redirect-decimal"
    REDIRECT_MAPPED_LOOPBACK = "redirect-mapped-loopback"
    REDIRECT_LINK_LOCAL = "redirect-link-local"
    REDIRECT_PRIVATE = "redirect-private"
    REDIRECT_CGNAT = "redirect-cgnat"
    REDIRECT_ULA = "redirect-ula"
    REDIRECT_MAPPED = "redirect-mapped"

    # Decided when an address is listed
    REFUSED = "refused"  # a dead host: nobody listens
    ODD_NAME = "odd-name"  # .., unicode, spaces, user:pass@

    # Of a whole server
    ROBOTS = "robots"  # robots.txt bars everything; any share above 0


PASSING = frozenset(
    {
        Misbehaviour.THROTTLE,
        Misbehaviour.SERVER_ERROR,
        Misbehaviour.UNAVAILABLE,
        Misbehaviour.DROPPED,
        Misbehaviour.HALF,
        Misbehaviour.CHALLENGE,
        Misbehaviour.DEAD_TOKEN,
        Misbehaviour.GRAPH_ERROR,
    }
)
"""Drawn for each request anew."""

LISTED = frozenset({Misbehaviour.REFUSED, Misbehaviour.ODD_NAME})
"""Decided when an address is listed."""

LASTING = frozenset(Misbehaviour) - PASSING - LISTED - {Misbehaviour.ROBOTS}
"""Drawn once for each address."""

DEAD: dict[Misbehaviour, float] = {
    Misbehaviour.NOT_FOUND: 0.4,
    Misbehaviour.HTML: 0.1,
    Misbehaviour.PLACEHOLDER: 0.2,
    Misbehaviour.STAND_IN: 0.1,
    Misbehaviour.THROTTLED_BODY: 0.05,
    Misbehaviour.REFUSED: 0.15,
}
"""What a dead link of ImageNet's lists died of, as shares of the dead."""

_ONLY: dict[Misbehaviour, tuple[Server, ...]] = {
    Misbehaviour.CHALLENGE: (Server.PEXELS,),
    Misbehaviour.DEAD_TOKEN: (Server.INSTAGRAM,),
    Misbehaviour.GRAPH_ERROR: (Server.INSTAGRAM,),
    Misbehaviour.EXPIRED: (Server.INSTAGRAM_PHOTOS,),
    Misbehaviour.REFUSED: (Server.IMAGENET_PHOTOS,),
    Misbehaviour.ODD_NAME: (Server.IMAGENET_PHOTOS,),
    Misbehaviour.HTML_AS_JPEG: PHOTO_SERVERS,
    Misbehaviour.JPEG_AS_HTML: PHOTO_SERVERS,
    Misbehaviour.PLACEHOLDER: PHOTO_SERVERS,
    Misbehaviour.STAND_IN: PHOTO_SERVERS,
    Misbehaviour.THROTTLED_BODY: PHOTO_SERVERS,
    Misbehaviour.SVG: PHOTO_SERVERS,
    Misbehaviour.GIF: PHOTO_SERVERS,
    Misbehaviour.PNG_BOMB: PHOTO_SERVERS,
    Misbehaviour.NOAI: PHOTO_SERVERS,
}


def find_scope(misbehaviour: Misbehaviour) -> tuple[Server, ...]:
    """The servers that a misbehaviour can be said of."""
    return _ONLY.get(misbehaviour, tuple(Server))


def find_default_scope(misbehaviour: Misbehaviour) -> tuple[Server, ...]:
    """The servers it is said of where none is named: those of photos, if it can be one of them."""
    scope = find_scope(misbehaviour)
    return tuple(server for server in scope if server in PHOTO_SERVERS) or scope
