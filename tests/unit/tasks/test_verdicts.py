"""The body of a chord concludes an account from what is stored, or leaves it to the sweeper."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.bundle import Bundle
from schemas.runs import MemberState, RunState
from schemas.verdicts import StoredVerdict
from storage.accounts import PhotoPlace
from storage.members import count_members
from storage.runs import end_run
from storage.vectors import Unusable, read_text_vectors, save_image_vectors
from storage.verdicts import newest_verdicts, read_outcomes, run_verdicts
from tasks.context import Context
from tasks.verdicts import conclude, conclude_group
from tests.unit.storage.builders import new_post, photo
from tests.unit.tasks.builders import (
    BACKBONE,
    TEXT_WIDTH,
    add_account,
    keep_vectors,
    publish_toy_bundle,
    shows,
    start_run,
)
from tests.unit.tasks.sent import sent_messages

POSTS = [
    new_post("p1", caption="hola", photos=shows("a")),
    new_post("p2", photos=shows("b")),
    new_post("p3", caption="chao"),
    new_post("p4"),
]


@pytest.fixture
def bundle_id(resources: Context, tmp_path: Path) -> str:
    return publish_toy_bundle(resources, tmp_path)


@pytest.fixture
def ana(resources: Context) -> int:
    return add_account(resources, "ana", POSTS, photos=["a", "b"])


def verdicts(resources: Context, run_id: int) -> list[StoredVerdict]:
    with resources.database.read() as connection:
        return run_verdicts(connection, run_id)


def states(resources: Context, run_id: int) -> dict[MemberState, int]:
    with resources.database.read() as connection:
        found = count_members(connection, run_id)
    return {state: count for state, count in found.items() if count}


def test_an_account_with_all_its_vectors_is_concluded(
    resources: Context, bundle_id: str, ana: int
) -> None:
    keep_vectors(resources, bundle_id, photos=["a", "b"], captions=["hola", "chao"])
    run = start_run(resources, bundle_id, [ana])
    assert conclude(run.id, 0, ana) == "concluded=1"
    (stored,) = verdicts(resources, run.id)
    assert (stored.username, stored.bundle_id) == ("ana", bundle_id)
    (verdict,) = stored.verdicts
    assert (verdict.usable, verdict.lacking) == (3, 1)
    assert states(resources, run.id) == {MemberState.DONE: 1}


def test_every_post_keeps_its_outcome(resources: Context, bundle_id: str, ana: int) -> None:
    keep_vectors(resources, bundle_id, photos=["a", "b"], captions=["hola", "chao"])
    run = start_run(resources, bundle_id, [ana])
    conclude(run.id, 0, ana)
    with resources.database.read() as connection:
        outcomes = read_outcomes(connection, bundle_id, range(1, 5))
    assert [outcomes[number, "nn"].halves for number in range(1, 5)] == [
        "both",
        "image",
        "text",
        "none",
    ]


@pytest.mark.parametrize(
    ("photos", "captions"), [(["a"], ["hola", "chao"]), ([], ["hola", "chao"])]
)
def test_an_account_that_lacks_a_vector_is_left_to_the_sweeper(
    resources: Context, bundle_id: str, ana: int, photos: list[str], captions: list[str]
) -> None:
    keep_vectors(resources, bundle_id, photos=photos, captions=captions)
    run = start_run(resources, bundle_id, [ana])
    assert conclude(run.id, 0, ana) == "concluded=0 incomplete=1"
    assert verdicts(resources, run.id) == []
    assert states(resources, run.id) == {MemberState.IN_FLIGHT: 1}


def test_captions_that_lack_a_vector_are_embedded_with_the_conclusion_and_kept(
    resources: Context, bundle_id: str, ana: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Sequence[str]] = []
    ref = resources.bundle(bundle_id).manifest.text_model
    assert ref is not None

    class Model:
        def __init__(self) -> None:
            self.ref = ref

        def embed(self, captions: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
            asked.append(captions)
            vectors = np.full((len(captions), TEXT_WIDTH), 1 / 3, np.float32)
            return vectors, np.ones(len(captions), np.bool_)

    monkeypatch.setattr(Bundle, "text_models", (Model(),))
    keep_vectors(resources, bundle_id, photos=["a", "b"], captions=["chao"])
    run = start_run(resources, bundle_id, [ana])
    assert conclude(run.id, 0, ana) == "concluded=1"
    assert asked == [["hola"]]
    again = start_run(resources, bundle_id, [ana])
    assert conclude(again.id, 0, ana) == "concluded=1"
    assert asked == [["hola"]]
    first, second = verdicts(resources, run.id), verdicts(resources, again.id)
    assert first[0].verdicts == second[0].verdicts
    with resources.database.read() as connection:
        kept = read_text_vectors(connection, ref.hash, [photo("hola")])
    # Half precision, though the model gave a third: what is stored is what was judged by.
    np.testing.assert_array_equal(kept[photo("hola")], np.full(TEXT_WIDTH, 1 / 3, np.float16))


def test_a_photo_still_to_be_fetched_leaves_its_account_to_the_sweeper(
    resources: Context, bundle_id: str
) -> None:
    url = PhotoPlace(url="https://example.org/a.jpg")
    ana = add_account(resources, "ana", [new_post("p1", photos=[url])])
    run = start_run(resources, bundle_id, [ana])
    assert conclude(run.id, 0, ana) == "concluded=0 incomplete=1"


def test_photos_known_to_be_unusable_do_not_hold_an_account_up(
    resources: Context, bundle_id: str
) -> None:
    places = [*shows("a"), PhotoPlace(problem="truncated"), PhotoPlace(url="u", problem="dead")]
    ana = add_account(resources, "ana", [new_post("p1", photos=places)], photos=["a"])
    with resources.database.write() as connection:
        unusable = {photo("a"): Unusable(problem="broken")}
        save_image_vectors(connection, BACKBONE.hash, unusable)
    run = start_run(resources, bundle_id, [ana])
    assert conclude(run.id, 0, ana) == "concluded=1"
    assert verdicts(resources, run.id)[0].verdicts[0].lacking == 1


def test_an_account_without_posts_gets_an_empty_verdict(resources: Context, bundle_id: str) -> None:
    ana = add_account(resources, "ana", [])
    run = start_run(resources, bundle_id, [ana])
    assert conclude(run.id, 0, ana) == "concluded=1"
    (verdict,) = verdicts(resources, run.id)[0].verdicts
    assert (verdict.categories, verdict.usable, verdict.enough) == ((), 0, False)


def test_concluding_twice_leaves_one_verdict(resources: Context, bundle_id: str, ana: int) -> None:
    keep_vectors(resources, bundle_id, photos=["a", "b"], captions=["hola", "chao"])
    run = start_run(resources, bundle_id, [ana])
    for _ in range(2):
        assert conclude(run.id, 0, ana) == "concluded=1"
    assert len(verdicts(resources, run.id)) == 1


def test_a_group_concludes_those_in_its_range_that_lack_nothing(
    resources: Context, bundle_id: str, ana: int
) -> None:
    eva = add_account(resources, "eva", [new_post("p1", photos=shows("c"))], photos=["c"])
    luz = add_account(resources, "luz", [new_post("p1", caption="hola")])
    keep_vectors(resources, bundle_id, photos=["a", "b"], captions=["hola", "chao"])
    run = start_run(resources, bundle_id, [ana, eva, luz])
    assert conclude_group(run.id, 0, ana, eva) == "concluded=1 incomplete=1"
    assert [one.username for one in verdicts(resources, run.id)] == ["ana"]


def test_a_group_judges_each_account_as_it_would_be_judged_alone(
    resources: Context, bundle_id: str, ana: int
) -> None:
    luz = add_account(resources, "luz", [new_post("p1", caption="hola", photos=shows("a"))])
    keep_vectors(resources, bundle_id, photos=["a", "b"], captions=["hola", "chao"])
    together = start_run(resources, bundle_id, [ana, luz])
    conclude_group(together.id, 0, ana, luz)
    apart = start_run(resources, bundle_id, [ana, luz])
    for one in (ana, luz):
        conclude(apart.id, 0, one)
    both = [
        [stored.verdicts for stored in verdicts(resources, run.id)] for run in (together, apart)
    ]
    assert both[0] == both[1]


@pytest.mark.parametrize("generation", [-1, 1])
def test_a_message_of_another_generation_does_nothing(
    resources: Context, bundle_id: str, ana: int, generation: int
) -> None:
    keep_vectors(resources, bundle_id, photos=["a", "b"], captions=["hola", "chao"])
    run = start_run(resources, bundle_id, [ana])
    assert conclude(run.id, generation, ana) == "stale"
    assert verdicts(resources, run.id) == []


def test_a_message_of_a_cancelled_run_does_nothing(
    resources: Context, bundle_id: str, ana: int
) -> None:
    keep_vectors(resources, bundle_id, photos=["a", "b"], captions=["hola", "chao"])
    run = start_run(resources, bundle_id, [ana])
    with resources.database.write() as connection:
        end_run(connection, run.id, RunState.CANCELLED)
    assert conclude(run.id, 0, ana) == "stale"
    assert verdicts(resources, run.id) == []


def test_the_last_account_concluded_wakes_the_feeder(
    resources: Context, bundle_id: str, ana: int
) -> None:
    keep_vectors(resources, bundle_id, photos=["a", "b"], captions=["hola", "chao"])
    run = start_run(resources, bundle_id, [ana])
    conclude(run.id, 0, ana)
    assert [(one.task, one.args) for one in sent_messages()] == [("runs.feed", (run.id,))]


def test_an_altered_bundle_is_noted_and_concludes_nobody(
    resources: Context, bundle_id: str, ana: int, tmp_path: Path
) -> None:
    other = Context(resources.settings)
    network = tmp_path / "data" / "blobs" / "bundles" / bundle_id / "network.safetensors"
    network.write_bytes(b"other weights")
    run = start_run(other, bundle_id, [ana])
    resources._bundles.clear()
    assert "was altered" in conclude(run.id, 0, ana)
    with resources.database.read() as connection:
        assert newest_verdicts(connection) == []
    other.database.close()
