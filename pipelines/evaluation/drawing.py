"""How figures look, and how they become SVG: the same bytes for the same data, light or dark."""

import io
import re
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from schemas.base import Frozen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D1F", "#7F7F7F")
"""Okabe and Ito's colours, told apart by colour-blind readers too; yellow is darkened."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
DASHES = ("-", "--", ":", "-.")

HALVES = {"text": "#E69F00", "image": "#0072B2", "both": "#009E73"}

INK = "#0a0b0c"
"""Stands for the page's own text colour until the SVG is finished."""

_STYLE: Any = {
    **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), "none"),
    **dict.fromkeys(
        (
            *("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor"),
            *("xtick.color", "ytick.color", "grid.color"),
        ),
        INK,
    ),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.alpha": 0.15,
    "legend.frameon": False,
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.titlesize": 10,
    "svg.fonttype": "none",
    # Names of categories and sets are people's: a dollar sign begins no formula.
    "text.parse_math": False,
}

# Matplotlib's settings belong to the whole process.
_lock = threading.Lock()


class Drawing(Frozen):
    """A finished figure: a file's name without ending, its heading, what to see in it, and SVG."""

    name: str
    title: str
    caption: str
    svg: str

    @property
    def inline(self) -> str:
        """The SVG as it stands in a page: HTML needs no declarations of namespaces."""
        return re.sub(r' xmlns(:\w+)?="[^"]*"', "", self.svg)


def draw(
    name: str,
    title: str,
    caption: str,
    *,
    size_in: tuple[float, float],
    paint: Callable[["Figure"], None],
) -> Drawing:
    """Let ``paint`` fill an empty figure of that size in inches and return it as SVG.

    Text stays text. The same data gives the same bytes. Lines and letters take the colour of the
    page's text.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with _lock, matplotlib.rc_context({**_STYLE, "svg.hashsalt": f"afin-{name}"}):
        figure = Figure(figsize=size_in, layout="constrained")
        FigureCanvasSVG(figure)
        paint(figure)
        target = io.StringIO()
        figure.savefig(target, format="svg", dpi=150, metadata={"Date": None, "Creator": None})
    return Drawing(name=name, title=title, caption=caption, svg=_finish(target.getvalue(), title))


def style_of(place: int) -> dict[str, Any]:
    """Return colour and dashes for the so-manieth line of a figure; 32 of them differ."""
    return {
        "color": PALETTE[place % len(PALETTE)],
        "linestyle": DASHES[place // len(PALETTE) % len(DASHES)],
    }


def as_percent(axes: "Axes", *, x: bool = False, y: bool = False) -> None:
    """Label axes of rates, 0 to 1, in percent."""
    from matplotlib.ticker import PercentFormatter

    if x:
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    if y:
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _finish(svg: str, title: str) -> str:
    """Leave only the picture: no declarations, no metadata, the page's text colour, a title."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = svg.replace(INK, "currentColor")
    safe = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{safe}" ', 1)
