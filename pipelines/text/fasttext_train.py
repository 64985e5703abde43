"""The process of its own in which one fastText model is trained."""

import ctypes
import json
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(job: str) -> int:
    """Train the model a JSON job describes: ``settings`` of fastText, ``seed``, and ``out``."""
    if sys.platform == "linux":
        # A worker that is killed must leave no training behind.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    import fasttext

    spec = json.loads(job)
    settings = spec["settings"]
    # fastText takes no seed for training without labels, but reads this default.
    fasttext.FastText.unsupervised_default["seed"] = spec["seed"]
    if settings["model"] == "supervised":
        settings = {name: value for name, value in settings.items() if name != "model"}
        model = fasttext.train_supervised(**settings, seed=spec["seed"], thread=1, verbose=0)
    else:
        model = fasttext.train_unsupervised(**settings, thread=1, verbose=0)
    model.save_model(spec["out"])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
