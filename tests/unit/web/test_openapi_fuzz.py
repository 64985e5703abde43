"""Whatever the OpenAPI document lets somebody send, and what it does not: no fault of ours.

Short by default; AFIN_TEST_FUZZ_EXAMPLES=2500 tries as many requests of each operation.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from kombu.transport.memory import Channel
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import response_schema_conformance

from tasks.context import context
from tests.adopted import adopted
from tests.pages import populate, serving
from tests.unit.web.conftest import environment
from web.api.routes import describe

EXAMPLES = int(os.environ.get("AFIN_TEST_FUZZ_EXAMPLES", "4"))
FAULT = 500

pytestmark = pytest.mark.timeout(7200)

document = schemathesis.openapi.from_dict(describe())
operations = [found.ok() for found in document.get_all_operations() if isinstance(found, Ok)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Pages over a few accounts, open to whoever is on this machine; no worker answers."""
    folder: Path = tmp_path_factory.mktemp("fuzz")
    with adopted({**environment(folder), "AFIN_WORKERS_WAIT_S": "0.01"}):
        resources = context()
        populate(resources, folder)
        with serving(resources) as address:
            yield address
        Channel.queues.clear()


@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode), ids=lambda one: str(one.value))
@pytest.mark.parametrize("operation", operations, ids=lambda one: str(one.label))
def test_no_request_is_a_fault_of_ours(
    base: str,
    operation: schemathesis.APIOperation[Any, Any, Any, Any],
    mode: schemathesis.GenerationMode,
) -> None:
    statuses: list[int] = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: schemathesis.Case[Any]) -> None:
        response = case.call(base_url=base, timeout=60)
        statuses.append(response.status_code)
        assert response.status_code < FAULT, response.text
        case.validate_response(response, checks=[response_schema_conformance])

    send()
    assert statuses


def test_every_operation_is_tried() -> None:
    assert len(operations) == sum(map(len, describe()["paths"].values()))
