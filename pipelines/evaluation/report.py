"""A bundle's report: one page that opens anywhere, and the same figures for programs."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from pipelines.evaluation.assess import SetEvaluation
from pipelines.evaluation.drawing import Drawing
from pipelines.evaluation.figures import draw_class_bars, draw_overview, draw_training
from pipelines.evaluation.figures_sweeps import (
    draw_confusion,
    draw_reliability,
    draw_risks,
    draw_thresholds,
    draw_tradeoffs,
    draw_weights,
)
from pipelines.evaluation.metrics import Interval
from pipelines.evaluation.mistakes import Mistake
from schemas.base import Frozen
from schemas.bundles import BundleInfo, TextModelRef

TEMPLATE = "report.html.j2"

History = Sequence[Mapping[str, float | None]]

_ORDER = ("cross-source", "accounts", "posts", "photos", "same source")


class SourceSplit(Frozen):
    """How a source was split: photos trained on, and the others by the name of their split."""

    source: str
    trained: int
    others: dict[str, int]


class SetMistakes(Frozen):
    """The worst mistakes of the best method on one set."""

    kind: str
    name: str
    method: str
    mistakes: tuple[Mistake, ...]


class Report(Frozen):
    """All that is said of a bundle: what it is, and how it does on every labelled set.

    ``skipped`` names sets that could not be scored, with the reason.
    """

    bundle: BundleInfo
    written_at: datetime
    evaluations: tuple[SetEvaluation, ...]
    mistakes: tuple[SetMistakes, ...] = ()
    training: dict[str, list[dict[str, float | None]]] = Field(default_factory=dict)
    split: tuple[SourceSplit, ...] = ()
    skipped: dict[str, str] = Field(default_factory=dict)


class Section(Frozen):
    """What the page shows of one set."""

    evaluation: SetEvaluation
    drawings: tuple[Drawing, ...]
    mistakes: tuple[Mistake, ...]


def sort_evaluations(evaluations: Sequence[SetEvaluation]) -> list[SetEvaluation]:
    """Put sources that were never trained on first, and those that flatter last."""

    def rank(each: SetEvaluation) -> tuple[int, str]:
        key = each.kind if each.relation == "labelled" else each.relation
        return _ORDER.index(key), each.name

    return sorted(evaluations, key=rank)


def render_html(report: Report, maps: Sequence[Drawing] = ()) -> str:
    """Return the page: no script, nothing fetched, everything that people wrote escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("pipelines.evaluation", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=_percent, range=_range, number=_number, unit=_unit_range, chance=_chance
    )
    evaluations = sort_evaluations(report.evaluations)
    return environment.get_template(TEMPLATE).render(
        report=report,
        manifest=report.bundle.manifest,
        headline=write_headline(evaluations),
        evaluations=evaluations,
        overview=draw_overview(evaluations) if evaluations else None,
        sections=[_section(report, each, place) for place, each in enumerate(evaluations)],
        training=[draw_training(name, history) for name, history in report.training.items()],
        maps=maps,
        card=_card(report.bundle),
    )


def find_histories(
    metrics: Mapping[str, Any], name: str = "network"
) -> dict[str, list[dict[str, float | None]]]:
    """Return what a bundle's metrics tell epoch by epoch, by what was trained."""
    found: dict[str, list[dict[str, float | None]]] = {}
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            found |= find_histories(value, key)
        elif is_history(value):
            found[name] = [_numbers(entry) for entry in value]
    return found


