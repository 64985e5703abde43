"""What became of a crawl: how many photos it has, and why it lacks the others."""

from collections import Counter
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, func, select

from schemas.crawls import CrawlReport, HostReport
from schemas.runs import MemberState, Progress, Run
from storage.crawl_parts import count_parts_of, list_parts, next_start
from storage.crawl_tables import crawl_urls
from storage.crawl_urls import KNOWN, LIMIT, STORED
from storage.runs import read_run
from storage.totals import count_states_of

DUPLICATES = ("duplicate", "near-duplicate")
ENDED = (MemberState.DONE, MemberState.DEAD)
HOSTS_SHOWN = 20


def read_crawl_progress(connection: Connection, run_id: int) -> Progress:
    """Return how far a crawl is: addresses settled of those found so far."""
    return read_progress_of(connection, [read_run(connection, run_id)])[run_id]


def read_progress_of(connection: Connection, crawls: Sequence[Run]) -> dict[int, Progress]:
    """Return by id how far crawls are; many of them take no more questions than one."""
    keys = [run.id for run in crawls]
    urls, parts = count_states_of(connection, crawl_urls, keys), count_parts_of(connection, keys)
    return {run.id: _progress(connection, run, urls[run.id], parts[run.id]) for run in crawls}


def _progress(
    connection: Connection,
    run: Run,
    urls: Mapping[MemberState, int],
    parts: Mapping[MemberState, int],
) -> Progress:
    listing = parts[MemberState.PENDING] + parts[MemberState.IN_FLIGHT]
    stage = f"photos ({listing} lists go on)" if listing else "photos"
    waiting = next_start(connection, run.id) if listing and not run.state.final else None
    if waiting is not None:
        until, why = waiting
        stage = f"waits until {until:%F %T %Z}: {why.rstrip('.')}"
    return Progress(
        state=run.state,
        total=sum(urls.values()),
        done=urls[MemberState.DONE] + urls[MemberState.DEAD],
        failed=urls[MemberState.DEAD],
        stage=stage,
        error=run.error,
    )


def read_crawl_report(connection: Connection, run_id: int) -> CrawlReport:
    """Return what a crawl found and stored, and the reasons for the rest.

    Raises:
        NotFoundError: there is no such run.
    """
    run = read_run(connection, run_id)
    columns = crawl_urls.c
    outcomes: Counter[str] = Counter()
    dead: Counter[str] = Counter()
    found = 0
    hosts: dict[str, dict[str, int]] = {}
    size_bytes = 0
    query = (
        select(
            columns.host,
            columns.state,
            columns.outcome,
            func.count().label("number"),
            func.coalesce(func.sum(columns.size_bytes), 0).label("size_bytes"),
        )
        .where(columns.run_id == run_id)
        .group_by(columns.host, columns.state, columns.outcome)
    )
    for row in connection.execute(query):
        outcome = (row.outcome or "waiting") if row.state in ENDED else "waiting"
        (dead if row.state == MemberState.DEAD else outcomes)[outcome] += row.number
        found += row.number
        size_bytes += int(row.size_bytes)
        host = hosts.setdefault(row.host, {"found": 0, "stored": 0, "dead": 0})
        host["found"] += row.number
        host["stored"] += row.number if outcome in (STORED, KNOWN) else 0
        if row.state == MemberState.DEAD:
            host["dead"] += row.number
    counted = {STORED, KNOWN, LIMIT, "waiting", "placeholder", *DUPLICATES}
    parts = list_parts(connection, run_id)
    busiest = sorted(hosts.items(), key=lambda item: (-item[1]["found"], item[0]))
    return CrawlReport(
        run=run_id,
        state=run.state,
        error=run.error,
        found=found,
        stored=outcomes[STORED],
        known=outcomes[KNOWN],
        waiting=outcomes["waiting"],
        duplicates=sum(outcomes[name] for name in DUPLICATES),
        placeholders=outcomes["placeholder"],
        beyond_limit=outcomes[LIMIT],
        dead=dict(sorted(dead.items(), key=lambda item: (-item[1], item[0]))),
        refused={name: number for name, number in sorted(outcomes.items()) if name not in counted},
        size_bytes=size_bytes,
        lists=len(parts),
        pages=sum(part.pages for part in parts),
        lists_failed={
            f"{part.kind} {part.name}": part.problem or ""
            for part in parts
            if part.state is MemberState.DEAD
        },
        remarks={
            f"{part.kind} {part.name}": part.problem
            for part in parts
            if part.problem and part.state is not MemberState.DEAD
        },
        hosts=[HostReport(host=name, **counts) for name, counts in busiest[:HOSTS_SHOWN]],
    )
