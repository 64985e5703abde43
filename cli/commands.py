"""Every subcommand of afin, in the order that --help lists them."""

import typer

from cli import (
    accounts,
    demo,
    doctor,
    evaluate,
    imports,
    models,
    runs,
    sandbox,
    scrape,
    serve,
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
app.command()(serve.up)
app.command()(serve.worker)
app.command()(serve.flower)
app.command()(serve.web)
app.add_typer(users.app, name="users")
app.add_typer(imports.app, name="import")
app.add_typer(scrape.app, name="scrape")
app.add_typer(accounts.app, name="accounts")
app.command()(models.train)
app.add_typer(models.app, name="models")
app.command()(verdicts.classify)
app.command()(verdicts.reclassify)
app.add_typer(verdicts.app, name="verdicts")
app.add_typer(runs.app, name="runs")
app.command()(evaluate.evaluate)
app.command()(sandbox.sandbox)