def is_history(value: object) -> bool:
    """Whether something is a list with an entry an epoch."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(entry, Mapping) and "epoch" in entry for entry in value)
    )


def collect_drawings(report: Report, maps: Sequence[Drawing] = ()) -> list[Drawing]:
    """Return every figure of the page, for those who want them as files."""
    evaluations = sort_evaluations(report.evaluations)
    drawings = [draw_overview(evaluations)] if evaluations else []
    for place, each in enumerate(evaluations):
        drawings += _section(report, each, place).drawings
    drawings += [draw_training(name, history) for name, history in report.training.items()]
    return [*drawings, *maps]


def write_headline(evaluations: Sequence[SetEvaluation]) -> str:
    """Say in two sentences what the report comes to."""
    if not evaluations:
        return (
            "Nothing labelled could be scored. Import photos with another split than 'train', a "
            "source that was not trained on, or labels of posts and accounts."
        )
    cross = [each for each in evaluations if each.relation == "cross-source"]
    chosen = cross or list(evaluations)[:1]
    where = "On sources it never saw" if cross else "On what was labelled"
    figures = ", ".join(
        f"{_percent(each.best.top)} of {each.items} {each.kind} of {each.name} "
        f"({_range(each.best.top_interval)})"
        for each in chosen
    )
    sentences = [f"{where}, its likeliest class is right for {figures}."]
    if not cross:
        sentences.append(
            "No source was held out of training, so none of these figures says how it does on "
            "photos of another kind: import a source that training does not use."
        )
    for each in [each for each in evaluations if each.kind == "accounts"][:1]:
        scores = each.best.scores
        sentences.append(
            f"On the accounts of {each.name} the Hamming loss of {each.best.label} is "
            f"{_number(scores.hamming)} ({_unit_range(scores.hamming_interval)}); predicting "
            "nothing would give "
            f"{_number(scores.hamming_of_nothing)}."
        )
    return " ".join(sentences)


def _section(report: Report, each: SetEvaluation, place: int) -> Section:
    name = f"{place + 1}"
    names = dict.fromkeys(row.name for row in each.table.rows)
    drawings = [draw_class_bars(each, method) for method in names]
    if each.thresholds is not None:
        drawings.append(draw_thresholds(each.thresholds, name))
    if each.weights is not None:
        drawings.append(draw_weights(each.weights, name))
    if each.confusion is not None:
        drawings.append(draw_confusion(each.confusion, name))
    if each.tradeoffs:
        drawings.append(draw_tradeoffs(each.tradeoffs, name))
    if each.best.confidence is not None:
        drawings.append(draw_reliability(each.best.confidence, each.best.label, name))
        drawings.append(draw_risks(each.table.rows, name))
    mistakes = [
        mistake
        for found in report.mistakes
        if (found.kind, found.name) == (each.kind, each.name)
        for mistake in found.mistakes
    ]
    return Section(evaluation=each, drawings=tuple(drawings), mistakes=tuple(mistakes))


def _numbers(entry: Mapping[str, Any]) -> dict[str, float | None]:
    return {
        name: value
        for name, value in entry.items()
        if value is None or isinstance(value, int | float)
    }


def _card(info: BundleInfo) -> list[tuple[str, str]]:
    """Return what the bundle says of itself, as rows of name and value."""
    manifest = info.manifest
    text = manifest.text_model
    rows = [
        ("bundle", f"{info.id} ({info.state})"),
        ("trained", f"{manifest.created_at:%Y-%m-%d %H:%M} UTC, seed {manifest.seed}"),
        ("categories", ", ".join(manifest.classes) + (", and a reject class" * manifest.reject)),
        ("methods", ", ".join(manifest.methods)),
        ("learnt from", " and ".join(manifest.halves)),
        (
            "backbone",
            f"{manifest.backbone.name} ({manifest.backbone.width} wide, {manifest.backbone.hash})",
        ),
        ("text model", _name_text(text)),
        ("least probability of a post", f"{manifest.post_threshold:g}"),
        (
            "least share of an account's posts",
            ", ".join(f"{name} {share:.0%}" for name, share in manifest.share_thresholds.items()),
        ),
        ("posts for a verdict that is not provisional", str(manifest.min_posts)),
    ]
    rows += [(f"training: {name}", _words(value)) for name, value in manifest.training.items()]
    rows += [(f"held-out part: {name}", _words(value)) for name, value in manifest.metrics.items()]
    return [*rows, ("versions", _words(manifest.versions)), ("files", _words(manifest.files))]


def _name_text(text: TextModelRef | None) -> str:
    if text is None:
        return "none"
    package = f", comes with the package {text.package}" if text.package else ""
    return f"{text.name} ({text.width} wide, {text.hash}{package})"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"  # noqa: RUF001 - a dash for nothing


def _range(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval[0]:.0%} to {interval[1]:.0%}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"  # noqa: RUF001 - a dash for nothing


def _chance(p_value: float) -> str:
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"  # noqa: PLR2004 - as is usual


def _unit_range(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def _words(value: Any) -> str:
    """Say a value of a manifest in words, whatever its shape."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(part)}" for name, part in value.items()) or "none"
    if isinstance(value, list | tuple) and any(isinstance(part, Mapping) for part in value):
        return f"{len(value)} entries"
    if isinstance(value, list | tuple):
        return ", ".join(_words(part) for part in value) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
