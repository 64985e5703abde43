"""The gradients written out by hand are torch's own, and so are its steps."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.fusion.descend import Descent, descend_epoch, disturb, draw_rows, find_slopes
from pipelines.fusion.network import Floats

QUIET = Descent(
    rate=0.05,
    momentum=0.9,
    weight_decay=1e-3,
    dropout=0.0,
    noise=0.0,
    half_dropout=0.0,
    smoothing=0.1,
    batch=16,
    min_draws=1,
)


def draw_weights(sizes: list[int], seed: int = 0) -> list[Floats]:
    rng = np.random.default_rng(seed)
    weights: list[Floats] = []
    for rows, columns in pairwise(sizes):
        weights.append(rng.normal(size=(rows, columns)).astype(np.float32))
        weights.append(rng.normal(size=columns).astype(np.float32))
    return weights


def forward(weights: list[torch.Tensor], x: torch.Tensor, masks: list[Floats]) -> torch.Tensor:
    for number, mask in enumerate(masks):
        x = torch.relu(x @ weights[2 * number] + weights[2 * number + 1]) * torch.tensor(mask)
    return x @ weights[-2] + weights[-1]


@settings(max_examples=40, deadline=None)
@given(
    hidden=st.lists(st.integers(1, 7), max_size=2),
    classes=st.integers(2, 5),
    smoothing=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 1000),
)
@example(hidden=[2, 5], classes=4, smoothing=0.1, seed=118)  # surer than float32 can say
def test_the_gradient_is_that_of_torch(
    hidden: list[int], classes: int, smoothing: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weights = draw_weights([6, *hidden, classes], seed)
    x = rng.normal(size=(9, 6)).astype(np.float32)
    labels = rng.integers(0, classes, 9)
    masks = [((rng.random((9, n)) > 0.3) / 0.7).astype(np.float32) for n in hidden]
    loss, hits, slopes = find_slopes(weights, x, labels, masks, smoothing)
    theirs = [torch.tensor(array, requires_grad=True) for array in weights]
    logits = forward(theirs, torch.tensor(x), masks)
    expected = torch.nn.functional.cross_entropy(
        logits, torch.tensor(labels), label_smoothing=smoothing
    )
    expected.backward()  # type: ignore[no-untyped-call]
    assert loss == pytest.approx(float(expected.detach()), rel=1e-4, abs=1e-6)
    assert hits == int((logits.argmax(dim=1).numpy() == labels).sum())
    for slope, tensor in zip(slopes, theirs, strict=True):
        assert tensor.grad is not None
        assert np.allclose(slope, tensor.grad.numpy(), rtol=1e-3, atol=1e-5)


def test_an_epoch_takes_the_steps_that_torch_takes() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 6)).astype(np.float32)
    labels, both = rng.integers(0, 3, 40), np.ones(40, np.bool_)
    weights = draw_weights([6, 5, 3])
    momentum = [np.zeros_like(array) for array in weights]
    found, _speed, _loss, _right = descend_epoch(
        weights,
        momentum,
        x,
        labels,
        both,
        image_width=3,
        progress=(0.0, 0.5),
        settings=QUIET,
        chance=np.random.default_rng(7),
    )
    rows = draw_rows(labels, 3, 1, np.random.default_rng(7))
    theirs = [torch.tensor(array, requires_grad=True) for array in weights]
    sgd = torch.optim.SGD(theirs, lr=0.05, momentum=0.9, weight_decay=1e-3)
    ones = np.ones((1, 5), np.float32)
    for number in range(3):
        own = rows[16 * number : 16 * (number + 1)]
        sgd.param_groups[0]["lr"] = 0.05 * (1 + np.cos(np.pi * 0.5 * number / 3)) / 2
        sgd.zero_grad()
        logits = forward(theirs, torch.tensor(x[own]), [ones])
        loss = torch.nn.functional.cross_entropy(
            logits, torch.tensor(labels[own]), label_smoothing=0.1
        )
        loss.backward()  # type: ignore[no-untyped-call]
        sgd.step()
    for array, tensor in zip(found, theirs, strict=True):
        assert np.allclose(array, tensor.detach().numpy(), rtol=1e-3, atol=1e-5)
    # What it was given stays: the best epoch may still be held elsewhere.
    assert np.array_equal(weights[0], draw_weights([6, 5, 3])[0])


def test_every_class_is_drawn_equally_often() -> None:
    labels = np.array([0] * 900 + [1] * 90 + [2] * 10)
    rows = draw_rows(labels, 3, 30_000, np.random.default_rng(0))
    shares = np.bincount(labels[rows]) / len(rows)
    assert shares == pytest.approx([1 / 3] * 3, abs=0.02)


def test_noise_leaves_missing_halves_alone_and_takes_only_one_half() -> None:
    x = np.ones((4000, 6), np.float32)
    x[:1000, 4:] = 0
    both = np.arange(4000) >= 1000
    loud = Descent(**{**vars(QUIET), "noise": 1.0, "half_dropout": 0.3})
    out = disturb(x, both, 4, loud, np.random.default_rng(0))
    assert not out[:1000, 4:].any()
    assert out[:1000, :4].all()
    lost_image, lost_text = ~out[both, :4].any(axis=1), ~out[both, 4:].any(axis=1)
    assert not (lost_image & lost_text).any()
    assert [lost_image.mean(), lost_text.mean()] == pytest.approx([0.15, 0.15], abs=0.03)
    assert out[both][~lost_image & ~lost_text].std() == pytest.approx(1.0, abs=0.05)
