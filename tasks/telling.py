"""What Flower shows of a task's arguments: words in place of bare numbers."""

from collections.abc import MutableMapping, Sequence
from typing import Any

from celery.signals import before_task_publish

_OF_RUN = ("run", "")
_OF_ACCOUNT = (*_OF_RUN, "account")

ARGUMENTS: dict[str, tuple[str, ...]] = {
    "deliver.due": (),
    "events.fetch": ("event",),
    "events.handle": (),
    "explain.words": ("account", "bundle"),
    "figures.count": (),
    "images.embed": (*_OF_ACCOUNT, "posts", "to"),
    "images.embed_accounts": (*_OF_RUN, "accounts", "to"),
    "images.embed_examples": (*_OF_RUN, "examples", "to"),
    "images.embed_tagged": (*_OF_RUN, "tagged posts", "to"),
    "maps.draw": ("bundle", "by", "posts"),
    "runs.feed": ("run",),
    "runs.refresh": (),
    "runs.resend": _OF_ACCOUNT,
    "runs.sweep": (),
    "scrape.fetch": (*_OF_RUN, "shard"),
    "scrape.page": (*_OF_RUN, "part"),
    "scrape.photos": (*_OF_ACCOUNT, "posts", "to"),
    "texts.embed": _OF_ACCOUNT,
    "train.advance": ("run",),
    "verdicts.conclude": _OF_ACCOUNT,
    "verdicts.conclude_group": (*_OF_RUN, "accounts", "to"),
}
"""What each argument of a task is; nothing for those that tell people nothing."""

STAGE = _OF_RUN
"""What the arguments of all other tasks of trainings are."""


def tell(name: str, arguments: Sequence[object]) -> str:
    """Say a task's arguments: ``run 7: account 23, posts 100 to 131``.

    A run's number ends in a colon, so that looking for run 7 does not find 70 as well.
    """
    labels = ARGUMENTS.get(name, STAGE if name.startswith("train.") else None)
    if labels is None or len(labels) != len(arguments):
        return repr(tuple(arguments))
    said: list[str] = []
    for label, value in zip(labels, arguments, strict=True):
        if label == "to":
            said[-1] += f" to {value}"
        elif label:
            said.append(f"{label} {value}")
    if labels[:1] != ("run",):
        return ", ".join(said)
    return f"{said[0]}: {', '.join(said[1:])}".rstrip()


def tell_arguments() -> None:
    """Let every message that this process sends say its arguments in words."""
    before_task_publish.connect(_tell, dispatch_uid="afin.telling")


def _tell(
    sender: str, body: object = None, headers: MutableMapping[str, Any] | None = None, **_: object
) -> None:
    # The second form of messages, which ours are: arguments, keywords, what comes afterwards.
    if headers is not None and isinstance(body, tuple):
        headers["argsrepr"] = tell(sender, body[0])
