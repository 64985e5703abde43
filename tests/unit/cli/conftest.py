"""The afin command, run in this process on a data folder of its own."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from schemas.base import Frozen
from tasks.context import Context, context
from tests.adopted import adopted


class Answer(Frozen):
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What stdout holds, which has to be one JSON document and nothing else."""
        return json.loads(self.out)

    @property
    def sentence(self) -> str:
        """What stderr holds, which has to be one line of plain words."""
        (line,) = self.err.splitlines()
        assert "Traceback" not in line
        assert line.endswith(".")
        return line


Afin = Callable[..., Answer]


@pytest.fixture
def resources(tmp_path: Path) -> Iterator[Context]:
    """This process's context on an empty data folder for which nothing runs."""
    with adopted({"AFIN_DATA_DIR": str(tmp_path / "data"), "AFIN_WORKERS_WAIT_S": "0.01"}):
        yield context()


@pytest.fixture
def afin(
    resources: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Afin:
    """Run ``afin`` with some arguments through its own entry point."""

    def run(*arguments: object) -> Answer:
        monkeypatch.setattr(sys, "argv", ["afin", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as caught:
            main()
        printed = capsys.readouterr()
        code = caught.value.code
        assert isinstance(code, int)
        return Answer(code=code, out=printed.out, err=printed.err)

    return run
