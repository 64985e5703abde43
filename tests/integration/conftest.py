"""A whole afin for tests: embedded broker, SQLite, every kind of worker, one trained bundle."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.serve import open_house
from cli.training import read_training_progress
from pipelines.sources.accounts import read_accounts
from pipelines.sources.photos import read_labelled_photos
from pipelines.sources.samples.writer import write_samples
from schemas.runs import RunState
from schemas.settings import load_settings
from storage.stages import read_stages
from tasks.app import app
from tasks.context import Context, adopt_settings, context
from tasks.ingest import take_accounts, take_photos
from tasks.start import TRAINING, require_workers, start_training
from tests.adopted import adopted
from tests.houses import CATEGORIES, DEADLINE_S, SMALL, House, finish
from tests.served import serve_folder


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Everything running, samples imported (some photos by address), one bundle trained."""
    folder: Path = tmp_path_factory.mktemp("house")
    environment = {
        "AFIN_DATA_DIR": str(folder / "data"),
        "AFIN_FETCH_ALLOW_LOOPBACK": "true",
        **SMALL,
    }
    with adopted(environment), serve_folder(folder / "samples") as base_url:
        samples = write_samples(
            folder / "samples",
            categories=CATEGORIES,
            training_per_category=12,
            accounts=9,
            posts=(3, 10),
            photo_base_url=base_url,
        )
        with open_house(load_settings()) as opened:
            adopt_settings(opened.environment)
            resources = context()
            take_photos(resources, read_labelled_photos(samples.photos_table), source="samples")
            take_accounts(resources, read_accounts(samples.accounts_file), origin="samples")
            require_workers(resources, (*TRAINING, "scrape"), wait_s=DEADLINE_S)
            run_id, _left_out = start_training(
                resources, CATEGORIES, backbone="efficientnet_lite0", seed=0
            )
            progress = finish(lambda: read_training_progress(run_id))
            assert progress.state is RunState.DONE, progress.error
            bundle_id = _bundle_of(resources, run_id)
            yield House(opened.supervisor, opened.flower_url, bundle_id, opened.web_url)
            app.close()


def _bundle_of(resources: Context, run_id: int) -> str:
    with resources.database.read() as connection:
        output = read_stages(connection, run_id)["bundle"].output
    assert output is not None
    return str(output["bundle_id"])
