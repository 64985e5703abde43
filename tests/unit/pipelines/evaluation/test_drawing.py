"""Figures are the same bytes for the same data, and fetch nothing."""

import re
import threading
from functools import cache
from xml.etree import ElementTree

import numpy as np
import pytest

from pipelines.evaluation.drawing import Drawing
from pipelines.evaluation.figures import draw_map, draw_overview
from pipelines.evaluation.report import collect_drawings
from tests.unit.pipelines.evaluation.builders import evaluation, report


@cache
def drawings() -> tuple[Drawing, ...]:
    """Every figure of the sample report; drawing them takes seconds."""
    return tuple(collect_drawings(report()))


def test_a_report_draws_every_figure_that_its_sets_allow() -> None:
    names = [drawing.name for drawing in drawings()]
    kinds = {name.split("-")[0] for name in names}
    assert kinds == {
        *("overview", "bars", "weights", "thresholds", "tradeoff", "confusion"),
        *("reliability", "risk", "training"),
    }
    assert len(names) == len(set(names))


def test_the_same_data_gives_the_same_bytes() -> None:
    assert tuple(collect_drawings(report())) == drawings()


def test_a_map_of_thousands_is_the_same_bytes_too() -> None:
    places = np.random.default_rng(0).normal(size=(2000, 2))
    labels = ["comida", "deporte"] * 1000
    one, other = (draw_map("map", "Photos", places, labels).svg for _time in range(2))
    assert one == other
    # As pixels: a shape for each point would be ten times this.
    assert len(one) < 200_000


def test_figures_are_sound_xml_with_titled_axes() -> None:
    for drawing in drawings():
        root = ElementTree.fromstring(drawing.svg)  # noqa: S314 - our own
        words = " ".join(root.itertext())
        assert root.attrib["aria-label"] == drawing.title
        assert re.search(r"\((%|share|nats|items)|items|λ|%", words), drawing.name


def test_what_stands_in_a_page_names_no_address() -> None:
    for drawing in drawings():
        assert "http" not in drawing.inline
        assert "<metadata" not in drawing.svg


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "$\\frac$", 'a"b & c'])
def test_names_that_people_gave_are_text_and_nothing_else(name: str) -> None:
    drawing = draw_overview([evaluation(name)])
    root = ElementTree.fromstring(drawing.svg)  # noqa: S314 - our own
    assert "<script" not in drawing.svg
    assert any(name in (text or "") for text in root.itertext())


def test_threads_that_draw_at_once_do_not_disturb_each_other() -> None:
    alone = draw_map("map", "Photos", np.eye(2), ["comida", "otra"]).svg
    drawn: list[str] = []

    def draw() -> None:
        drawn.append(draw_map("map", "Photos", np.eye(2), ["comida", "otra"]).svg)

    threads = [threading.Thread(target=draw) for _one in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert drawn == [alone] * 4
