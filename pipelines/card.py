"""The model card of a bundle: what it is, what it learnt from, how good it is, where it is not."""

from collections.abc import Mapping
from typing import Any

Rows = list[list[str]]


def write_card(fields: Mapping[str, Any]) -> str:
    """Return a model card in Markdown from the fields of a manifest, files and id aside.

    After Mitchell et al. 2019, "Model Cards for Model Reporting".
    """
    training = fields["training"]
    lines = [
        "# Model card",
        "",
        f"Made {fields['created_at']:%Y-%m-%d %H:%M} UTC with seed {fields['seed']}. It tells what",
        "Instagram posts and accounts are about, by their photos and captions.",
        "",
        "## What it tells apart",
        "",
        f"Categories: {', '.join(fields['classes'])}."
        + (" Photos of none of them are rejected (otra)." if fields["reject"] else ""),
        *_say_left_out(training.get("left_out", {})),
        "",
        "## Made of",
        "",
        *_table(["part", "which"], _list_parts(fields)),
        "",
        "## Learnt from",
        "",
        *_table(
            ["class", "samples"],
            [[name, str(count)] for name, count in training.get("samples", {}).items()],
        ),
        "",
        *_describe_split(fields.get("split", {})),
        "",
        "## How good it is",
        "",
        *_describe_scores(fields["metrics"]),
        "",
        "## Use with care",
        "",
        "- Figures on validation samples are from the same sources as the training; weight and",
        "  thresholds were fitted on them. Other sources, and other years, are harder.",
        "- It says nothing of who somebody is, and must not be used to decide about people.",
        "- A share rests on the posts that were seen; with few posts its interval is wide.",
        "",
    ]
    return "\n".join(lines)


def _say_left_out(left_out: Mapping[str, int]) -> list[str]:
    if not left_out:
        return []
    listed = ", ".join(f"{name} ({count})" for name, count in left_out.items())
    return ["", f"It abstains from categories with too little data (samples): {listed}."]


def _list_parts(fields: Mapping[str, Any]) -> Rows:
    backbone = fields["backbone"]
    rows = [["backbone", f"{backbone['name']} ({backbone['hash']})"]]
    for name in ("text_model", "supervised_model"):
        ref = fields.get(name)
        if ref is not None:
            from_package = f", comes with {ref.package}" if ref.package else ""
            rows.append([name.replace("_", " "), f"{ref.name} ({ref.hash}){from_package}"])
    for method in fields["methods"]:
        recipe = fields.get("recipes", {}).get(method)
        made = "network" if recipe is None else " + ".join(recipe.heads)
        if recipe is not None and recipe.image_weight is not None:
            made += f", image weighs {recipe.image_weight:.2f}"
        rows.append([f"method {method}", made])
        if recipe is not None and recipe.abstains:
            silent = "; ".join(f"{name}: {why}" for name, why in recipe.abstains.items())
            rows.append([f"{method} abstains", silent])
    return rows


def _describe_split(split: Mapping[str, Any]) -> list[str]:
    if not split:
        return []
    source, day = split.get("holdout_source"), split.get("holdout_after")
    held = " and of ".join(part for part in (source, day and f"{day} or later") if part)
    return [
        f"{split['fit']} samples were fitted on and {split['validation']} held back to choose and "
        f"calibrate; {split['groups']} groups of one author, one photo, or photos that look alike "
        "stayed on one side."
        + (f" {split['holdout']} samples of {held} were kept out altogether." if held else "")
    ]


def _describe_scores(metrics: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for part, title in (("holdout", "On a source never learnt from"), ("validation", "Validation")):
        rows = [
            [
                method,
                str(found["samples"]),
                _percent(found["top"]),
                _percent(found["macro_f1"]),
                f"{found['hamming']:.3f} ({found['hamming_of_nothing']:.3f})",
                _percent(found["coverage"]),
                _percent(found["calibration_error"]),
            ]
            for method, found in metrics.get("methods", {}).get(part, {}).items()
        ]
        if rows:
            headers = ["method", "samples", "top class right", "macro-F1", "Hamming (of nothing)"]
            lines += [f"{title}:", "", *_table([*headers, "coverage", "ECE"], rows), ""]
    lines += _describe_tags(metrics.get("methods", {}).get("query_tags", {}))
    return lines or ["Nothing could be held out to measure it."]


def _describe_tags(tags: Mapping[str, Any]) -> list[str]:
    """Say how much of what captions tell is the tag that their posts were found by."""
    if not tags:
        return []
    rows = [
        [name, _percent(right), _percent(tags["as_written"][name])]
        for name, right in tags["stripped"].items()
    ]
    title = f"By {tags['samples']} captions alone, without the tags their posts were found by:"
    headers = ["classifier", "top class right", "with those tags"]
    return [title, "", *_table(headers, rows), ""]


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _table(headers: list[str], rows: Rows) -> list[str]:
    cells = [headers, ["---"] * len(headers), *rows]
    return ["| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in cells]
