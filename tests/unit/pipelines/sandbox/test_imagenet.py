import io
import re
from pathlib import Path

import pytest
from PIL import Image
from yarl import URL

from pipelines.sources.sandbox import Misbehaviour, Sandbox, SandboxPlan, Server
from pipelines.sources.sandbox.imagenet import find_subject, list_mapping
from pipelines.sources.sandbox.synsets import list_subtree, list_synsets
from pipelines.sources.sandbox.world import World
from schemas.categories import OTRA, Category, read_categories
from tests.sandbox import SMALL, ask, ask_all

URLS = "imagenet.synset.geturls"
MAPPING = "imagenet.synset.geturls.getmapping"
HYPONYMS = "wordnet.structure.hyponym"


def ask_api(sandbox: Sandbox, method: str, query: str) -> str:
    reply = ask(f"{sandbox.imagenet_url}/api/text/{method}?{query}")
    assert reply.status == 200
    return reply.text


def test_a_list_of_addresses_has_one_a_line_with_crlf(sandbox: Sandbox) -> None:
    text = ask_api(sandbox, URLS, "wnid=n02084071")
    lines = text.split("\r\n")
    assert lines[-1] == ""
    assert len(lines) - 1 == SMALL.urls_per_synset
    assert all(line.startswith("http://127.0.0.1:") for line in lines[:-1])
    assert "\n" not in text.replace("\r\n", "")


def test_the_mapping_names_an_id_before_each_address(sandbox: Sandbox) -> None:
    urls = ask_api(sandbox, URLS, "wnid=n02121808").split()
    pairs = [line.split(" ") for line in ask_api(sandbox, MAPPING, "wnid=n02121808").splitlines()]
    assert [url for _, url in pairs] == urls
    numbers = [int(re.fullmatch(r"n02121808_([0-9]+)", name)[1]) for name, _ in pairs]  # type: ignore[index]
    assert numbers == sorted(set(numbers))


def test_ids_leave_gaps_as_in_the_real_lists(sandbox: Sandbox, formats: Path) -> None:
    real = (formats / "imagenet" / "n02084071_urls.txt").read_text("latin-1").splitlines()
    served = [
        line.replace(" ", "\t", 1)
        for line in ask_api(sandbox, MAPPING, "wnid=n02084071").splitlines()
    ]
    for lines in (real[:12], served):
        numbers = [int(line.split("\t")[0].partition("_")[2]) for line in lines]
        assert numbers != list(range(numbers[0], numbers[0] + len(numbers)))


@pytest.mark.parametrize("method", [URLS, MAPPING, HYPONYMS])
@pytest.mark.parametrize("query", ["wnid=n99999999", "wnid=dog", "", "wnid=n02084071%27"])
def test_a_bad_id_is_answered_with_200(sandbox: Sandbox, method: str, query: str) -> None:
    assert ask_api(sandbox, method, query) == "Invalid url!"


def test_hyponyms_begin_with_the_synset_itself(sandbox: Sandbox) -> None:
    lines = ask_api(sandbox, HYPONYMS, "wnid=n01317541").split("\r\n")
    assert lines == ["n01317541", "-n02084071", "-n02121808", ""]


def test_the_full_subtree_has_a_shared_child_once(sandbox: Sandbox) -> None:
    lines = ask_api(sandbox, HYPONYMS, "wnid=n00015388&full=1").splitlines()
    assert {"-n01317541", "-n02083346", "-n02084071", "-n02085620"} <= set(lines)
    assert len(lines) == len(set(lines))


def test_some_synsets_have_two_parents() -> None:
    assert list_synsets()["n02084071"].parents == ("n01317541", "n02083346")
    assert list_synsets()["n02121808"].parents == ("n01317541", "n02121620")


def test_every_parent_is_a_synset_and_above_its_children() -> None:
    known = list_synsets()
    for synset in known.values():
        assert all(parent in known for parent in synset.parents)
        assert synset.wnid not in list_subtree(synset.wnid)


@pytest.mark.parametrize("category", read_categories().categories.values(), ids=lambda c: c.slug)
def test_every_imagenet_term_of_a_category_is_a_synset(category: Category) -> None:
    names = {
        name.strip().lower()
        for synset in list_synsets().values()
        for name in (synset.wnid, *synset.words.split(","))
    }
    terms = {term.lower() for term in category.imagenet}
    missing = {term for term in terms if not {term, term.removesuffix("s")} & names}
    missing -= {"work clothing"}  # WordNet writes it with a hyphen
    assert not missing


