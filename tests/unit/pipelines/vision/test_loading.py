import numpy as np

from pipelines.vision.architectures import describe_network
from pipelines.vision.decode import decode_photo
from pipelines.vision.loading import LabelledPhotos, PhotoFeed, change_photo
from schemas.finetuning import PRESETS, FineTuning
from tests.unit.pipelines.vision.coloured import LIMITS, coloured, draw_coloured

TRANSFORM = describe_network("resnet34")[0].model_copy(update={"size": 32})
PARTS = [np.array([0, 3]), np.array([1]), np.array([2, 4, 5]), np.array([6]), np.array([7])]


def make_feed(photos: LabelledPhotos, hyper: FineTuning, cache_bytes: int = 0) -> PhotoFeed:
    return PhotoFeed(photos, TRANSFORM, hyper, device="cpu", threads=2, cache_bytes=cache_bytes)


def test_photos_come_in_order_and_as_the_backbone_sees_them() -> None:
    for batch, rows in zip(make_feed(coloured(8), FineTuning())(PARTS, (0, 0)), PARTS, strict=True):
        assert batch.rows.tolist() == rows.tolist()
        assert batch.labels.tolist() == (rows % 2).tolist()
        photo = decode_photo(draw_coloured(int(rows[0])), TRANSFORM, LIMITS) / 255
        expected = (photo - TRANSFORM.mean) / TRANSFORM.std
        np.testing.assert_allclose(batch.inputs[0].permute(1, 2, 0).numpy(), expected, atol=1e-5)


def test_an_unreadable_photo_weighs_nothing() -> None:
    (batch,) = make_feed(coloured(3, broken=(1,)), FineTuning())([np.arange(3)], None)
    assert batch.weights.tolist() == [1, 0, 1]


def test_a_photo_is_decoded_once_while_there_is_room() -> None:
    read: list[int] = []
    known = coloured(8)

    def count(row: int) -> bytes:
        read.append(row)
        return known.read(row)

    counted = LabelledPhotos(known.hashes, known.labels, count, LIMITS)
    room = 32 * 32 * 3
    feed = make_feed(counted, FineTuning(), cache_bytes=3 * room)
    for epoch in range(2):
        list(feed(PARTS, (0, epoch)))
    assert len(read) == 8 + 5


def test_changes_depend_on_seed_epoch_and_photo_alone() -> None:
    feed = make_feed(coloured(8), PRESETS["modern"])
    together = next(feed([np.arange(4)], (1, 2)))
    alone = next(feed([np.array([3])], (1, 2)))
    later = next(feed([np.array([3])], (1, 3)))
    assert (together.inputs[3] == alone.inputs[0]).all()
    assert (later.inputs[0] != alone.inputs[0]).any()


def test_held_out_photos_are_never_changed() -> None:
    plain = next(make_feed(coloured(2), FineTuning())([np.arange(2)], None))
    modern = next(make_feed(coloured(2), PRESETS["modern"])([np.arange(2)], None))
    assert (plain.inputs == modern.inputs).all()


def test_a_mirrored_photo_is_the_photo_mirrored() -> None:
    photo = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    hyper = FineTuning(flip=True)
    drawn = [change_photo(photo, hyper, np.random.default_rng(seed), 32) for seed in range(40)]
    mirrored = [bool((one == photo[:, ::-1]).all()) for one in drawn]
    assert all(found or (one == photo).all() for found, one in zip(mirrored, drawn, strict=True))
    assert 8 < sum(mirrored) < 32
