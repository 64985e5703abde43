"""Figures of methods: bars by category, everything in one row, training, and maps of vectors."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipelines.evaluation.assess import SetEvaluation
from pipelines.evaluation.drawing import (
    HALVES,
    INK,
    MARKERS,
    PALETTE,
    Drawing,
    as_percent,
    draw,
    style_of,
)
from pipelines.evaluation.methods import MethodRow
from pipelines.evaluation.metrics import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CROWDED = 1500
"""More points than this are painted as pixels: each as a shape of its own would fill megabytes."""


def draw_overview(evaluations: Sequence[SetEvaluation]) -> Drawing:
    """Draw how often each method's likeliest class is right on each set, with its interval."""
    lines = [
        (f"{each.kind} of {each.name} ({each.relation}) · {row.label}", row)
        for each in evaluations
        for row in each.table.rows
        if row.top is not None
    ]

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        for place, (_label, row) in enumerate(lines):
            low, high = row.top_interval or (0.0, 1.0)
            colour = HALVES[row.halves]
            axes.plot([low, high], [place, place], color=colour, linewidth=2)
            axes.plot([row.top or 0.0], [place], "o", color=colour, markersize=6, clip_on=False)
        axes.set_yticks(range(len(lines)), [label for label, _row in lines])
        axes.set_ylim(len(lines) - 0.5, -0.5)
        axes.set_xlim(0, 1)
        axes.set_xlabel("items whose likeliest class is right (%), 95 % interval")
        as_percent(axes, x=True)

    return draw(
        "overview",
        "Every method on every set",
        "Sources that were never trained on come first: they are what new photos look like.",
        size_in=(8, 1.0 + 0.28 * max(len(lines), 1)),
        paint=paint,
    )


def draw_class_bars(evaluation: SetEvaluation, method: str) -> Drawing:
    """Draw precision and recall by category, text, image and both side by side."""
    order = list(HALVES)
    rows = sorted(
        (row for row in evaluation.table.rows if row.name == method),
        key=lambda row: order.index(row.halves),
    )
    classes = evaluation.table.classes

    def paint(figure: "Figure") -> None:
        panels = figure.subplots(2, 1, sharex=True)
        for axes, figure_name in zip(panels, ("precision", "recall"), strict=True):
            for place, row in enumerate(rows):
                _paint_bars(axes, row, figure_name, place, len(rows))
            axes.set_ylim(0, 1)
            axes.set_ylabel(f"{figure_name} (%)")
            as_percent(axes, y=True)
            axes.grid(visible=False, axis="x")
        panels[-1].set_xticks(range(len(classes)), classes, rotation=30, ha="right")
        panels[0].legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)

    return draw(
        f"bars-{_slug(evaluation, method)}",
        f"Precision and recall by category: {method}",
        "Thin lines are Wilson's 95 % intervals; no bar means that nothing was there to count.",
        size_in=(max(6.5, 0.9 * len(classes) + 2), 5),
        paint=paint,
    )


def draw_training(name: str, history: Sequence[Mapping[str, float | None]]) -> Drawing:
    """Draw a training's loss and precision by epoch, in training and on what was held out."""
    epochs = [int(entry.get("epoch") or place) for place, entry in enumerate(history, 1)]

    def paint(figure: "Figure") -> None:
        left, right = figure.subplots(1, 2)
        for axes, measure in ((left, "loss"), (right, "precision")):
            for place, part in enumerate(("train", "validation")):
                values = [entry.get(f"{part}_{measure}") for entry in history]
                if any(value is not None for value in values):
                    known = [np.nan if value is None else value for value in values]
                    axes.plot(epochs, known, label=part, **style_of(place))
            axes.set_xlabel("epoch")
            axes.xaxis.get_major_locator().set_params(integer=True)
        left.set_ylabel("loss (nats)")
        right.set_ylabel("precision (%)")
        as_percent(right, y=True)
        left.legend()

    return draw(
        f"training-{name}",
        f"Training of the {name}",
        "Precision is the share of samples whose likeliest class is right.",
        size_in=(8, 3),
        paint=paint,
    )


def draw_map(name: str, title: str, places: NDArray[np.floating], labels: Sequence[str]) -> Drawing:
    """Draw vectors laid out in the plane ``(n, 2)``, coloured by category."""
    # By name, so that a category has the same colour in every map.
    names = sorted(set(labels))

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        for place, label in enumerate(names):
            chosen = places[[own == label for own in labels]]
            axes.scatter(
                chosen[:, 0],
                chosen[:, 1],
                s=9,
                alpha=0.7,
                linewidths=0,
                color=PALETTE[place % len(PALETTE)],
                marker=MARKERS[place // len(PALETTE) % len(MARKERS)],
                label=f"{label} ({len(chosen)})",
                rasterized=len(labels) > _CROWDED,
            )
        axes.set_xlabel("t-SNE 1 (no unit)")
        axes.set_ylabel("t-SNE 2 (no unit)")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), markerscale=1.8)

    return draw(
        name,
        title,
        f"{len(labels)} items. Near ones have similar vectors; distances between groups and their "
        "sizes mean little.",
        size_in=(8, 5),
        paint=paint,
    )


def _paint_bars(axes: "Axes", row: MethodRow, figure_name: str, place: int, beside: int) -> None:
    width = 0.8 / beside
    for number, score in enumerate(row.scores.classes):
        value: float | None = getattr(score, figure_name)
        interval: Interval = getattr(score, f"{figure_name}_interval")
        if value is None:
            continue
        x = number - 0.4 + width * (place + 0.5)
        label = row.halves if number == _first_known(row, figure_name) else None
        axes.bar(x, value, width * 0.92, color=HALVES[row.halves], label=label)
        axes.plot([x, x], interval, color=INK, linewidth=1.2)


def _first_known(row: MethodRow, figure_name: str) -> int:
    known = [getattr(score, figure_name) is not None for score in row.scores.classes]
    return known.index(True)


def _slug(evaluation: SetEvaluation, method: str) -> str:
    raw = f"{evaluation.kind}-{evaluation.name}-{method}"
    return "".join(letter if letter.isalnum() else "-" for letter in raw.lower())
