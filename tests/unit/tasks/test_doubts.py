"""Doubted labels: found in a store, sent to review, settled, and trained on no more."""

from collections.abc import Iterator

import pytest
from sqlalchemy import insert, select, update

from schemas.errors import NotFoundError, UsageError
from storage.crawl_tables import tagged_posts
from storage.doubts import add_doubts, count_doubts, next_doubt, settle_doubt
from storage.labelled import read_source
from storage.labels import read_said, read_truth
from storage.tables import training_examples
from storage.tagged import newest_tagged, read_tagged
from storage.training import NewExample, add_examples, newest_example, read_examples
from tasks.context import Context, context
from tasks.doubts import DoubtReport, doubt_labels
from tasks.labelling import read_believed
from tests.adopted import adopted
from tests.unit.tasks.training import CLASSES, WORDS, add_photos_of, add_tagged, sha, train

WRONG = sha("dev deporte 3")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    """Labelled photos of which one is filed wrongly, tagged posts, and a bundle."""
    with adopted(
        {
            "AFIN_DATA_DIR": str(tmp_path_factory.mktemp("doubts") / "data"),
            "AFIN_BROKER_URL": "memory://",
            "AFIN_RESULT_URL": "cache+memory://",
        }
    ):
        resources = context()
        for category in CLASSES:
            add_photos_of(resources, category, 40)
        misfile(resources)
        for category in CLASSES[:-1]:
            add_tagged(resources, category, category, 6, author=f"ana-{category}")
        add_tagged(resources, "moda", "comida", 4, author="mentira")
        # Neither their photos nor their words are what their tag says.
        with resources.database.write() as connection:
            lies = update(tagged_posts).where(tagged_posts.c.username == "mentira")
            connection.execute(lies.values(caption=WORDS["comida"]))
        train(resources, methods=("nn",))
        yield resources


def misfile(resources: Context) -> None:
    """Let a photo of sport have the label of fashion."""
    with resources.database.write() as connection:
        columns = training_examples.c
        row = connection.execute(
            select(training_examples).where(columns.photo_sha256 == WRONG)
        ).one()
        connection.execute(
            training_examples.update().where(columns.id == row.id).values(category="moda")
        )


@pytest.fixture(scope="module")
def report(trained: Context) -> DoubtReport:
    return doubt_labels(trained)


def labels_of(resources: Context, sha256: str, until: int | None = None) -> list[str]:
    with resources.database.read() as connection:
        newest = newest_example(connection) if until is None else until
        found = read_examples(connection, CLASSES, until=newest)
    return [one.category for one in found if one.photo_sha256 == sha256]


def test_wrong_labels_of_photos_and_posts_are_found(report: DoubtReport) -> None:
    found = {(one.kind, one.target): one for one in report.doubts}
    photo = found["photo", WRONG]
    assert (photo.given, photo.suggested) == ("moda", "deporte")
    assert photo.given_probability < photo.suggested_probability
    lies = [one for one in report.doubts if "mentira" in one.target]
    assert {(one.kind, one.given, one.suggested) for one in lies} == {("post", "moda", "comida")}
    assert report.looked_at == 4 * 40 + 3 * 6 + 4
    assert len(report.doubts) <= 15


def test_without_a_bundle_there_is_nothing_to_doubt_by(resources: Context) -> None:
    with pytest.raises(NotFoundError):
        doubt_labels(resources)


def test_a_settled_label_is_what_training_learns_from_then_on(
    trained: Context, report: DoubtReport
) -> None:
    with trained.database.read() as connection:
        before = newest_example(connection)
    own = [one for one in report.doubts if one.target == WRONG]
    with trained.database.write() as connection:
        assert add_doubts(connection, own) == 1
        assert add_doubts(connection, own) == 0
        doubt = next_doubt(connection, "vera")
        assert doubt is not None
        assert (doubt.photos, doubt.sources, doubt.given) == ((WRONG,), ("dev",), "moda")
        assert settle_doubt(connection, doubt.id, reviewer="vera", decision="skip") == "skipped"
        assert next_doubt(connection, "vera") is None
        other = next_doubt(connection, "luz")
        assert other is not None
        fate = settle_doubt(
            connection, other.id, reviewer="luz", decision="correct", categories=("deporte",)
        )
        assert fate == "relabelled"
        assert count_doubts(connection) == 0
    assert labels_of(trained, WRONG) == ["deporte"]
    # A run that began before goes on with what it began with.
    assert labels_of(trained, WRONG, until=before) == ["moda"]
    with trained.database.read() as connection:
        assert read_said(connection, "photo")["review:luz"][WRONG] == {"deporte"}
        assert WRONG not in read_truth(connection, "photo")
        filed = [row.category for row in read_source(connection, "dev") if row.sha256 == WRONG]
    assert filed == ["deporte"]
    assert WRONG not in {one.target for one in doubt_labels(trained).doubts}


