"""Our calibrated support vector machine against scikit-learn-intelex's bare one.

Run it as ``make bench NAME=svm``; it needs the extra ``intelex``. Ours fits on nine tenths and
calibrates on the rest, theirs fits on all and gives no probabilities.
"""

import argparse
import time

import numpy as np

from benchmarks.report import compare, note, print_result
from pipelines.fusion.svm import SvmHyper, train_svm

CLASSES = 5
WARM_UP = 500


def main() -> None:
    """Measure and print the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=38_000)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, options.rows)
    corners = rng.normal(size=(CLASSES, options.width))
    x = (0.35 * corners[labels] + rng.normal(size=(options.rows, options.width))).astype(np.float32)
    ours: list[float] = []
    theirs: list[float] = []
    cpu: dict[str, list[float]] = {"ours": [], "theirs": []}
    for fit in (fit_ours, fit_theirs):
        fit(x[:WARM_UP], labels[:WARM_UP])  # what is imported once does not count
    for _pair in range(options.pairs):
        for name, fit, seconds in (("ours", fit_ours, ours), ("theirs", fit_theirs, theirs)):
            started, busy = time.perf_counter(), time.process_time()
            fit(x, labels)
            seconds.append(time.perf_counter() - started)
            cpu[name].append(time.process_time() - busy)
            note(f"{name}: {seconds[-1]:.1f} s, {cpu[name][-1]:.1f} CPU s")
    ratios = {"vs_intelex": compare([1 / s for s in ours], [1 / s for s in theirs])}
    figures = {
        "rows": options.rows,
        "width": options.width,
        "seconds_ours": [round(s, 1) for s in ours],
        "seconds_theirs": [round(s, 1) for s in theirs],
        "cpu_seconds": {name: [round(s, 1) for s in spent] for name, spent in cpu.items()},
    }
    print_result("svm", ratios, figures)


def fit_ours(x: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]", labels: object) -> None:
    """Fit as a training does, probabilities included."""
    half = x.shape[1] // 2
    every = np.ones(len(x), np.bool_)
    train_svm(
        x[:, :half], x[:, half:], every, every, np.asarray(labels),
        classes=CLASSES, hyper=SvmHyper(), seed=0,
    )  # fmt: skip


def fit_theirs(x: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]", labels: object) -> None:
    """Fit the bare machine with the same settings."""
    from sklearnex.svm import SVC

    hyper = SvmHyper()
    SVC(gamma=hyper.gamma, C=hyper.cost, cache_size=500).fit(x, np.asarray(labels))


if __name__ == "__main__":
    main()
