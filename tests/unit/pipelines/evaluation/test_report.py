"""The page stands alone, says cross-source first, and escapes what people wrote."""

import csv
import io
import json
import re
from functools import cache
from html.parser import HTMLParser

import pytest

from pipelines.evaluation.exports import to_csv, to_json
from pipelines.evaluation.report import (
    Report,
    SourceSplit,
    find_histories,
    render_html,
    sort_evaluations,
    write_headline,
)
from tests.unit.pipelines.evaluation.builders import accounts_evaluation, evaluation, report

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


@cache
def page() -> str:
    """The page of the sample report; drawing it takes seconds."""
    return render_html(report())


class Page(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_page_needs_nothing_from_anywhere() -> None:
    text = page()
    assert not re.search(r"https?:|//[a-z]", text)
    parsed = Page(text)
    assert not {"script", "link", "iframe", "object"} & set(parsed.tags)
    for name, value in parsed.attributes:
        if name in {"src", "href", "xlink:href"}:
            assert (value or "").startswith(("#", "data:image/")), value


def test_cross_source_comes_first_and_what_flatters_last() -> None:
    order = [each.relation for each in sort_evaluations(report().evaluations)]
    assert order == ["cross-source", "labelled", "same source"]
    text = page()
    assert text.index("Photos of holidays") < text.index("Accounts of ana")
    assert text.index("Accounts of ana") < text.index("Photos of studio")
    assert text.index("<table>") < text.index("<svg")


def test_what_people_wrote_is_escaped_everywhere() -> None:
    text = render_html(report(name=HOSTILE, caption=HOSTILE))
    assert "<script" not in text
    parsed = Page(text)
    assert not any(name == "onerror" for name, _value in parsed.attributes)
    assert HOSTILE in "".join(parsed.words)


def test_the_headline_names_the_cross_source_figure_and_the_accounts() -> None:
    found = write_headline(sort_evaluations(report().evaluations))
    assert found.startswith("On sources it never saw, its likeliest class is right for")
    assert "of 60 photos of holidays" in found
    assert "Hamming loss" in found
    assert "predicting nothing would give" in found


def test_without_a_held_out_source_the_headline_says_what_is_missing() -> None:
    found = write_headline([evaluation("studio", "same source")])
    assert "No source was held out" in found
    assert "Nothing labelled" in write_headline([])


def test_a_bundle_that_could_not_be_scored_still_has_its_page() -> None:
    empty = Report.model_validate(
        {**report().model_dump(), "evaluations": (), "mistakes": (), "training": {}}
    )
    text = render_html(empty)
    assert "Nothing labelled could be scored" in text
    assert "posts of luis" in text
    assert to_csv(empty) == "bundle\n"


def test_the_json_holds_every_figure_and_no_thumbnail() -> None:
    document = json.loads(to_json(report()))
    assert "image" not in document["mistakes"][0]["mistakes"][0]
    for found in document["mistakes"]:
        for mistake in found["mistakes"]:
            mistake["image"] = None
    assert Report.model_validate(document) == report()


def test_the_csv_has_a_row_a_method_and_category_and_the_pages_figures() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(report()))))
    chosen = [row for row in rows if row["set"] == "holidays" and row["halves"] == "both"]
    assert [row["category"] for row in chosen] == ["*", "comida", "deporte"]
    scores = evaluation().table.rows[2].scores
    assert float(chosen[0]["hamming"]) == scores.hamming
    assert float(chosen[1]["precision"]) == scores.classes[0].precision
    assert rows[0]["set"] == "holidays"


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x"])
def test_no_name_becomes_a_formula_in_a_spreadsheet(name: str) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(report(name)))))
    assert f"'{name}" in {row["set"] for row in rows}


def test_the_model_card_says_how_each_source_was_split() -> None:
    split = SourceSplit(source="studio", trained=467, others={"test": 233})
    bare = {"split": (split,), "evaluations": (), "training": {}}
    text = render_html(report().model_copy(update=bare))
    assert "<td>studio</td><td>467</td><td>233 of “test”</td>" in text


def test_histories_are_found_wherever_a_bundle_keeps_them() -> None:
    epochs = [{"epoch": 1, "train_loss": 0.5, "note": "x"}]
    found = find_histories({"precision": 0.9, "epochs": epochs, "resnet": {"history": epochs}})
    assert found == {
        "network": [{"epoch": 1, "train_loss": 0.5}],
        "resnet": [{"epoch": 1, "train_loss": 0.5}],
    }


def test_accounts_say_what_a_threshold_chosen_on_one_half_gives_on_the_other() -> None:
    assert accounts_evaluation().thresholds is not None
    assert "chosen on one half of the accounts" in page()


def test_captions_with_and_without_the_tags_that_found_them_stand_side_by_side() -> None:
    plain = report()
    tags = {"samples": 41, "stripped": {"svm-text": 0.31}, "as_written": {"svm-text": 0.87}}
    manifest = plain.bundle.manifest.model_copy(
        update={"metrics": {"methods": {"query_tags": tags}}}
    )
    info = plain.bundle.model_copy(update={"manifest": manifest})
    text = render_html(plain.model_copy(update={"bundle": info}))
    found = re.search(r"<td>svm-text</td><td>([^<]*)</td><td>([^<]*)</td>", text)
    assert found is not None
    assert (found[1].startswith("31"), found[2].startswith("87")) == (True, True)
    assert 'id="query-tags"' not in render_html(plain)
