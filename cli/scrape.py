"""afin scrape: photos and posts from ImageNet, Pexels and Instagram."""

from typing import Annotated

import typer

from cli.output import JsonFlag, note, print_json, print_table, warn
from cli.progress import wait_for_run
from schemas.categories import known_categories, parse_category_set
from schemas.crawls import CrawlReport
from schemas.errors import UsageError
from schemas.runs import Progress, RunKind, RunState
from storage.crawl_report import read_crawl_progress, read_crawl_report
from storage.runs import list_runs
from tasks.context import context
from tasks.start_crawl import (
    crawl_accounts,
    crawl_imagenet,
    crawl_pexels,
    crawl_tags,
    require_category,
    retry_crawl,
    terms_of_categories,
)

app = typer.Typer(no_args_is_help=True, help="Crawl photos and posts: each crawl is a run.")

MIB = 2**20

CategoryOption = Annotated[
    str | None, typer.Option(help="What the photos are examples of; its slug, such as comida.")
]
FromCategories = Annotated[
    str | None,
    typer.Option(
        "--from-categories",
        metavar="SET",
        help="Every term of the category file: five, eight, thirteen, or a comma-separated list.",
    ),
]
LimitOption = Annotated[
    int | None, typer.Option(min=1, help="Stop at this many photos a category.")
]
PostsOption = Annotated[int | None, typer.Option(min=1, help="Stop at this many posts of each.")]
WaitFlag = Annotated[bool, typer.Option("--wait", help="Wait until the crawl has ended.")]


