"""Every page answers, in both languages, and shows what is stored."""

import csv
import html
import io

import pyarrow.parquet as pq
import pytest
from sqlalchemy import update

from schemas.runs import RunKind
from storage.runs import create_run
from storage.tables import outcomes, photos
from tasks.context import Context
from tasks.figures import count_when_due
from tests.pages import ACCOUNTS, POSTS_EACH, Visitor, World
from web.render import compact
from web.words import translator
from web.words.english import ENGLISH
from web.words.spanish import SPANISH

PAGES = (
    "/",
    "/accounts/ana.cocina",
    "/campaigns",
    "/review",
    "/runs",
    "/runs/1",
    "/models",
    "/map",
    "/api",
    "/sign-in",
)
LARGEST_BYTES = 150_000


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("language", ["es", "en"])
def test_a_page_is_shown_in_the_language_the_browser_asks_for(
    visitor: Visitor, path: str, language: str
) -> None:
    reply = visitor.get(path, {"Accept-Language": f"{language}-CL,fr;q=0.5"})
    assert reply.status == 200
    assert f'<html lang="{language}"' in reply.text


def test_both_languages_know_the_same_words_and_leave_none_empty() -> None:
    assert set(ENGLISH) == set(SPANISH)
    assert all(ENGLISH.values())
    assert all(SPANISH.values())


def test_a_bundles_page_shows_what_it_says_of_itself(visitor: Visitor, world: World) -> None:
    assert "post_threshold" in visitor.get(f"/models/{world.bundle_id}").text


def test_the_first_page_without_photos_weighs_less_than_150_kb(visitor: Visitor) -> None:
    page = visitor.get("/")
    linked = [part.split('"')[0] for part in page.text.split('"/static/')[1:]]
    size = len(page.body) + sum(len(visitor.get(f"/static/{one}").body) for one in linked)
    assert size < LARGEST_BYTES


def test_a_photo_is_shown_with_whose_it_is(visitor: Visitor, resources: Context) -> None:
    credit = "Luz Paredes (pexels) · https://www.pexels.com/photo/1"
    with resources.database.write() as connection:
        connection.execute(update(photos).values(credit=credit))
    assert credit in visitor.get("/accounts/ana.cocina").text
    assert credit in visitor.get("/review").text


def test_what_people_wrote_is_shown_as_text(visitor: Visitor) -> None:
    text = visitor.get("/accounts/ana.cocina").text
    assert "&lt;b&gt;&amp;" in text
    assert "0 <b>&" not in text


def test_accounts_are_found_by_part_of_their_name(visitor: Visitor) -> None:
    text = visitor.get("/?text=GOL").text
    assert "beto_gol" in text
    assert "ana.cocina" not in text


def test_a_wrong_filter_is_told_in_one_sentence(visitor: Visitor) -> None:
    reply = visitor.get("/?min_share=7")
    assert reply.status == 400
    assert "min_share" in reply.text


def test_the_list_can_be_had_as_csv_json_and_parquet(visitor: Visitor) -> None:
    rows = list(csv.DictReader(io.StringIO(visitor.get("/accounts/export?format=csv").text)))
    assert [row["username"] for row in rows] == sorted(ACCOUNTS)
    assert [row["username"] for row in visitor.get("/accounts/export?format=json").json] == sorted(
        ACCOUNTS
    )
    parquet = visitor.get("/accounts/export?format=parquet").body
    assert pq.read_table(io.BytesIO(parquet)).column("username").to_pylist() == sorted(ACCOUNTS)


def test_a_campaign_ranks_accounts_by_weighted_shares(visitor: Visitor) -> None:
    fields = {
        "name": "Cocina",
        "weight-comida": "3",
        "weight-deporte": "1",
        "min_followers": "3000",
        "min_posts": "1",
    }
    saved = visitor.post("/campaigns", fields)
    assert saved.status == 303
    exported = visitor.get(f"{saved.headers['Location']}/export?format=json").json
    scores = [row["score"] for row in exported]
    assert scores == sorted(scores, reverse=True)
    shares = visitor.get(f"/api/v1/accounts/{exported[0]['username']}").json["account"]["shares"]
    found = {share["category"]: share["share"] for share in shares}
    expected = 0.75 * found.get("comida", 0) + 0.25 * found.get("deporte", 0)
    assert scores[0] == pytest.approx(expected, abs=1e-4)
    page = visitor.get(saved.headers["Location"]).text
    assert "≥ 1 post judged" in page


