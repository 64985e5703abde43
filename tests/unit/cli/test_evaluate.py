"""afin evaluate and afin report on labelled sets, and afin models compare, all without workers."""

import html
import json
import re
from pathlib import Path

import pytest

from schemas.posts import Label, LabelKind
from storage.bundles import find_bundle
from storage.labels import add_labels
from storage.tables import bundles
from storage.training import NewExample, add_examples
from tasks.context import Context
from tests.pages import Visitor, serving
from tests.unit.cli.conftest import Afin
from tests.unit.storage import builders as rows
from tests.unit.tasks.builders import add_account, keep_vectors, publish_toy_bundle, shows

PHOTOS = ["p" * length for length in range(1, 13)]


@pytest.fixture
def bundle(resources: Context, tmp_path: Path) -> str:
    return publish_toy_bundle(resources, tmp_path)


@pytest.fixture
def labelled(resources: Context, bundle: str) -> str:
    """Twelve photos of a source and the posts of four accounts, all labelled, with vectors."""
    with resources.database.write() as connection:
        add_examples(
            connection,
            [
                NewExample(
                    source="holidays",
                    photo_sha256=rows.add_photo(connection, name),
                    category=("comida", "deporte", "otra")[place % 3],
                    split="test",
                    caption="",
                )
                for place, name in enumerate(PHOTOS)
            ],
        )
    truths = ("comida", "deporte")
    for place, username in enumerate(("ana", "eva", "leo", "luz")):
        posts = [
            rows.new_post(f"{n}", caption="rico" * n, photos=shows(PHOTOS[place * 3 + n]))
            for n in range(3)
        ]
        add_account(resources, username, posts)
        label(resources, "account", username, truths[place % 2])
        for n in range(3):
            label(resources, "post", f"{username}/{n}", truths[(place + n) % 2])
    keep_vectors(resources, bundle, photos=PHOTOS, captions=["rico" * n for n in (1, 2)])
    return bundle


def label(resources: Context, kind: LabelKind, target: str, *names: str) -> None:
    with resources.database.write() as connection:
        add_labels(connection, [Label(kind=kind, id=target, categories=names, labeller="team")])


def test_photos_of_a_source_are_scored_by_every_method(afin: Afin, labelled: str) -> None:
    found = afin("evaluate", "--photos", "holidays", "--json").document
    assert (found["bundle"], found["items"], found["relation"]) == (labelled, 12, "cross-source")
    (row,) = found["table"]["rows"]
    assert (row["name"], row["halves"]) == ("nn", "image")
    assert 0 <= row["exact_interval"][0] <= row["exact"] <= row["exact_interval"][1] <= 1


def test_posts_are_scored_by_image_by_text_and_by_both(afin: Afin, labelled: str) -> None:
    found = afin("evaluate", "--posts", "team", "--json").document
    assert [row["halves"] for row in found["table"]["rows"]] == ["image", "text", "both"]
    assert (found["table"]["items"], found["table"]["groups"]) == (12, 4)
    assert sum(row["best"] for row in found["table"]["rows"]) == 1
    assert found["weights"]["items"] == 8


def test_accounts_are_scored_with_thresholds_swept(afin: Afin, labelled: str) -> None:
    found = afin("evaluate", "--accounts", "all", "--json").document
    assert (found["kind"], found["items"]) == ("accounts", 4)
    assert len(found["thresholds"]["thresholds"]) == 101


def test_people_get_a_table_and_what_they_need_to_read_it(afin: Afin, labelled: str) -> None:
    answer = afin("evaluate", "--posts", "team")
    assert answer.code == 0
    assert "nn · both" in answer.out
    assert "predicting nothing" in answer.err


def test_two_sets_at_once_are_wrong_use(afin: Afin, labelled: str) -> None:
    answer = afin("evaluate", "--photos", "holidays", "--posts", "team")
    assert answer.code == 2
    assert "One set at a time" in answer.sentence


def test_a_set_that_is_not_there_is_answered_with_those_that_are(afin: Afin, labelled: str) -> None:
    answer = afin("evaluate", "--posts", "nobody", "--json")
    assert answer.code == 1
    assert "there are: team" in answer.document["error"]


def test_missing_vectors_of_a_backbone_nobody_has_are_told_in_a_sentence(
    afin: Afin, resources: Context, labelled: str
) -> None:
    with resources.database.write() as connection:
        rows.add_photo(connection, "new")
    label(resources, "photo", rows.photo("new"), "comida")
    answer = afin("evaluate", "--photos", "team", "--json")
    assert answer.code == 2
    assert "Unknown backbone 'toy'" in answer.document["error"]


