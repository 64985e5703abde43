"""Every subcommand of afin, in the order that --help lists them."""

import typer

from cli import (
    accounts,
    bulk,
    campaigns,
    deliveries,
    demo,
    doctor,
    evaluate,
    events,
    imports,
    labels,
    maps,
    models,
    refresh,
    report,
    run_repairs,
    runs,
    sandbox,
    scrape,
    serve,
    training,
    users,
    verdicts,
)

app = typer.Typer(
    name="afin",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Tells what an Instagram influencer is about, and shows the posts that prove it.",
)
app.command()(demo.demo)
app.command()(doctor.doctor)
app.command()(serve.migrate)
app.command()(serve.up)
app.command()(serve.worker)
app.command()(serve.flower)
app.command()(serve.web)
app.add_typer(users.app, name="users")
app.add_typer(imports.app, name="import")
app.add_typer(scrape.app, name="scrape")
app.command()(refresh.refresh)
app.add_typer(accounts.app, name="accounts")
app.add_typer(campaigns.app, name="campaigns")
app.add_typer(labels.app, name="labels")
app.command()(training.train)
app.add_typer(models.app, name="models")
app.command()(verdicts.classify)
app.command()(bulk.reclassify)
app.add_typer(verdicts.app, name="verdicts")
runs.app.command()(run_repairs.diff)
runs.app.command()(run_repairs.retry)
app.add_typer(runs.app, name="runs")
app.add_typer(events.app, name="events")
app.add_typer(deliveries.app, name="deliveries")
app.add_typer(deliveries.dead, name="dead")
app.command()(evaluate.evaluate)
app.command()(report.report)
app.command("map")(maps.map_posts)
app.command()(sandbox.sandbox)
