"""Asking for pages as a browser does: how long each takes, and how heavy the first one is."""

import gzip
import http.client
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from schemas.base import Frozen

STATIC = "static"
"""The route that others are compared with: a document that does not change."""

NEW_OR_NOT = (http.client.OK, http.client.NOT_MODIFIED)
ASKED_AGAIN = (STATIC, "api document", "api verdict", "api accounts")
ZIPPED = {"Accept-Encoding": "gzip"}


class Times(Frozen):
    """Milliseconds that half and 95 % of all requests stay below, and of these on a processor.

    What a loaded machine lets a request wait for a core is in the former only.
    """

    p50: float
    p95: float
    cpu_p50: float
    cpu_p95: float


def list_routes(bundle_id: str, classes: tuple[str, ...], run_id: int) -> dict[str, str]:
    """Return every kind of page and call, by a short name."""
    first = classes[0]
    deep = "/api/v1/accounts?order=certain&limit=50&min_certainty=0.7"
    return {
        STATIC: "/static/afin.css",
        "accounts": "/",
        "accounts search": "/?text=gol",
        "accounts search, nothing": "/?text=xyzxyz",
        "accounts of category": f"/?category={first}",
        "accounts by share": f"/?category={first}&min_share=0.5&min_followers=3000",
        "accounts by share, few": f"/?category={first}&min_followers=2500000",
        "accounts certain": "/?order=certain&min_certainty=0.9",
        "accounts uncertain": "/?order=uncertain",
        "campaign": "/campaigns/1",
        "campaigns": "/campaigns",
        "account": "/accounts/{name}",
        "account's words": "/accounts/{name}/words",
        "review": "/review",
        "review disputed": "/review?first=disputed",
        "runs": f"/runs?before={run_id + 1}",
        "runs, crawls": "/runs",
        "run": f"/runs/{run_id}",
        "models": "/models",
        "model": f"/models/{bundle_id}",
        "threshold": f"/models/{bundle_id}/threshold?category={first}&threshold=0.4",
        "compare": f"/models/compare?bundle={bundle_id}&bundle={bundle_id}",
        "api page": "/api",
        "api accounts": "/api/v1/accounts",
        "api accounts certain": deep,
        "api accounts search": "/api/v1/accounts?text=gol&limit=100",
        "api account": "/api/v1/accounts/{name}",
        "api posts": "/api/v1/accounts/{name}/posts",
        "api verdict": "/api/v1/accounts/{name}/verdict",
        "api campaigns": "/api/v1/campaigns",
        "api campaign": "/api/v1/campaigns/1",
        "api ranking": "/api/v1/campaigns/1/accounts",
        "api reviews": "/api/v1/reviews",
        "api next review": "/api/v1/reviews/next",
        "api runs": "/api/v1/runs",
        "api run": f"/api/v1/runs/{run_id}",
        "api run problems": f"/api/v1/runs/{run_id}/problems",
        "api models": "/api/v1/models",
        "api compare": f"/api/v1/models/compare?first={bundle_id}&second={bundle_id}",
        "api threshold": f"/api/v1/models/{bundle_id}/threshold?category={first}&threshold=0.4",
        "metrics": "/metrics",
        "api me": "/api/v1/me",
        "api document": "/api/v1/openapi.json",
    }


def ask_all(
    host: str, routes: Mapping[str, str], times: int, pids: Callable[[], Sequence[int]]
) -> dict[str, Times]:
    """Ask for every route so many times in turn, after a first time that does not count.

    Of some that send an ETag, another row tells what asking again with it takes. ``pids`` gives
    the processes whose processor time counts.
    """
    connection = http.client.HTTPConnection(host, timeout=60)
    names = list_names(connection)
    taken: dict[str, list[tuple[float, float]]] = {}
    counted: Sequence[int] = ()
    for turn in range(times + 1):
        if turn <= 1:
            counted = pids()
        for route, pattern in routes.items():
            path = pattern.format(name=names[turn % len(names)])
            took, tag = _measure(connection, path, {}, (http.client.OK,), counted)
            if turn:
                taken.setdefault(route, []).append(took)
            if turn and tag and route in ASKED_AGAIN:
                same = {"If-None-Match": tag}
                took, newer = _measure(connection, path, same, NEW_OR_NOT, counted)
                # What was written in between has to be sent.
                if newer == tag:
                    taken.setdefault(f"{route}, again", []).append(took)
    connection.close()
    return {route: _summary(found) for route, found in taken.items()}


def _summary(found: Sequence[tuple[float, float]]) -> Times:
    (p50, cpu_p50), (p95, cpu_p95) = np.percentile(np.array(found), (50, 95), axis=0).round(1)
    return Times(p50=p50, p95=p95, cpu_p50=cpu_p50, cpu_p95=cpu_p95)


def weigh(host: str) -> dict[str, int]:
    """Return the bytes that come over the wire for the first page, but for photos."""
    connection = http.client.HTTPConnection(host, timeout=60)
    page, sent = _fetch(connection, "/")
    found = {"/": sent}
    for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', page.decode()):
        _body, found[urlsplit(address).path] = _fetch(connection, address)
    connection.close()
    return found | {"all": sum(found.values())}


def list_names(connection: http.client.HTTPConnection) -> list[str]:
    """Return some accounts from all over the list."""
    names = []
    for text in ("gol", "mar", "vi_", "ana", "sol"):
        body, _sent = _fetch(connection, f"/api/v1/accounts?limit=100&text={text}")
        names += [one["username"] for one in json.loads(body)["accounts"]]
    return names


def read_rss_mib(pid: int) -> float:
    """Return the memory that a process holds, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024


def _measure(
    connection: http.client.HTTPConnection,
    path: str,
    headers: dict[str, str],
    wanted: tuple[int, ...],
    pids: Sequence[int],
) -> tuple[tuple[float, float], str | None]:
    """Return the milliseconds that an answer took, those on a processor, and its ETag."""
    before = _cpu_ns(pids)
    began = time.perf_counter()
    connection.request("GET", path, headers={**ZIPPED, **headers})
    answer = connection.getresponse()
    answer.read()
    took_ms = 1000 * (time.perf_counter() - began)
    if answer.status not in wanted:
        raise SystemExit(f"{path} answered {answer.status}.")
    return (took_ms, (_cpu_ns(pids) - before) / 1e6), answer.getheader("ETag")


def _fetch(connection: http.client.HTTPConnection, path: str) -> tuple[bytes, int]:
    """Return what comes, and how many bytes of it did."""
    connection.request("GET", path, headers=ZIPPED)
    answer = connection.getresponse()
    data = answer.read()
    zipped = answer.getheader("Content-Encoding") == "gzip"
    return gzip.decompress(data) if zipped else data, len(data)


def _cpu_ns(pids: Sequence[int]) -> int:
    """Return how long the threads of processes were on a processor so far."""
    files = (file for pid in pids for file in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(file.read_text().split()[0]) for file in files)
