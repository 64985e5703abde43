"""Starting work: what commands and events ask for becomes a run, and a first message."""

import time
from collections.abc import Collection, Sequence
from datetime import date
from typing import Any, Literal

from kombu.exceptions import OperationalError
from pydantic import Field

from schemas.base import Frozen
from schemas.bundles import WordVectors
from schemas.categories import OTRA
from schemas.errors import BrokerError, TrainingError, UsageError, WorkersError
from schemas.finetuning import FineTuning
from schemas.methods import DEFAULT_METHODS
from schemas.runs import RunKind
from storage.accounts import count_accounts, find_account
from storage.bundles import find_bundle
from storage.members import add_every_account, add_members
from storage.runs import create_run, read_run
from storage.sharing import adopt_verdicts, runs_alike
from storage.stages import add_stages
from storage.tagged import newest_tagged
from storage.training import count_examples, newest_example
from tasks.app import EVENT_SUFFIX, QUEUES, app, require_broker, serves_in_order
from tasks.context import Context
from tasks.events import choose_scope_now
from tasks.fusing import TARGET_PRECISION
from tasks.text_models import SENTENCES, reads_supervised
from tasks.train import stages_for


class TrainingOptions(Frozen):
    """What else can be asked of a training; the defaults are those of ``afin train``.

    ``preset`` is the name of ``finetune``'s settings.
    """

    methods: tuple[str, ...] = DEFAULT_METHODS
    holdout_source: str | None = None
    holdout_after: date | None = None
    text_kind: Literal["skipgram", "cbow", "e5"] = "skipgram"
    text_vectors: WordVectors | None = None
    search_svm: bool = False
    calibration: Literal["temperature", "isotonic"] = "temperature"
    target_precision: float = Field(TARGET_PRECISION, gt=0, le=1)
    preset: str | None = None
    finetune: FineTuning | None = None
    weights: Literal["pretrained", "random"] = "pretrained"
    with_otra: bool = True


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
            beside = f"{missing[0]}{EVENT_SUFFIX}"
            alone = serves_in_order(resources.settings) or beside not in QUEUES[missing[0]]
            both = "" if alone else f" and 'afin worker {beside}'"
            raise WorkersError(
                f"No worker answers for: {listed}. Start 'afin up', or 'afin worker "
                f"{missing[0]}'{both} on a machine that shares this broker and database."
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
        scope = choose_scope_now(resources.settings)
        params = {
            "urgent": urgent,
            "accounts": len(chosen) if urgent else "all",
            "scope": scope.model_dump(mode="json"),
        }
        run_id = create_run(connection, RunKind.CLASSIFY, params=params, bundle_id=bundle.id)
        if usernames is None:
            add_every_account(connection, run_id)
        else:
            add_members(connection, run_id, chosen)
    app.send_task("runs.feed", (run_id,), queue=f"control{EVENT_SUFFIX}" if urgent else "control")
    return run_id


def start_bulk(
    resources: Context, influencer_ids: Sequence[int], *, bundle_id: str | None, asked: str
) -> tuple[int, int]:
    """Start a bulk run over some accounts; return it, and how many it need not judge itself.

    What a run that is still going on has concluded by the same bundle since an account's posts
    changed is taken over; ``asked`` is kept for whoever looks at the run.

    Raises:
        NotFoundError: there is no such bundle, or none is active yet.
        BrokerError, WorkersError: nobody would do the work.
    """
    with resources.database.read() as connection:
        bundle = find_bundle(connection, bundle_id)
    require_workers(resources, CLASSIFYING)
    scope = choose_scope_now(resources.settings)
    params = {
        "urgent": False,
        "accounts": len(influencer_ids),
        "asked": asked,
        "scope": scope.model_dump(mode="json"),
    }
    with resources.database.write() as connection:
        run_id = create_run(connection, RunKind.CLASSIFY, params=params, bundle_id=bundle.id)
        add_members(connection, run_id, influencer_ids)
        run = read_run(connection, run_id)
        others = [other.id for other in runs_alike(connection, run)]
        adopted = adopt_verdicts(connection, run, others)
    app.send_task("runs.feed", (run_id,))
    return run_id, adopted


def start_training(
    resources: Context,
    categories: Sequence[str],
    *,
    backbone: str,
    seed: int,
    options: TrainingOptions | None = None,
) -> tuple[int, dict[str, int]]:
    """Start training on everything imported for these categories.

    Where photos labelled ``otra`` exist they train a reject class, unless the options say
    otherwise. Categories with fewer than ``MIN_EXAMPLES`` photos are left out; they are returned
    with their counts.

    Raises:
        TrainingError: fewer than two classes have enough photos.
        UsageError: random weights were asked for, and nothing would train them.
        BrokerError, WorkersError: nobody would do the work.
    """
    params, left_out = plan_training(
        resources, categories, backbone=backbone, seed=seed, options=options
    )
    require_workers(resources, TRAINING)
    with resources.database.write() as connection:
        run_id = create_run(connection, RunKind.TRAIN, params=params)
        add_stages(connection, run_id, stages_for(params))
    app.send_task("train.advance", (run_id,))
    return run_id, left_out


def plan_training(
    resources: Context,
    categories: Sequence[str],
    *,
    backbone: str,
    seed: int,
    options: TrainingOptions | None = None,
) -> tuple[dict[str, Any], dict[str, int]]:
    """Return the parameters of a training on what is imported now, and what it leaves out.

    Raises:
        TrainingError: fewer than two classes have enough photos.
        UsageError: random weights were asked for, and nothing would train them.
    """
    options = options or TrainingOptions()
    if options.weights == "random" and (
        options.finetune is None or options.finetune.trained == "head"
    ):
        raise UsageError(
            "Random weights know nothing, and here nothing would teach them: use them with "
            "--finetune thesis or modern, or leave --weights away."
        )
    supervised = reads_supervised({"methods": options.methods})
    if options.text_vectors is not None and options.text_kind == SENTENCES and not supervised:
        raise UsageError(
            "Pretrained vectors are for fastText, which would train nothing here: leave them or "
            "--text e5 away, or add nn-sup or agree to --methods."
        )
    with resources.database.read() as connection:
        until, tagged_until = newest_example(connection), newest_tagged(connection)
        counts = count_examples(connection, (*categories, OTRA), until=until)
    reject = counts.pop(OTRA) >= MIN_EXAMPLES and options.with_otra
    trained = [name for name in categories if counts[name] >= MIN_EXAMPLES]
    left_out = {name: counts[name] for name in categories if name not in trained}
    if len(trained) + reject < 2 or not trained:  # noqa: PLR2004 - one class needs another
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise TrainingError(
            f"Training needs two categories with {MIN_EXAMPLES} photos each; there are: {listed}. "
            "Add some with 'afin import photos FOLDER --source NAME'."
        )
    params = {
        "categories": list(categories),
        "classes": [*trained, OTRA] if reject else trained,
        "reject": reject,
        "left_out": left_out,
        "backbone": backbone,
        "until": until,
        "tagged_until": tagged_until,
        "seed": seed,
        **options.model_dump(mode="json"),
    }
    return params, left_out
