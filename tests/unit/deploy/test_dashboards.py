"""The dashboard and the alerts ask for figures that exist."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import generate_latest

from schemas.runs import RunKind
from storage.runs import create_run
from tasks.context import Context, context
from tasks.metrics import METRICS
from tests.adopted import adopted
from web.metrics import collect

DEPLOY = Path(__file__).parents[3] / "deploy"
ONLY_WITH_WORK = {
    "afin_run_members",
    "afin_accounts_judged",
    "afin_unknown_post_ratio",
    "afin_category_accounts",
    "afin_queue_depth",
    "afin_crawl_addresses",
    "afin_event_latency_seconds",
    "afin_deliveries",
    "afin_verdicts_per_minute",
    "afin_figures_age_seconds",
}
"""Told of as a family; without a sample while there is nothing to tell."""


@pytest.fixture
def resources(tmp_path: Path) -> Iterator[Context]:
    with adopted({"AFIN_DATA_DIR": str(tmp_path)}):
        yield context()


def read_expressions() -> list[str]:
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text("utf-8"))
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text("utf-8"))
    return [
        *(target["expr"] for panel in dashboard["panels"] for target in panel["targets"]),
        *(rule["expr"] for group in rules["groups"] for rule in group["rules"]),
    ]


def read_families(text: str) -> set[str]:
    return set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))


def test_every_figure_that_is_asked_for_exists(resources: Context) -> None:
    with resources.database.write() as connection:
        create_run(connection, RunKind.CLASSIFY, params={})
    told = read_families(collect(resources).decode())
    told |= read_families(generate_latest(METRICS.registry).decode())
    assert told >= ONLY_WITH_WORK
    asked = {name for one in read_expressions() for name in re.findall(r"afin_\w+", one)}
    bare = {re.sub(r"_bucket$", "", name) for name in asked}
    assert bare - told == set()


def test_every_alert_says_what_to_do() -> None:
    rules = yaml.safe_load((DEPLOY / "alerts.yml").read_text("utf-8"))
    for rule in rules["groups"][0]["rules"]:
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["action"].endswith(".")