def test_there_are_synsets_of_nothing_in_particular() -> None:
    assert any(synset.category == OTRA for synset in list_synsets().values())


def test_a_listed_address_serves_a_photo(sandbox: Sandbox) -> None:
    url = ask_api(sandbox, URLS, "wnid=n02084071").split()[0]
    reply = ask(url)
    assert reply.headers["Content-Type"] == "image/jpeg"
    with Image.open(io.BytesIO(reply.body)) as image:
        image.load()
        assert image.size == (320, 320)


def test_two_addresses_serve_two_photos(sandbox: Sandbox) -> None:
    first, second, *_ = ask_api(sandbox, URLS, "wnid=n02084071").split()
    assert ask(first).body != ask(second).body


def test_an_address_that_is_not_listed_is_not_found(sandbox: Sandbox) -> None:
    base = sandbox.base(Server.IMAGENET_PHOTOS)
    replies = ask_all([f"{base}/photos/dog.jpg", f"{base}/photos/n00000000_1.jpg"])
    assert [reply.status for reply in replies] == [404, 404]


def test_words_are_written_as_in_the_real_file(sandbox: Sandbox, formats: Path) -> None:
    real = (formats / "imagenet" / "words.txt").read_text("utf-8").splitlines()
    served = ask(f"{sandbox.imagenet_url}/archive/words.txt").text.splitlines()
    line = re.compile(r"n[0-9]{8}\t[^\t,]+(, [^\t,]+)*")
    assert all(line.fullmatch(text) for text in (*real, *served))
    assert len(served) == len(list_synsets())
    both = dict(text.split("\t") for text in real)
    ours = dict(text.split("\t") for text in served)
    assert all(both[wnid] == ours[wnid] for wnid in both.keys() & ours.keys())


def test_the_files_hold_what_the_api_tells(sandbox: Sandbox, tmp_path: Path) -> None:
    words, edges, urls = sandbox.write_files(tmp_path / "new" / "folder")
    assert [path.name for path in (words, edges, urls)] == [
        "words.txt", "wordnet.is_a.txt", "fall11_urls.txt",
    ]  # fmt: skip
    assert "n01317541 n02084071" in edges.read_text("ascii").splitlines()
    listed = [
        line.replace(b"\t", b" ", 1).decode()
        for line in urls.read_bytes().split(b"\n")
        if line.startswith(b"n02084071_") and b"caf" not in line
    ]
    assert listed == ask_api(sandbox, MAPPING, "wnid=n02084071").splitlines()


def test_the_list_of_addresses_has_stray_bytes_and_broken_lines(sandbox: Sandbox) -> None:
    body = ask(f"{sandbox.imagenet_url}/archive/fall11_urls.txt").body
    with pytest.raises(UnicodeDecodeError):
        body.decode("utf-8")
    assert any(b"\t" not in line for line in body.splitlines())


def test_an_unknown_file_is_not_found(sandbox: Sandbox) -> None:
    assert ask(f"{sandbox.imagenet_url}/archive/fall12_urls.txt").status == 404


def test_odd_names_lead_to_photos_all_the_same(sandbox: Sandbox) -> None:
    sandbox.misbehave(Server.IMAGENET_PHOTOS, {Misbehaviour.ODD_NAME: 1.0})
    urls = [
        line.split(" ", 1)[1]
        for wnid in ("n02084071", "n02121808")
        for line in ask_api(sandbox, MAPPING, f"wnid={wnid}").splitlines()
    ]
    assert any("user:pass@" in url for url in urls)
    assert any(".." in url for url in urls)
    assert any(" " in url for url in urls)
    assert any(not url.isascii() for url in urls)
    assert {reply.status for reply in ask_all(urls)} == {200}


def test_some_photos_are_listed_twice(world: World) -> None:
    paths = [URL(url).path for wnid in list_synsets() for _, url in list_mapping(world, wnid)]
    subjects = {find_subject(world, path) for path in paths}
    assert None not in subjects
    assert 0.9 < len(subjects) / len(paths) < 1.0


def test_about_as_many_links_are_dead_as_planned(world: World) -> None:
    world.plan = SandboxPlan(misbehaviours={Server.IMAGENET_PHOTOS: {Misbehaviour.REFUSED: 0.25}})
    urls = [url for wnid in list_synsets() for _, url in list_mapping(world, wnid)]
    dead = [url for url in urls if url.startswith(world.dead_base)]
    assert 0.2 < len(dead) / len(urls) < 0.3
