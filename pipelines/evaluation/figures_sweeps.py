"""Figures of choices: thresholds, weights, precision against recall, and what doubt is worth."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipelines.evaluation.confidence import Confidence
from pipelines.evaluation.confusion import Confusion
from pipelines.evaluation.drawing import Drawing, as_percent, draw, style_of
from pipelines.evaluation.methods import MethodRow
from pipelines.evaluation.sweeps import ThresholdSweep, Tradeoff, WeightSweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DARK_FROM = 0.55
"""Cells darker than this carry white figures."""


def draw_weights(sweep: WeightSweep, name: str) -> Drawing:
    """Draw how often weighted image and text are right, by the image's weight λ."""

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        axes.plot(sweep.weights, sweep.right, **style_of(0))
        axes.axvline(sweep.best_at, label=f"best here: λ = {sweep.best_at:.2f}", **style_of(9))
        axes.set_xlabel("λ, the weight of the image (0: text alone, 1: image alone)")
        axes.set_ylabel("likeliest class right (%)")
        as_percent(axes, y=True)
        axes.legend()

    return draw(
        f"weights-{name}",
        "Weights of image and text",
        f"On {sweep.items} items that have both. The best λ was found on these very items.",
        size_in=(6.5, 3.4),
        paint=paint,
    )


def draw_thresholds(sweep: ThresholdSweep, name: str) -> Drawing:
    """Draw precision, recall and Hamming loss of accounts by the least share of posts."""

    def paint(figure: "Figure") -> None:
        upper, lower = figure.subplots(2, 1, sharex=True)
        for place, (label, values) in enumerate(
            (("precision", sweep.precision), ("recall", sweep.recall))
        ):
            known = [np.nan if value is None else value for value in values]
            upper.plot(sweep.thresholds, known, label=label, **style_of(place))
        upper.axvline(
            sweep.balanced_at, label=f"closest at {sweep.balanced_at:.0%}", **style_of(15)
        )
        upper.set_ylabel("pairs (%)")
        upper.set_ylim(0, 1.02)
        as_percent(upper, y=True)
        lower.plot(sweep.thresholds, sweep.hamming, label="Hamming loss", **style_of(2))
        lower.axvline(
            sweep.least_hamming_at, label=f"least at {sweep.least_hamming_at:.0%}", **style_of(15)
        )
        lower.axhline(sweep.hamming_of_nothing, label="predicting nothing", **style_of(11))
        lower.set_ylabel("Hamming loss (share)")
        lower.set_ylim(bottom=0)
        lower.set_xlabel("least share of an account's posts (%)")
        as_percent(lower, x=True)
        for axes in (upper, lower):
            axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))

    return draw(
        f"thresholds-{name}",
        "Thresholds of a verdict",
        "Of (account, category) pairs, with the best method. Chosen on these very accounts, the "
        "marked thresholds flatter.",
        size_in=(8, 4.6),
        paint=paint,
    )


def draw_tradeoffs(curves: Sequence[Tradeoff], name: str) -> Drawing:
    """Draw precision against recall of each category as its threshold falls."""

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        for place, curve in enumerate(curves):
            label = f"{curve.category} ({curve.average_precision:.2f})"
            axes.plot(
                curve.recall, curve.precision, drawstyle="steps-pre", label=label, **style_of(place)
            )
        axes.set_xlabel("recall (%)")
        axes.set_ylabel("precision (%)")
        axes.set_xlim(0, 1.01)
        axes.set_ylim(0, 1.02)
        as_percent(axes, x=True, y=True)
        axes.legend(
            loc="center left", bbox_to_anchor=(1, 0.5), title="category (average precision)"
        )

    return draw(
        f"tradeoff-{name}",
        "Precision against recall",
        "The best method; each curve runs through all thresholds of one category's probability.",
        size_in=(8, 4.2),
        paint=paint,
    )


def draw_confusion(confusion: Confusion, name: str) -> Drawing:
    """Draw which categories are taken for which, in percent of each row."""
    counts = np.array(confusion.counts, np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    kept = [row for row, total in enumerate(totals[:, 0]) if total]

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        axes.grid(visible=False)
        axes.pcolormesh(shares[kept], cmap="Blues", vmin=0, vmax=1, edgecolors="none")
        for y, row in enumerate(kept):
            for x, share in enumerate(shares[row]):
                if counts[row, x]:
                    colour = "white" if share > _DARK_FROM else "black"
                    axes.text(
                        x + 0.5, y + 0.5, f"{share:.0%}", ha="center", va="center", color=colour
                    )
        columns = range(len(confusion.columns))
        axes.set_xticks([x + 0.5 for x in columns], confusion.columns, rotation=35, ha="right")
        labels = [f"{confusion.rows[row]} ({int(totals[row, 0])})" for row in kept]
        axes.set_yticks([y + 0.5 for y in range(len(kept))], labels)
        axes.invert_yaxis()
        axes.set_xlabel("answer")
        axes.set_ylabel("truth (items)")

    return draw(
        f"confusion-{name}",
        "What is taken for what",
        f"The best method, in percent of each row; {confusion.left_out} items of several "
        "categories are left out.",
        size_in=(2.6 + 0.75 * len(confusion.columns), 1.7 + 0.45 * len(kept)),
        paint=paint,
    )


def draw_reliability(confidence: Confidence, label: str, name: str) -> Drawing:
    """Draw how often a method is right by how sure it says it is."""

    def paint(figure: "Figure") -> None:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.plot([0, 1], [0, 1], label="as sure as right", **style_of(15))
        for each in confidence.bins:
            upper.plot([each.said, each.said], each.right_interval, color="#56B4E9", linewidth=2)
        upper.plot(
            [each.said for each in confidence.bins],
            [each.right for each in confidence.bins],
            marker="o",
            label=f"{label}, 95 % interval",
            **style_of(0),
        )
        upper.set_ylabel("right (%)")
        upper.set_ylim(0, 1.02)
        as_percent(upper, y=True)
        upper.legend()
        for each in confidence.bins:
            middle, width = (each.low + each.high) / 2, (each.high - each.low) * 0.9
            lower.bar(middle, each.items, width, color="#0072B2")
        lower.set_ylabel("items")
        lower.set_xlabel("probability of the likeliest class (%)")
        lower.set_xlim(0, 1)
        as_percent(lower, x=True)

    return draw(
        f"reliability-{name}",
        "Whether probabilities can be believed",
        f"Expected calibration error {confidence.ece:.3f} over {confidence.items} items: how far "
        "the line is from the diagonal, on average.",
        size_in=(6.5, 4.8),
        paint=paint,
    )


def draw_risks(rows: Sequence[MethodRow], name: str) -> Drawing:
    """Draw the error among the surest items, by how many of them are kept, for each method."""

    def paint(figure: "Figure") -> None:
        axes = figure.add_subplot()
        for place, row in enumerate(rows):
            if row.confidence is not None:
                label = f"{row.label} (area {row.confidence.aurc:.3f})"
                axes.plot(
                    row.confidence.coverages, row.confidence.risks, label=label, **style_of(place)
                )
        axes.set_xlabel("items answered, surest first (%)")
        axes.set_ylabel("wrong among them (%)")
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=0)
        as_percent(axes, x=True, y=True)
        axes.legend()

    return draw(
        f"risk-{name}",
        "What abstaining would buy",
        "The lower and flatter the better: doubtful items are then the wrong ones.",
        size_in=(6.5, 3.6),
        paint=paint,
    )
