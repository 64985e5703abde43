"""The client against pages that are really served: what it reads, sends, and refuses to do."""

import base64
import io
import os
import re
import textwrap
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from kombu.transport.memory import Channel
from pydantic import BaseModel

from schemas import answers
from schemas.errors import UsageError
from schemas.events import EventState
from schemas.runs import RunKind, RunState
from schemas.users import Role
from storage import listing, run_views, standings
from storage.campaigns import MIN_POSTS, Campaign
from storage.members import add_members, finish_members
from storage.runs import create_run, end_run
from storage.users import add_token, add_user
from tasks.context import Context, context
from tasks.maps import make_map
from tests.adopted import adopted
from tests.pages import ACCOUNTS, POSTS_EACH, World, serving
from tests.unit.web.conftest import environment
from web import evidence
from web.api import doubts as api_doubts
from web.api import models
from web.client import (
    Afin,
    BusyError,
    ForbiddenError,
    MissingError,
    SignInError,
    UnreachableError,
    WrongRequestError,
)
from web.events import event_routes
from web.sign_in import hash_password

ROOT = Path(__file__).parents[3]
SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
POSTS = len(ACCOUNTS) * POSTS_EACH


@pytest.fixture
def resources(tmp_path: Path) -> Iterator[Context]:
    """A server that wants people to sign in, and takes events signed with our secret."""
    closed = {"AFIN_WEB_SIGN_IN": "true", "AFIN_EVENT_SECRETS": SECRET}
    with adopted({**environment(tmp_path), **closed, "AFIN_WORKERS_WAIT_S": "0.01"}):
        yield context()
        Channel.queues.clear()


@pytest.fixture
def tokens(resources: Context, world: World) -> dict[Role, str]:
    hashed = hash_password("a password nobody uses")
    with resources.database.write() as connection:
        for role in Role:
            add_user(connection, role.value, hashed, role)
        return {role: add_token(connection, role.value) for role in Role}


@pytest.fixture
def url(resources: Context, tokens: dict[Role, str]) -> Iterator[str]:
    with serving(resources, event_routes(resources)) as base:
        yield base


@pytest.fixture
def afin(url: str, tokens: dict[Role, str]) -> Iterator[Afin]:
    """The client of an operator."""
    with Afin(url, token=tokens[Role.OPERATOR], patience_s=5) as client:
        yield client


def test_a_verdict_comes_in_the_thesiss_form(afin: Afin) -> None:
    found = afin.verdict("ana.cocina")
    assert found.username == "ana.cocina"
    assert set(found.categories) == {"nn"}