def test_a_campaign_leaves_out_whom_too_few_posts_speak_for(visitor: Visitor) -> None:
    assert 'name="min_posts" min="0" value="5"' in visitor.get("/campaigns").text
    limits = {"weight-comida": "1", "min_followers": "0"}
    found = {}
    for least in ("", str(POSTS_EACH), str(POSTS_EACH + 1)):
        saved = visitor.post("/campaigns", {"name": f"c{least}", "min_posts": least, **limits})
        found[least] = visitor.get(f"{saved.headers['Location']}/export?format=json").json
    assert found[""] == found[str(POSTS_EACH)] != []
    assert found[str(POSTS_EACH + 1)] == []
    spanish = visitor.get("/campaigns", {"Accept-Language": "es"}).text
    assert "Posts clasificados, mínimo" in spanish


def test_an_analysts_word_stays_beside_the_models(visitor: Visitor) -> None:
    before = visitor.get("/api/v1/accounts/ana.cocina").json["verdict"]
    fields = {"categories": ["viajes"], "reason": "Solo viaja este año", "what": "say"}
    assert visitor.post("/accounts/ana.cocina/override", fields).status == 303
    after = visitor.get("/api/v1/accounts/ana.cocina").json
    assert after["verdict"] == before
    assert after["override"]["categories"] == ["viajes"]
    assert after["override"]["author"] == "local"


def test_a_run_is_paused_resumed_and_cancelled(
    visitor: Visitor, resources: Context, world: World
) -> None:
    with resources.database.write() as connection:
        run_id = create_run(connection, RunKind.CLASSIFY, params={}, bundle_id=world.bundle_id)
    states = []
    for what in ("pause", "resume", "cancel"):
        assert visitor.post(f"/runs/{run_id}/{what}", {}).status == 303
        states.append(visitor.get(f"/api/v1/runs/{run_id}").json["run"]["state"])
    assert states == ["paused", "running", "cancelled"]
    assert visitor.post(f"/runs/{run_id}/pause", {}).status == 400


def test_one_of_something_is_not_said_as_many_are() -> None:
    assert translator("en")("posts_judged", count=1) == "1 post judged"
    assert translator("en")("posts_judged", count=2) == "2 posts judged"
    assert translator("es")("likes", count="1") == "1 me gusta"
    assert translator("es")("likes", count="1,5 mil").startswith("1,5 mil")


@pytest.mark.parametrize(
    ("language", "value", "said"),
    [
        ("en", 12_345, "12.3 k"),
        ("es", 12_345, "12,3 mil"),
        ("en", 3_000, "3 k"),
        ("es", 250_000, "250 mil"),
        ("en", 2_500_000, "2.5 M"),
        ("en", None, "-"),
        ("es", 999, "999"),
    ],
)
def test_large_figures_are_short_in_the_readers_language(
    language: str, value: float | None, said: str
) -> None:
    assert compact({"language": language}, value).replace("\N{NO-BREAK SPACE}", " ") == said


def test_a_choice_leads_back_to_the_list_as_it_was_filtered(visitor: Visitor) -> None:
    text = visitor.get("/?text=gol&order=certain").text
    where = html.unescape(text.split('action="/choices?to=')[1].split('"')[0])
    chosen = visitor.post(f"/choices?to={where}", {"theme": "dark"})
    assert chosen.headers["Location"] == "/?text=gol&order=certain"


def test_accepting_what_the_model_does_not_know_says_what_will_be_kept(
    visitor: Visitor, resources: Context
) -> None:
    with resources.database.write() as connection:
        connection.execute(update(outcomes).values(category=None))
    assert "It is right: None of ours" in visitor.get("/review").text


def test_what_is_not_there_is_said_on_a_page(visitor: Visitor) -> None:
    reply = visitor.get("/accounts/nobody")
    assert reply.status == 404
    assert "No account named" in reply.text


def test_a_photo_comes_under_its_true_type(visitor: Visitor) -> None:
    (post, *_) = visitor.get("/api/v1/accounts/ana.cocina/posts").json
    reply = visitor.get(post["photo_urls"][0])
    assert reply.headers["Content-Type"] == "image/png"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert visitor.get(f"/photos/{post['photos'][0]}/small").body[8:12] == b"WEBP"


def test_metrics_count_accounts_by_bundle(
    visitor: Visitor, resources: Context, world: World
) -> None:
    count_when_due(resources)
    text = visitor.get("/metrics").text
    assert f'afin_accounts_judged{{bundle="{world.bundle_id}"}} 3.0' in text
    assert "afin_verdicts_per_minute" in text
