"""The small image's lock: no heavy library, and the large one's versions."""

import re
import tomllib

import pytest

from tests.unit.deploy.compose import ROOT

HEAVY = {"torch", "torchvision", "timm", "scikit-learn", "scipy", "fasttext-community", "triton"}


def pins(name: str) -> set[str]:
    text = (ROOT / "requirements" / name).read_text()
    return set(re.findall(r"^([\w.-]+==[^ ;\\]+)", text, re.MULTILINE))


def test_the_small_image_holds_no_heavy_library() -> None:
    small = {pin.partition("==")[0] for pin in pins("slim.txt")}
    assert small
    assert not small & HEAVY
    assert not any(name.startswith("nvidia") for name in small)


def test_both_images_hold_the_same_versions() -> None:
    assert pins("slim.txt") <= pins("runtime.txt")


def test_what_the_small_image_asks_for_is_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    asked = {re.split(r"[>=<;]", one)[0] for one in project["project"]["dependencies"]}
    asked |= {re.split(r"[>=<;]", one)[0] for one in extras["otel"]}
    asked |= {"setuptools"}
    lines = (ROOT / "requirements" / "slim.in").read_text().splitlines()
    assert {line for line in lines if line and not line.startswith("#")} <= asked


@pytest.mark.parametrize("lock", ["slim.txt", "runtime.txt"])
def test_both_images_can_trace(lock: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {
        re.split(r"[>=<;]", one)[0] for one in project["project"]["optional-dependencies"]["otel"]
    }
    assert wanted
    assert wanted <= {pin.partition("==")[0] for pin in pins(lock)}
