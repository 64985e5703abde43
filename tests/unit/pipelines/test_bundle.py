import datetime as dt
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skops.io import dumps

from pipelines import bundle
from pipelines.bundle import read_bundle, write_bundle
from pipelines.fusion.network import InputScale, Network
from pipelines.fusion.reduce import Reducer, fit_reducer
from pipelines.fusion.svm import SvmHyper, train_svm
from pipelines.text.fasttext import train_text_model
from pipelines.verdict import PostVectors
from schemas.bundles import BackboneRef, HeadRef, MethodRecipe, TextModelRef
from schemas.errors import BundleError

RNG = np.random.default_rng(0)
VECTORS = RNG.normal(size=(20, 6)).astype(np.float32)
REDUCER = fit_reducer(VECTORS, 3)
CREATED = dt.datetime(2026, 1, 5, 12, 30, 15, 123456, tzinfo=dt.UTC)


def make_network(outputs: int = 3) -> Network:
    weights = np.random.default_rng(1).normal(size=(7, outputs)).astype(np.float32)
    return Network(
        InputScale(np.zeros(3, np.float32), 1.0),
        InputScale(np.zeros(4, np.float32), 2.0),
        ((weights, np.zeros(outputs, np.float32)),),
        ("image", "text"),
    )


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TextModelRef]:
    path = tmp_path_factory.mktemp("text") / "any-name.bin"
    return path, train_text_model(["rica comida", "rica comida casera"], path, width=4, epochs=1)


@pytest.fixture
def fields(text: tuple[Path, TextModelRef]) -> dict[str, Any]:
    return {
        "classes": ("animal", "comida"),
        "reject": True,
        "halves": ("image", "text"),
        "backbone": BackboneRef(name="toy", hash="abc", width=6),
        "text_model": text[1],
        "methods": ("nn",),
        "post_threshold": 0.4,
        "share_thresholds": {"animal": 0.28, "comida": 0.3},
        "min_posts": 5,
        "training": {"photos": 20, "título": "ñandú"},
        "metrics": {"precision": 0.1 + 0.2, "none": None},
        "versions": {"afin": "0.1.0"},
        "seed": 1,
        "created_at": CREATED,
    }


Write = Callable[..., tuple[str, Path]]


@pytest.fixture
def write(tmp_path: Path, fields: dict[str, Any], text: tuple[Path, TextModelRef]) -> Write:
    def write(**changes: Any) -> tuple[str, Path]:
        models: dict[str, Any] = {
            "reducer": REDUCER,
            "network": make_network(),
            "text_model_path": text[0],
            "extras": {},
        }
        models |= {name: changes.pop(name) for name in list(changes) if name in models}
        return write_bundle(tmp_path / "bundles", fields | changes, **models)

    return write


def test_what_was_written_is_read_back(write: Write, fields: dict[str, Any]) -> None:
    bundle_id, path = write()
    again = read_bundle(path)
    assert again.id == path.name == bundle_id
    several = {"heads", "recipes", "split", "supervised_model"}
    assert again.manifest.model_dump(exclude={"files", "format", *several}) == {
        **fields,
        "backbone": fields["backbone"].model_dump(),
        "text_model": fields["text_model"].model_dump(),
    }
    assert again.reducer is not None
    assert np.array_equal(again.reducer.transform(VECTORS), REDUCER.transform(VECTORS))
    half, words = VECTORS[:, :3], VECTORS[:, :4]
    assert np.array_equal(again.network.predict(half, words), make_network().predict(half, words))


def test_the_text_model_is_loaded_when_asked_for(
    write: Write, text: tuple[Path, TextModelRef]
) -> None:
    opened = read_bundle(write()[1])
    assert "text_model" not in vars(opened)
    assert opened.text_model is not None
    assert opened.text_model.ref == text[1]
    assert opened.text_model is opened.text_model


def test_a_bundle_judges_and_concludes(write: Write) -> None:
    opened = read_bundle(write(post_threshold=0.0)[1])
    posts = PostVectors(
        [7, 8], VECTORS[:1], np.array([0]), np.zeros((2, 4), np.float32), np.zeros(2, np.bool_)
    )
    outcomes = opened.judge(posts)
    assert [(outcome.post_id, outcome.halves) for outcome in outcomes] == [
        (7, "image"),
        (8, "none"),
    ]
    verdict = opened.conclude(outcomes)
    assert (verdict.method, verdict.usable, verdict.lacking) == ("nn", 1, 1)


def test_the_id_is_the_hash_of_the_canonical_manifest(write: Write) -> None:
    bundle_id, path = write()
    raw = json.loads((path / "manifest.json").read_text("utf-8"))
    canonical = json.dumps(raw, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert bundle_id == hashlib.sha256(canonical.encode()).hexdigest()[:12]


def test_the_same_input_gives_the_same_bundle_once(write: Write) -> None:
    first, path = write()
    assert write() == (first, path)
    assert [entry.name for entry in path.parent.iterdir()] == [first]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 2},
        {"post_threshold": 0.41},
        {"created_at": CREATED + dt.timedelta(seconds=1)},
        {"versions": {"afin": "0.2.0"}},
        {"reducer": Reducer(REDUCER.mean + 1, REDUCER.scale, REDUCER.components)},
    ],
)
def test_any_difference_gives_another_id(write: Write, change: dict[str, Any]) -> None:
    assert write()[0] != write(**change)[0]