def test_a_report_is_one_page_with_json_and_csv_beside_it(
    afin: Afin, labelled: str, tmp_path: Path
) -> None:
    page = tmp_path / "out" / "r.html"
    answer = afin("report", "--out", page, "--figures", tmp_path / "svg", "--json")
    assert answer.code == 0, answer.err
    assert answer.document["bundle"] == labelled
    text = page.read_text("utf-8")
    assert not re.search(r"https?:", text)
    assert labelled in text
    document = json.loads(page.with_suffix(".json").read_text("utf-8"))
    assert {each["kind"] for each in document["evaluations"]} == {"photos", "posts", "accounts"}
    assert page.with_suffix(".csv").read_text("utf-8").startswith("bundle,set,kind")
    assert (tmp_path / "svg" / "map-image.svg").read_text("utf-8").startswith("<svg")


def test_the_report_is_shown_on_the_page_of_its_bundle(
    afin: Afin, resources: Context, labelled: str, tmp_path: Path
) -> None:
    with serving(resources) as base:
        visitor = Visitor(base)
        missing = visitor.get(f"/models/{labelled}/report")
        assert missing.status == 404
        assert f"afin report {labelled}" in html.unescape(missing.text)
        assert f"afin report {labelled}" in visitor.get(f"/models/{labelled}").text
        page = tmp_path / "r.html"
        assert afin("report", "--out", page, "--points", "0").code == 0
        assert f'href="/models/{labelled}/report"' in visitor.get(f"/models/{labelled}").text
        shown = visitor.get(f"/models/{labelled}/report")
    assert shown.body == page.read_bytes()
    policy = shown.headers.get_all("Content-Security-Policy")
    assert policy is not None
    # Its own style, and nothing that could run.
    assert len(policy) == 1
    assert policy[0].startswith("sandbox; default-src 'none'; style-src 'unsafe-inline'")
    assert "script-src" not in policy[0]
    assert shown.headers["X-Content-Type-Options"] == "nosniff"


def test_a_report_that_cannot_be_written_is_wrong_use(
    afin: Afin, labelled: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    answer = afin("report", "--out", tmp_path / "file" / "r.html", "--points", "0")
    assert answer.code == 2
    assert "--out" in answer.err.splitlines()[-1]
    assert "--out a name in .html" in afin("report", "--out", tmp_path / "r.csv").sentence


@pytest.fixture
def rival(resources: Context, labelled: str, tmp_path: Path) -> str:
    """A bundle of the same backbone that judges by photos alone."""
    (tmp_path / "rival").mkdir()
    return publish_toy_bundle(resources, tmp_path / "rival", with_text=False)


def test_two_bundles_stand_side_by_side_on_the_same_posts(
    afin: Afin, labelled: str, rival: str
) -> None:
    found = afin("models", "compare", labelled, rival, "--json").document
    assert [one["bundle"] for one in found["bundles"]] == [labelled, rival]
    table = found["evaluation"]["table"]
    assert {row["name"] for row in table["rows"]} == {f"{labelled} nn", f"{rival} nn"}
    others = [row["difference"] for row in table["rows"] if not row["best"]]
    assert all(0 <= one["p_value"] <= one["p_adjusted"] <= 1 for one in others)


def test_bundles_are_compared_on_the_set_that_was_named(
    afin: Afin, labelled: str, rival: str
) -> None:
    for option, items in (("--photos=holidays", 12), ("--accounts=team", 4)):
        found = afin("models", "compare", labelled, rival, option, "--json").document
        assert found["evaluation"]["items"] == items
    assert f"{rival} nn · image" in afin("models", "compare", labelled, rival).out


def test_a_bundle_is_not_compared_with_itself(afin: Afin, labelled: str) -> None:
    answer = afin("models", "compare", labelled, labelled)
    assert answer.code == 2
    assert "name two bundles" in answer.sentence


def test_bundles_without_a_common_category_cannot_be_compared(
    afin: Afin, resources: Context, labelled: str, rival: str
) -> None:
    with resources.database.write() as connection:
        manifest = find_bundle(connection, rival).manifest.model_copy(update={"classes": ("arte",)})
        connection.execute(
            bundles.update()
            .where(bundles.c.id == rival)
            .values(manifest=manifest.model_dump(mode="json"))
        )
    answer = afin("models", "compare", labelled, rival)
    assert answer.code == 2
    assert "no category in common" in answer.sentence


def test_without_anything_labelled_a_comparison_says_what_to_import(
    afin: Afin, resources: Context, bundle: str, tmp_path: Path
) -> None:
    (tmp_path / "rival").mkdir()
    other = publish_toy_bundle(resources, tmp_path / "rival", with_text=False)
    answer = afin("models", "compare", bundle, other)
    assert answer.code == 2
    assert "'afin import labels'" in answer.sentence


def test_rolling_back_brings_the_bundle_before_back(afin: Afin, labelled: str, rival: str) -> None:
    afin("models", "promote", rival)
    document = afin("models", "rollback", "--json").document
    assert (document["bundle"], document["state"]) == (labelled, "active")
    assert document["instead_of"] == rival
    answer = afin("models", "rollback")
    assert answer.code == 1
    assert "No bundle was active before" in answer.sentence
