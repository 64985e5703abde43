"""afin labels: how far labellers agree, from files to figures."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Afin

ROWS = """kind,id,categories,labeller
account,ana,comida,eva
account,ana,comida|moda,luz
account,sol,moda,eva
account,sol,moda,luz
account,mar,comida,eva
account,mar,,luz
post,ana/1,comida,eva
"""


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.csv"
    path.write_text(ROWS)
    return path


def test_agreement_is_measured_by_category_and_by_pair(afin: Afin, labels: Path) -> None:
    afin("import", "labels", labels)
    document = afin("labels", "agreement", "account", "--json").document
    alphas = {one["category"]: one for one in document["categories"]}
    assert document["labellers"] == ["eva", "luz"]
    assert alphas["comida"]["items"] == 3
    (pair,) = [one for one in document["pairs"] if one["category"] == "comida"]
    assert pair["agreement"] == pytest.approx(2 / 3)
    assert pair["kappa"] == pytest.approx(0.4)
    # Three things by two people: 2 unlike pairs of 6 answers; 3 yes, 3 no.
    assert alphas["comida"]["alpha"] == pytest.approx(1 - (2 / 6) / (2 * 3 * 3 / 30))


def test_people_read_a_table(afin: Afin, labels: Path) -> None:
    afin("import", "labels", labels)
    answer = afin("labels", "agreement")
    assert answer.code == 0
    assert "eva / luz" in answer.out
    assert "0.400" in answer.out


def test_without_things_labelled_twice_it_says_what_to_do(afin: Afin, labels: Path) -> None:
    afin("import", "labels", labels)
    answer = afin("labels", "agreement", "post")
    assert answer.code == 2
    assert "afin import labels" in answer.err
