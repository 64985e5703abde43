"""What a backbone's own classifier knows, and what is learnt on top of it."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from pipelines.fusion.concepts import (
    CLASSES,
    FLOOR,
    ConceptHead,
    Concepts,
    fit_correction,
    read_table,
    tell_concepts,
    train_concepts,
)
from pipelines.fusion.network import softmax
from pipelines.fusion.reduce import fit_reducer
from schemas.categories import read_categories
from schemas.errors import TrainingError

WIDTH = 12
NAMES = ("animal", "comida", "musica", "otra")
Floats = NDArray[np.float32]


def draw(seed: int, *shape: int) -> Floats:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def concepts(names: tuple[str, ...] = NAMES) -> Concepts:
    return tell_concepts(draw(0, CLASSES, WIDTH), draw(1, CLASSES), names)


def head() -> tuple[ConceptHead, Floats, Floats]:
    whole, text = draw(2, 80, WIDTH), draw(3, 80, 5)
    text[:30] = 0
    reducer = fit_reducer(whole, 4)
    labels = np.random.default_rng(4).integers(0, len(NAMES), 80)
    trained = train_concepts(concepts(), reducer, whole, reducer.transform(whole), text, labels)
    return trained, whole, text


def test_the_table_names_known_categories_and_no_class_twice() -> None:
    table = read_table()
    places = [place for own in table.values() for place in own]
    assert set(table) <= set(read_categories().categories)
    assert len(places) == len(set(places))
    assert set(places) <= set(range(CLASSES))


def test_a_category_gets_what_its_classes_get() -> None:
    x = draw(5, 7, WIDTH)
    known = concepts()
    said = softmax(x @ known.weights + known.bias)
    shares = [said[:, list(read_table()[name])].sum(axis=1) for name in NAMES[:-1]]
    expected = np.stack([*shares, 1 - sum(shares)], axis=1) + FLOOR
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(known.predict(x), expected, atol=1e-5)


def test_categories_without_any_class_share_what_is_left() -> None:
    said = concepts(("animal", "familia", "tatuajes")).predict(draw(6, 9, WIDTH))
    np.testing.assert_allclose(said[:, 1], said[:, 2])
    np.testing.assert_allclose(said.sum(axis=1), 1, rtol=1e-5)


def test_a_missing_photo_says_nothing() -> None:
    said = concepts().predict(np.zeros((1, WIDTH), np.float32))
    np.testing.assert_allclose(said, np.full((1, 4), 0.25))


def test_another_classifier_is_refused() -> None:
    with pytest.raises(TrainingError, match="21 classes apart"):
        tell_concepts(draw(0, 21, WIDTH), draw(1, 21), NAMES)


def test_with_an_even_prior_the_correction_is_logistic_regression() -> None:
    x = draw(7, 120, 5)
    labels = (x[:, :3] + 0.5 * draw(8, 120, 3)).argmax(axis=1)
    weights, bias = fit_correction(x, np.full((120, 3), 1 / 3), labels, strength=0.5)
    theirs = LogisticRegression(C=0.5, tol=1e-8, max_iter=1000).fit(x, labels)
    ours = softmax(x @ weights + bias)
    np.testing.assert_allclose(ours, theirs.predict_proba(x), atol=2e-3)


def test_without_strength_the_prior_stands() -> None:
    x, prior = draw(9, 60, 5), softmax(draw(10, 60, 3))
    labels = prior.argmax(axis=1)
    weights, _bias = fit_correction(x, prior, labels, strength=1e-9)
    assert np.abs(weights).max() < 1e-6


def test_a_correction_worked_into_whole_vectors_is_that_of_reduced_ones() -> None:
    whole = draw(11, 60, WIDTH)
    reducer = fit_reducer(whole, 4)
    image = reducer.transform(whole)
    labels = image[:, :4].argmax(axis=1)
    known = concepts()
    trained = train_concepts(known, reducer, whole, image, np.zeros((60, 2), np.float32), labels)
    level = np.sqrt(np.mean((image - image.mean(axis=0)) ** 2))
    weights, bias = fit_correction(
        (image - image.mean(axis=0)) / level, known.predict(whole), labels
    )
    expected = np.log(known.predict(whole)) + (image - image.mean(axis=0)) / level @ weights + bias
    np.testing.assert_allclose(trained.score(whole, np.zeros((60, 2))), expected, atol=1e-3)


def test_a_head_is_read_back_as_it_was() -> None:
    trained, whole, text = head()
    again = ConceptHead.from_tensors(trained.to_tensors())
    assert again.halves == ("image", "text")
    np.testing.assert_array_equal(again.predict(whole, text), trained.predict(whole, text))


def test_a_post_without_photos_is_judged_by_its_text() -> None:
    trained, whole, text = head()
    blank = np.zeros_like(whole[-5:])
    said = trained.predict(blank, text[-5:])
    expected = softmax(trained.text.apply(text[-5:]) @ trained.text_layer + trained.bias)
    np.testing.assert_allclose(said, expected, atol=1e-6)
