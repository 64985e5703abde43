"""What Flower is told of arguments."""

import inspect

import pytest
from kombu.transport.memory import Channel

from tasks.app import app
from tasks.context import Context
from tasks.telling import ARGUMENTS, STAGE, tell


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("images.embed", (7, 1, 23, 100, 131), "run 7: account 23, posts 100 to 131"),
        ("verdicts.conclude", [7, 1, 23], "run 7: account 23"),
        ("verdicts.conclude_group", (7, 1, 23, 40), "run 7: accounts 23 to 40"),
        ("runs.feed", (7,), "run 7:"),
        ("train.svm", (7, 1), "run 7:"),
        ("events.fetch", (3,), "event 3"),
        ("events.handle", (), ""),
        ("somebody.elses", (1, "x"), "(1, 'x')"),
    ],
)
def test_arguments_are_told_in_words(name: str, arguments: list[object], said: str) -> None:
    assert tell(name, arguments) == said


def test_every_task_has_as_many_words_as_arguments() -> None:
    app.loader.import_default_modules()
    # Other tests may have made tasks of their own in this process.
    ours = {name: task for name, task in app.tasks.items() if task.__module__.startswith("tasks.")}
    assert set(ARGUMENTS) <= set(ours)
    for name, task in ours.items():
        labels = ARGUMENTS.get(name, STAGE)
        assert len(labels) == len(inspect.signature(task.run).parameters), name
        assert name in ARGUMENTS or name.startswith("train.")


def test_a_message_carries_them(resources: Context) -> None:
    app.send_task("verdicts.conclude", (7, 1, 23), queue="cpu")
    (message,) = Channel.queues["cpu"].queue
    assert message["headers"]["argsrepr"] == "run 7: account 23"