@app.command()
def imagenet(
    wnid: Annotated[
        list[str] | None,
        typer.Option(help="A WordNet id such as n02084071, or a name such as 'domestic cat'."),
    ] = None,
    category: CategoryOption = None,
    recursive: Annotated[
        bool, typer.Option("--recursive", help="Everything below the synset, too.")
    ] = False,
    from_categories: FromCategories = None,
    limit: LimitOption = None,
    wait: WaitFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Crawl photos of synsets, from the historical API or ImageNet's own files."""
    wanted = _pair("imagenet", "--wnid", wnid, category, from_categories)
    # The category file names what lies above; its photos are those of what lies below.
    deep = recursive or from_categories is not None
    run_id, remarks = crawl_imagenet(context(), wanted, recursive=deep, limit=limit)
    for remark in remarks:
        warn(remark)
    follow(run_id, wait=wait, as_json=as_json)


@app.command()
def pexels(
    term: Annotated[list[str] | None, typer.Option(help="What to search for.")] = None,
    category: CategoryOption = None,
    pages: Annotated[
        bool,
        typer.Option(
            "--pages", help="Read the pages that people see, without a key; mind Pexels' terms."
        ),
    ] = False,
    from_categories: FromCategories = None,
    limit: LimitOption = None,
    wait: WaitFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Crawl photos of searches, through Pexels' API."""
    wanted = _pair("pexels", "--term", term, category, from_categories)
    run_id = crawl_pexels(context(), wanted, pages=pages, limit=limit)
    follow(run_id, wait=wait, as_json=as_json)


@app.command()
def instagram(
    tag: Annotated[list[str] | None, typer.Option(help="A tag, with or without #.")] = None,
    category: CategoryOption = None,
    from_categories: FromCategories = None,
    posts: PostsOption = None,
    wait: WaitFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Crawl posts by tag, through Instagram's Graph API: 30 different tags in 7 days."""
    wanted = _pair("instagram", "--tag", tag, category, from_categories)
    run_id = crawl_tags(context(), wanted, posts=posts)
    follow(run_id, wait=wait, as_json=as_json)


@app.command()
def account(
    usernames: Annotated[list[str], typer.Argument(metavar="USERNAME…", show_default=False)],
    posts: PostsOption = None,
    wait: WaitFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Fetch accounts of businesses and creators with their posts."""
    run_id = crawl_accounts(context(), usernames, posts=posts)
    follow(run_id, wait=wait, as_json=as_json)


@app.command()
def retry(
    run: Annotated[int, typer.Argument(help="The crawl's number.")],
    failed: Annotated[
        bool, typer.Option("--failed", help="What was given up; there is nothing else to retry.")
    ] = False,
    wait: WaitFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Try again what a crawl gave up."""
    if not failed:
        raise UsageError("Say what: --failed tries every address and list again that was given up.")
    lists, urls = retry_crawl(context(), run)
    if not lists and not urls:
        note(f"Crawl {run} gave nothing up.")
    follow(run, wait=wait and bool(lists or urls), as_json=as_json)


@app.command()
def report(
    run: Annotated[int | None, typer.Argument(help="The crawl's number; else the newest.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """Tell what a crawl found and stored, and why it lacks the rest."""
    _report(_newest() if run is None else run, as_json=as_json)


def _pair(
    source: str,
    option: str,
    names: list[str] | None,
    category: str | None,
    from_categories: str | None,
) -> list[tuple[str, str]]:
    """Bring the two ways of saying what to crawl to one."""
    if from_categories is not None:
        if names or category:
            raise UsageError(f"--from-categories stands alone: leave {option} and --category out.")
        return terms_of_categories(source, parse_category_set(from_categories))
    if not names or category is None:
        raise UsageError(
            f"Say what to crawl: {option} with --category (one of {', '.join(known_categories())}, "
            "otra), or --from-categories."
        )
    return [(name, require_category(category)) for name in names]


def follow(run_id: int, *, wait: bool, as_json: bool) -> None:
    """Tell of a crawl that has begun; with ``wait`` once it has ended, with its report."""
    if wait:
        progress = wait_for_run(lambda: _progress(run_id), f"Crawl {run_id}")
        _report(run_id, as_json=as_json)
        if progress.state is not RunState.DONE:
            raise typer.Exit(1)
    elif as_json:
        print_json({"run": run_id})
    else:
        note(f"Crawl {run_id} goes on: 'afin runs watch {run_id}' shows how far it is.")


def _progress(run_id: int) -> Progress:
    with context().database.read() as connection:
        return read_crawl_progress(connection, run_id)


def _newest() -> int:
    with context().database.read() as connection:
        crawls = list_runs(connection, kind=RunKind.CRAWL)
    if not crawls:
        raise UsageError("There is no crawl yet: 'afin scrape --help' shows what can be crawled.")
    return crawls[0].id


def _report(run_id: int, *, as_json: bool) -> None:
    with context().database.read() as connection:
        report = read_crawl_report(connection, run_id)
    if as_json:
        print_json(report.model_dump(mode="json"))
        return
    print_report(report)


def print_report(report: CrawlReport) -> None:
    """Print what became of a crawl."""
    rows: list[tuple[str, object]] = [
        ("state", report.state),
        ("lists", f"{report.lists} ({report.pages} pages)"),
        ("addresses found", report.found),
        ("photos stored", f"{report.stored} ({report.size_bytes / MIB:.1f} MiB received)"),
        ("known already", report.known),
        ("duplicates", report.duplicates),
        ("placeholders", report.placeholders),
        ("beyond the limit", report.beyond_limit),
        ("waiting", report.waiting),
        *((f"dead: {reason}", number) for reason, number in report.dead.items()),
        *((f"refused: {reason}", number) for reason, number in report.refused.items()),
    ]
    print_table(("what", "how many"), [row for row in rows if row[1] != 0])
    if report.hosts:
        hosts = [(one.host, one.found, one.stored, one.dead) for one in report.hosts]
        print_table(("host", "found", "stored", "dead"), hosts)
    for name, problem in report.lists_failed.items():
        warn(f"{name} could not be listed: {problem}")
    for name, remark in report.remarks.items():
        note(f"{name}: {remark}")
    if report.error:
        warn(report.error)