def test_other_users_of_the_machine_can_read_a_bundle(write: Write) -> None:
    assert write()[1].stat().st_mode & 0o755 == 0o755


@pytest.mark.parametrize("name", ["reducer.safetensors", "network.safetensors", "text.bin"])
def test_an_altered_file_is_refused_by_name(write: Write, name: str) -> None:
    file = write()[1] / name
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleError, match=f"{name} was altered"):
        read_bundle(file.parent)


@pytest.mark.parametrize("name", ["reducer.safetensors", "network.safetensors", "text.bin"])
def test_a_missing_file_is_refused_by_name(write: Write, name: str) -> None:
    path = write()[1]
    (path / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        read_bundle(path)


def test_a_link_in_place_of_a_file_is_refused(write: Write, tmp_path: Path) -> None:
    file = write()[1] / "text.bin"
    shutil.move(file, tmp_path / "elsewhere.bin")
    file.symlink_to(tmp_path / "elsewhere.bin")
    with pytest.raises(BundleError, match=r"text\.bin was altered"):
        read_bundle(file.parent)


def test_an_extra_file_is_refused_by_name(write: Write) -> None:
    path = write()[1]
    (path / "notes.txt").write_text("hello")
    with pytest.raises(BundleError, match=r"notes\.txt is not part"):
        read_bundle(path)


def test_a_folder_without_manifest_is_no_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="is not a bundle"):
        read_bundle(tmp_path)


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b'"format"'])
def test_a_manifest_that_is_no_json_object_is_refused(write: Write, content: bytes) -> None:
    path = write()[1]
    (path / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.json"):
        read_bundle(path)


@pytest.mark.parametrize("field", ["created_at", "versions", "post_threshold", "share_thresholds"])
def test_an_altered_manifest_is_refused(write: Write, field: str) -> None:
    path = write()[1]
    raw = json.loads((path / "manifest.json").read_text("utf-8"))
    raw[field] = {"created_at": "2027-01-01T00:00:00Z", "post_threshold": 0.9}.get(field, {})
    (path / "manifest.json").write_text(json.dumps(raw))
    with pytest.raises(BundleError, match=r"manifest\.json was altered"):
        read_bundle(path)


def rewrite_manifest(path: Path, **changes: Any) -> Path:
    """Alter a manifest and name the folder accordingly, as a forger would."""
    raw = json.loads((path / "manifest.json").read_text("utf-8")) | changes
    (path / "manifest.json").write_text(json.dumps(raw))
    canonical = json.dumps(raw, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return path.rename(path.with_name(hashlib.sha256(canonical.encode()).hexdigest()[:12]))


def test_a_later_format_is_refused(write: Write) -> None:
    path = rewrite_manifest(write()[1], format=2)
    with pytest.raises(BundleError, match="format 2"):
        read_bundle(path)


def test_a_manifest_with_what_json_has_no_word_for_is_refused(write: Write) -> None:
    path = rewrite_manifest(write()[1], metrics={"loss": float("nan")})
    with pytest.raises(BundleError, match="JSON"):
        read_bundle(path)


def test_an_unknown_field_is_refused(write: Write) -> None:
    path = rewrite_manifest(write()[1], surprise=1)
    with pytest.raises(BundleError, match="surprise"):
        read_bundle(path)


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/hostname", "a/b", "a\\b", "..", ".", "", "manifest.json", "a\0b"]
)
def test_a_file_name_that_leaves_the_folder_is_refused(write: Write, name: str) -> None:
    path = rewrite_manifest(write()[1], files={name: "0" * 64})
    with pytest.raises(BundleError, match="no bundle may have"):
        read_bundle(path)


def test_a_manifest_without_its_network_is_refused(write: Write) -> None:
    path = write()[1]
    (path / "network.safetensors").unlink()
    files = json.loads((path / "manifest.json").read_text("utf-8"))["files"]
    path = rewrite_manifest(path, files={k: v for k, v in files.items() if "network" not in k})
    with pytest.raises(BundleError, match="lacks network"):
        read_bundle(path)


@pytest.mark.parametrize("content", [b"", b"junk" * 20])
def test_a_network_that_is_no_safetensors_file_is_refused(write: Write, content: bytes) -> None:
    path = write()[1]
    (path / "network.safetensors").write_bytes(content)
    files = json.loads((path / "manifest.json").read_text("utf-8"))["files"]
    files["network.safetensors"] = hashlib.sha256(content).hexdigest()
    path = rewrite_manifest(path, files=files)
    with pytest.raises(BundleError, match=r"network\.safetensors does not hold"):
        read_bundle(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"network": make_network(4)}, "3 classes"),
        ({"reject": False}, "2 classes"),
        ({"halves": ("image",)}, "halves image"),
        ({"share_thresholds": {"animal": 0.3}}, "share threshold"),
        ({"reducer": None}, "a reducer"),
        ({"backbone": BackboneRef(name="toy", hash="abc", width=7)}, "backbone's vectors"),
        ({"reducer": fit_reducer(VECTORS, 2)}, "network's image half"),
        ({"text_model": None}, "text half"),
        ({"text_model_path": None}, "hash agree"),
        ({"text_model": TextModelRef(name="x", hash="", width=4)}, "hash agree"),
        ({"classes": ()}, "classes"),
    ],
)
def test_parts_that_contradict_each_other_are_never_written(
    write: Write, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BundleError, match=reason):
        write(**change)
    assert list((tmp_path / "bundles").iterdir()) == []