def test_importing_the_wrong_label_again_does_not_bring_it_back(
    trained: Context, report: DoubtReport
) -> None:
    target = sha("dev comida 1")
    doubt = report.doubts[0].model_copy(
        update={"kind": "photo", "target": target, "given": "comida", "suggested": "moda"}
    )
    with trained.database.write() as connection:
        add_doubts(connection, [doubt])
        waiting = next_doubt(connection, "vera")
        assert waiting is not None
        settle_doubt(connection, waiting.id, reviewer="vera", decision="correct")
        wrong = NewExample(
            source="dev", photo_sha256=target, category="comida", split="train", caption=""
        )
        add_examples(connection, [wrong])
    assert labels_of(trained, target) == ["otra"]


def test_a_confirmed_label_stays_and_is_not_doubted_again(
    trained: Context, report: DoubtReport
) -> None:
    target = sha("dev comida 2")
    doubt = report.doubts[0].model_copy(
        update={"kind": "photo", "target": target, "given": "comida", "suggested": "moda"}
    )
    with trained.database.write() as connection:
        add_doubts(connection, [doubt])
        waiting = next_doubt(connection, "vera")
        assert waiting is not None
        fate = settle_doubt(connection, waiting.id, reviewer="vera", decision="accept")
        assert fate == "confirmed"
        assert add_doubts(connection, [doubt]) == 0
        assert next_doubt(connection, "vera") is None
    assert labels_of(trained, target) == ["comida"]


def test_a_corrected_tagged_post_is_believed_whatever_its_tag_says(
    trained: Context, report: DoubtReport
) -> None:
    own = [one for one in report.doubts if "mentira" in one.target][:1]
    name = own[0].target
    with trained.database.write() as connection:
        add_doubts(connection, own)
        waiting = next_doubt(connection, "vera")
        assert waiting is not None
        assert waiting.sources == ("instagram",)
        assert len(waiting.photos) == 1
        settle_doubt(
            connection, waiting.id, reviewer="vera", decision="correct", categories=("comida",)
        )
        posts = read_tagged(connection, CLASSES[:-1], until=newest_tagged(connection))
    (post,) = [one for one in posts if one.name == name]
    assert (post.category, post.settled) == ("comida", True)
    outputs, _endings = train(trained, methods=("nn",))
    assert post.id in read_believed(trained, outputs)


def test_what_is_gone_is_passed_over(trained: Context, report: DoubtReport) -> None:
    gone = report.doubts[0].model_copy(update={"kind": "photo", "target": "f" * 64})
    with trained.database.write() as connection:
        add_doubts(connection, [gone])
        assert next_doubt(connection, "vera") is None


def test_unknown_doubts_and_categories_are_refused(trained: Context, report: DoubtReport) -> None:
    with trained.database.write() as connection:
        with pytest.raises(NotFoundError, match="load the page again"):
            settle_doubt(connection, 999, reviewer="vera", decision="accept")
        add_doubts(connection, [report.doubts[-1]])
        with pytest.raises(UsageError, match="Unknown category"):
            settle_doubt(connection, 1, reviewer="vera", decision="correct", categories=("pesca",))


def test_a_photo_with_both_labels_is_not_doubted(trained: Context) -> None:
    target = sha("dev deporte 5")
    with trained.database.write() as connection:
        connection.execute(
            insert(training_examples).values(
                source="dev", photo_sha256=target, category="moda", split="train", caption=""
            )
        )
    assert target not in {one.target for one in doubt_labels(trained).doubts}