def test_accounts_are_gone_through_page_by_page(
    afin: Afin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.client_base.PAGE", 1)
    assert [one.username for one in afin.accounts()] == sorted(ACCOUNTS)
    sure = [one.standing.certainty for one in afin.accounts(order="certain") if one.standing]
    assert sure == sorted(sure, reverse=True)
    assert [one.username for one in afin.accounts(text="gol")] == ["beto_gol"]
    assert list(afin.accounts(min_followers=10**9)) == []


def test_a_campaign_asks_for_posts_judged_unless_told_otherwise(afin: Afin) -> None:
    usual = afin.save_campaign("usual", {"comida": 2.0, "deporte": 1.0}, min_followers=0)
    assert usual.min_posts == MIN_POSTS
    few = afin.save_campaign("few", {"comida": 1.0}, min_followers=0, min_posts=POSTS_EACH)
    assert [one.name for one in afin.campaigns()] == ["few", "usual"]
    assert POSTS_EACH < MIN_POSTS
    assert list(afin.ranking(usual.id)) == []
    scores = [one.score or 0 for one in afin.ranking(few.id)]
    assert scores == sorted(scores, reverse=True)
    assert scores
    assert list(afin.accounts(min_posts=POSTS_EACH + 1)) == []
    assert afin.forget_campaign(few.id) == few
    with pytest.raises(MissingError):
        list(afin.ranking(few.id))


def test_an_account_comes_with_posts_and_photos(afin: Afin, world: World) -> None:
    found = afin.account("ana.cocina")
    assert found.verdict is not None
    assert found.verdict.bundle_id == world.bundle_id
    assert found.account.categories == found.verdict.verdicts[0].categories
    posts = afin.posts("ana.cocina")
    assert len(posts) == POSTS_EACH
    assert afin.photo(posts[0].photos[0])[:4] == b"\x89PNG"
    assert afin.photo(posts[0].photos[0], small=True)[8:12] == b"WEBP"


def test_an_analysts_word_is_kept_and_taken_back(afin: Afin) -> None:
    said = afin.override("ana.cocina", ["viajes"], reason="Solo viaja")
    assert said.override is not None
    assert (said.override.categories, said.override.author) == (("viajes",), "operator")
    back = afin.override("ana.cocina", None, reason="Era un error")
    assert back.override is None or back.override.categories is None


def test_a_run_is_watched_to_its_end(afin: Afin, resources: Context, world: World) -> None:
    with resources.database.write() as connection:
        run_id = create_run(connection, RunKind.CLASSIFY, params={}, bundle_id=world.bundle_id)
        add_members(connection, run_id, world.ids.values())
    watched = afin.watch(run_id, every_s=0.01)
    assert (next(watched).done, next(iter(afin.runs())).run.id) == (0, run_id)
    with resources.database.write() as connection:
        finish_members(connection, run_id, list(world.ids.values()))
    assert next(watched).done == len(ACCOUNTS)
    with resources.database.write() as connection:
        end_run(connection, run_id, RunState.DONE)
    assert [one.run.state for one in watched] == [RunState.DONE]
    assert afin.wait(run_id).done == len(ACCOUNTS)
    assert afin.problems(run_id) == []


def test_a_run_that_goes_on_is_not_watched_for_ever(
    afin: Afin, resources: Context, world: World
) -> None:
    with resources.database.write() as connection:
        run_id = create_run(connection, RunKind.CLASSIFY, params={}, bundle_id=world.bundle_id)
    with pytest.raises(TimeoutError, match="goes on"):
        afin.wait(run_id, every_s=0.01, within_s=0.0)
    assert afin.steer(run_id, "pause").run.state is RunState.PAUSED
    assert afin.steer(run_id, "cancel").run.state is RunState.CANCELLED


def test_without_workers_nothing_is_started_and_the_error_says_what_to_start(afin: Afin) -> None:
    with pytest.raises(BusyError, match="afin up"):
        afin.classify("ana.cocina")


def test_models_and_their_map_are_read(afin: Afin, resources: Context, world: World) -> None:
    (model,) = afin.models()
    assert (model.id, model.in_force) == (world.bundle_id, len(ACCOUNTS))
    with pytest.raises(MissingError, match="afin map"):
        afin.map(model.id)
    assert afin.ask_for_map(model.id, "both", posts=50).asked_at is not None
    make_map(resources, None, "both")
    assert len(afin.map(model.id, "both").points) == POSTS


def test_an_event_is_signed_and_kept_once(afin: Afin, url: str) -> None:
    data = {"username": "nueva.cuenta", "posts": []}
    with Afin(url) as platform:
        first = platform.send_event("influencer.created", data, secret=SECRET, webhook_id="evt_7")
        again = platform.send_event("influencer.created", data, secret=SECRET, webhook_id="evt_7")
        assert (first.duplicate, again.duplicate, again.id) == (False, True, first.id)
        assert platform.event(first.id).state is EventState.RECEIVED
        other = "whsec_" + base64.b64encode(b"x" * 32).decode()
        with pytest.raises(SignInError):
            platform.send_event("influencer.created", data, secret=other)
        with pytest.raises(WrongRequestError, match="username"):
            platform.send_event("influencer.created", {"username": "no es"}, secret=SECRET)
        with pytest.raises(UsageError, match=r"influencer\.created"):
            platform.send_event("influencer.flown", data, secret=SECRET)


def test_what_one_may_not_do_says_what_is_needed(url: str, tokens: dict[Role, str]) -> None:
    with Afin(url) as stranger, pytest.raises(SignInError, match="afin users token"):
        stranger.me()
    with Afin(url, token="afin_wrong") as wrong, pytest.raises(SignInError):
        wrong.verdict("ana.cocina")
    with Afin(url, token=tokens[Role.VIEWER]) as viewer:
        assert viewer.me().role is Role.VIEWER
        with pytest.raises(ForbiddenError, match="reviewer"):
            viewer.override("ana.cocina", ["arte"], reason="Pinta")


def test_what_is_not_there_is_an_error_of_its_own(afin: Afin) -> None:
    with pytest.raises(MissingError, match="No account named") as caught:
        afin.verdict("nobody")
    assert caught.value.status == 404
    with pytest.raises(MissingError):
        afin.verdict("../../me")
    with pytest.raises(UsageError):
        afin.verdict("")
    with pytest.raises(WrongRequestError, match="category"):
        list(afin.accounts(category="nada"))


@pytest.mark.parametrize("address", ["", "localhost:8000", "ftp://here", "http://"])
def test_an_address_that_is_none_is_refused_at_once(address: str) -> None:
    with pytest.raises(UsageError, match="no address"):
        Afin(address)


def test_a_token_is_not_sent_unprotected_to_other_machines() -> None:
    with pytest.raises(UsageError, match="https"):
        Afin("http://afin.example.org", token="afin_x")
    Afin("http://afin.example.org", token="afin_x", allow_http=True)


def test_where_nobody_answers_the_error_says_what_to_start(url: str) -> None:
    with (
        Afin("http://127.0.0.1:9", timeout_s=5) as nobody,
        pytest.raises(UnreachableError, match="afin up"),
    ):
        nobody.me()


TWINS: tuple[tuple[type[BaseModel], type[BaseModel]], ...] = (
    (answers.Me, models.Me),
    (answers.ThesisVerdict, models.ThesisVerdict),
    (answers.ListedShare, listing.Share),
    (answers.AccountStanding, standings.Standing),
    (answers.ListedAccount, listing.Listed),
    (answers.AccountsPage, models.Accounts),
    (answers.SavedCampaign, Campaign),
    (answers.DoubtedLabel, api_doubts.DoubtedLabel),
    (answers.DoubtsPage, api_doubts.DoubtedLabels),
    (answers.SettledDoubt, api_doubts.SettledDoubt),
    (answers.AnalystsWord, models.Override),
    (answers.AccountDetail, models.Account),
    (answers.Probability, evidence.Probability),
    (answers.AccountPost, models.Post),
    (answers.StartedRun, models.StartedRun),
    (answers.RunProgress, run_views.RunView),
    (answers.RunProblems, run_views.ProblemGroup),
    (answers.ListedBundle, models.Bundle),
)


@pytest.mark.parametrize(("read", "given"), TWINS, ids=lambda one: one.__name__)
def test_the_client_reads_only_what_the_server_gives(
    read: type[BaseModel], given: type[BaseModel]
) -> None:
    assert set(read.model_fields) <= set(given.model_fields)


@pytest.mark.parametrize("page", ["README.md", "docs/api.md"])
def test_the_examples_of_the_documentation_run(
    page: str, url: str, tokens: dict[Role, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AFIN", url)
    monkeypatch.setenv("AFIN_TOKEN", tokens[Role.OPERATOR])
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
    examples = [block for block in blocks if "web.client" in block]
    assert examples
    said = io.StringIO()
    for example in examples:
        # Account and address of the text are not those of the test, which needs a token too.
        text = textwrap.dedent(example).replace("jansport_cl", "ana.cocina")
        text = text.replace('("http://127.0.0.1:8000")', '(os.environ["AFIN"], token=TOKEN)')
        with redirect_stdout(said):
            exec(compile(text, page, "exec"), {"os": os, "TOKEN": tokens[Role.OPERATOR]})  # noqa: S102 - our own documentation
    assert "ana.cocina" in said.getvalue()