def test_a_bundle_of_photos_alone_has_no_text_model(write: Write) -> None:
    network = make_network()
    alone = Network(network.image, network.text, network.layers, ("image",))
    opened = read_bundle(
        write(network=alone, halves=("image",), text_model=None, text_model_path=None)[1]
    )
    assert opened.text_model is None
    assert opened.text_model_path is None


def test_a_bundle_of_text_alone_has_no_reducer(write: Write) -> None:
    network = make_network()
    alone = Network(network.image, network.text, network.layers, ("text",))
    assert read_bundle(write(network=alone, halves=("text",), reducer=None)[1]).reducer is None


def test_a_write_that_breaks_off_leaves_nothing_visible(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(bundle, "_sync_folder", fail)
    with pytest.raises(OSError, match="no space"):
        write()
    assert list((tmp_path / "bundles").iterdir()) == []


def test_a_damaged_bundle_of_the_same_id_is_not_taken_for_good(write: Write) -> None:
    path = write()[1]
    (path / "text.bin").write_bytes(b"")
    with pytest.raises(BundleError, match=r"text\.bin was altered"):
        write()


HEADS = {"svm": HeadRef(kind="svm", file="svm.skops", halves=("image",))}


def several(**changes: Any) -> dict[str, Any]:
    """Manifest fields of a bundle with a second method."""
    recipe = MethodRecipe(
        kind="head",
        heads=("svm",),
        post_threshold=0.5,
        share_thresholds={"animal": 0.28, "comida": 0.28},
    )
    return {"methods": ("nn", "svm"), "heads": HEADS, "recipes": {"svm": recipe}} | changes


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    labels = np.arange(20) % 3
    nothing = np.zeros((20, 0), np.float32)
    yes, no = np.ones(20, np.bool_), np.zeros(20, np.bool_)
    reduced = REDUCER.transform(VECTORS)
    fitted = train_svm(reduced, nothing, yes, no, labels, classes=3, hyper=SvmHyper(), seed=0)
    path = tmp_path / "machine"
    path.write_bytes(fitted.to_bytes())
    return path


def test_a_second_method_judges_beside_the_first(write: Write, machine: Path) -> None:
    opened = read_bundle(write(**several(), extras={"svm.skops": machine})[1])
    posts = PostVectors(
        [7], VECTORS[:1], np.array([0]), np.zeros((1, 4), np.float32), np.zeros(1, np.bool_)
    )
    judged = opened.judge_all(posts)
    assert list(judged) == ["nn", "svm"]
    assert judged["svm"][0].probabilities != judged["nn"][0].probabilities
    assert opened.judge(posts, "svm") == judged["svm"]
    with pytest.raises(BundleError, match="no method 'weighted': it has nn, svm"):
        opened.judge(posts, "weighted")


def test_an_altered_machine_is_refused_by_name(write: Write, machine: Path) -> None:
    file = write(**several(), extras={"svm.skops": machine})[1] / "svm.skops"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(BundleError, match=r"svm\.skops was altered"):
        read_bundle(file.parent)


def test_a_machine_of_types_nobody_reviewed_is_refused_by_name(
    write: Write, tmp_path: Path
) -> None:
    forged = tmp_path / "forged"
    forged.write_bytes(dumps({"model": LookupError}))
    opened = read_bundle(write(**several(), extras={"svm.skops": forged})[1])
    with pytest.raises(BundleError, match=r"svm\.skops cannot be read"):
        _ = opened.heads


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"recipes": {}}, "a recipe for every method"),
        ({"heads": {}}, "heads that every recipe can name"),
        (
            {
                "heads": {
                    "svm": HeadRef(kind="svm", file="svm.skops", halves=("text",), supervised=True)
                }
            },
            "supervised text model",
        ),
        (
            {"heads": {"svm": HeadRef(kind="svm", file="gone.skops", halves=("image",))}},
            "a file for every head",
        ),
    ],
)
def test_methods_that_name_what_is_not_there_are_never_written(
    write: Write, machine: Path, change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BundleError, match=reason):
        write(**several(**change), extras={"svm.skops": machine})
