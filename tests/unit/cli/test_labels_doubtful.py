"""afin labels doubtful: from a store with wrong labels to a list, and to the Review page."""

import pytest

from storage.doubts import count_doubts
from tasks.context import Context
from tests.unit.cli.conftest import Afin
from tests.unit.tasks.test_doubts import WRONG, misfile
from tests.unit.tasks.training import CLASSES, add_photos_of, train


@pytest.fixture
def trained(resources: Context) -> Context:
    for category in CLASSES:
        add_photos_of(resources, category, 40)
    misfile(resources)
    train(resources, methods=("nn",))
    return resources


def test_doubtful_labels_are_listed_and_sent_when_asked(afin: Afin, trained: Context) -> None:
    document = afin("labels", "doubtful", "--json").document
    assert document["looked_at"] == 160
    assert document["sent_to_review"] is None
    assert WRONG in {one["target"] for one in document["doubts"]}
    table = afin("labels", "doubtful", "--limit", "1")
    assert table.out.count("photo") == 1
    assert "--send-to-review" in table.err
    with trained.database.read() as connection:
        assert count_doubts(connection) == 0
    sent = afin("labels", "doubtful", "--send-to-review", "--json").document
    assert sent["sent_to_review"] == len(document["doubts"])
    assert afin("labels", "doubtful", "--send-to-review", "--json").document["sent_to_review"] == 0
    with trained.database.read() as connection:
        assert count_doubts(connection) == len(document["doubts"])


def test_without_a_bundle_it_says_what_to_do(afin: Afin) -> None:
    answer = afin("labels", "doubtful")
    assert answer.code == 1
    assert "afin train" in answer.sentence
