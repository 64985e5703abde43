"""Starting work: what commands and events ask for becomes a run, and a first message."""

import time
from collections.abc import Collection, Sequence

from kombu.exceptions import OperationalError

from schemas.categories import OTRA
from schemas.errors import BrokerError, TrainingError, UsageError, WorkersError
from schemas.runs import RunKind
from storage.accounts import count_accounts, find_account
from storage.bundles import find_bundle
from storage.runs import add_every_account, add_members, create_run
from storage.stages import add_stages
from storage.training import count_examples, newest_example
from tasks.app import QUEUES, app, require_broker
from tasks.context import Context
from tasks.train import STAGES

MIN_EXAMPLES = 5
"""A category with fewer training photos is left out: it could only be guessed."""

CLASSIFYING = ("control", "gpu", "cpu")
TRAINING = ("control", "gpu", "cpu", "train")


def require_workers(
    resources: Context, kinds: Collection[str], *, wait_s: float | None = None
) -> None:
    """Make sure that every kind of worker asked for answers.

    Raises:
        BrokerError: no broker is running or it cannot be reached.
        WorkersError: a kind is missing after ``wait_s`` (by default the settings').
    """
    require_broker(resources.settings)
    patience_s = resources.settings.workers_wait_s if wait_s is None else wait_s
    deadline = time.monotonic() + patience_s
    while missing := sorted(set(kinds) - answering_kinds()):
        if time.monotonic() > deadline:
            listed = ", ".join(missing)
            raise WorkersError(
                f"No worker answers for: {listed}. Start 'afin up', or 'afin worker "
                f"{missing[0]}' on a machine that shares this broker and database."
            )


def answering_kinds() -> set[str]:
    """Return the kinds of workers that answer now.

    Raises:
        BrokerError: the broker cannot be reached.
    """
    try:
        # A connection of its own: one that has been idle for health_check_interval may answer
        # with the reply to its ping, and the read of the real answer then waits for good.
        with app.connection_for_write() as connection:
            inspect = app.control.inspect(timeout=1.0, connection=connection)
            answers = inspect.active_queues() or {}
    except (OperationalError, OSError) as error:
        raise BrokerError(
            f"The broker cannot be reached ({type(error).__name__}): start it, or correct "
            "AFIN_BROKER_URL."
        ) from error
    served = {queue["name"] for queues in answers.values() for queue in queues}
    return {kind for kind, names in QUEUES.items() if served.issuperset(names)}


def start_classification(
    resources: Context, usernames: Sequence[str] | None, *, bundle_id: str | None = None
) -> int:
    """Start classifying some accounts (served before bulk work) or, without names, all of them.

    Raises:
        NotFoundError: an account or the bundle does not exist, or none is active yet.
        UsageError: there is no account at all.
        BrokerError, WorkersError: nobody would do the work.
    """
    with resources.database.read() as connection:
        bundle = find_bundle(connection, bundle_id)
        chosen = [find_account(connection, name).id for name in usernames or ()]
        if usernames is None and count_accounts(connection) == 0:
            raise UsageError("There are no accounts yet: 'afin import accounts FILE' adds some.")
    require_workers(resources, CLASSIFYING)
    with resources.database.write() as connection:
        urgent = usernames is not None
        params = {"urgent": urgent, "accounts": len(chosen) if urgent else "all"}
        run_id = create_run(connection, RunKind.CLASSIFY, params=params, bundle_id=bundle.id)
        if usernames is None:
            add_every_account(connection, run_id)
        else:
            add_members(connection, run_id, chosen)
    app.send_task("runs.feed", (run_id,))
    return run_id


def start_training(
    resources: Context, categories: Sequence[str], *, backbone: str, seed: int
) -> tuple[int, dict[str, int]]:
    """Start training on everything imported for these categories.

    Where photos labelled ``otra`` exist they train a reject class. Categories with fewer than
    ``MIN_EXAMPLES`` photos are left out; they are returned with their counts.

    Raises:
        TrainingError: fewer than two classes have enough photos.
        BrokerError, WorkersError: nobody would do the work.
    """
    with resources.database.read() as connection:
        until = newest_example(connection)
        counts = count_examples(connection, (*categories, OTRA), until=until)
    reject = counts.pop(OTRA) >= MIN_EXAMPLES
    trained = [name for name in categories if counts[name] >= MIN_EXAMPLES]
    left_out = {name: counts[name] for name in categories if name not in trained}
    if len(trained) + reject < 2 or not trained:  # noqa: PLR2004 - one class needs another
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise TrainingError(
            f"Training needs two categories with {MIN_EXAMPLES} photos each; there are: {listed}. "
            "Add some with 'afin import photos FOLDER --source NAME'."
        )
    require_workers(resources, TRAINING)
    params = {
        "categories": list(categories),
        "classes": [*trained, OTRA] if reject else trained,
        "reject": reject,
        "left_out": left_out,
        "backbone": backbone,
        "until": until,
        "seed": seed,
    }
    with resources.database.write() as connection:
        run_id = create_run(connection, RunKind.TRAIN, params=params)
        add_stages(connection, run_id, STAGES)
    app.send_task("train.advance", (run_id,))
    return run_id, left_out
