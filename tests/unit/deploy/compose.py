"""The compose file as tests read it: anchors merged, variables put in."""

import re
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
FILE = ROOT / "docker-compose.yml"
OURS = ("migrate", "scrape", "gpu", "gpu-cuda", "cpu", "control", "train", "web", "flower")

_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::[?-](?P<rest>[^}]*))?\}")


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]
    return found


def environment(name: str, values: dict[str, str]) -> dict[str, str]:
    """A service's environment with these values of the env file."""

    def value(match: re.Match[str]) -> str:
        variable, rest = match["name"], match["rest"] or ""
        required = ":?" in match[0]
        return values[variable] if required else values.get(variable, rest)

    declared: dict[str, str] = services()[name].get("environment", {})
    return {key: _VARIABLE.sub(value, str(text)) for key, text in declared.items()}
