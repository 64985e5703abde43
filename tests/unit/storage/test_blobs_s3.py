"""The blob store on an object store, against a server of S3's protocol on loopback."""

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from schemas.errors import BlobError, LostBlobError
from storage.blobs import BlobStore

pytest.importorskip("s3fs", reason="The extra s3 is not installed.")
moto_server = pytest.importorskip("moto.server", reason="moto's server is not installed.")

BUCKET = "photos"
SECRET = "very-secret-key"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> str:
    """The environment in which every S3 client finds the server and may use it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "afin")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return endpoint


@pytest.fixture
def store(credentials: str, tmp_path: Path) -> BlobStore:
    with urlopen(Request(f"{credentials}/{BUCKET}", method="PUT"), timeout=10):  # noqa: S310
        pass
    return BlobStore(f"s3://{BUCKET}/afin", cache_dir=tmp_path / "cache")


def test_a_photo_comes_back_as_it_was_kept(store: BlobStore) -> None:
    assert store.read_photo(store.write_photo(b"jpeg")) == b"jpeg"


def test_the_store_checks_itself(store: BlobStore) -> None:
    store.check()


def test_a_photo_written_by_another_process_is_seen_at_once(
    store: BlobStore, tmp_path: Path
) -> None:
    other = BlobStore(f"s3://{BUCKET}/afin", cache_dir=tmp_path / "other")
    assert not store.exists("photos/new")
    other.write("photos/new", b"1")
    assert store.exists("photos/new")
    other.write("photos/new", b"2")
    assert store.read("photos/new") == b"2"


def test_a_photo_that_is_gone_is_said_to_be_lost(store: BlobStore) -> None:
    sha256 = store.write_photo(b"gone")
    store.delete_photo(sha256)
    store.delete_photo(sha256)
    with pytest.raises(LostBlobError, match="restore it"):
        store.read_photo(sha256)


def test_a_bundle_is_copied_to_a_local_folder(store: BlobStore, tmp_path: Path) -> None:
    source = tmp_path / "bundle"
    source.mkdir()
    (source / "manifest.json").write_text("{}")
    (source / "network.safetensors").write_bytes(b"weights")
    store.publish_folder("bundles/b1", source)
    copy = store.local_folder("bundles/b1")
    assert (copy / "network.safetensors").read_bytes() == b"weights"


def test_a_bucket_that_does_not_exist_is_an_error_without_the_key(
    credentials: str, tmp_path: Path
) -> None:
    store = BlobStore("s3://no-such-bucket/afin", cache_dir=tmp_path)
    with pytest.raises(BlobError, match="AFIN_BLOB_URL") as caught:
        store.check()
    assert SECRET not in str(caught.value)


def test_a_server_that_is_away_is_an_error_that_can_be_waited_out(
    credentials: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    store = BlobStore("s3://away/afin", cache_dir=tmp_path)
    with pytest.raises(BlobError, match="cannot be used") as caught:
        store.write_photo(b"jpeg")
    assert SECRET not in str(caught.value)


def test_missing_credentials_are_an_error_that_says_so(
    credentials: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    store = BlobStore("s3://others/afin", cache_dir=tmp_path)
    with pytest.raises(BlobError, match="credentials"):
        store.write_photo(b"jpeg")


def test_a_forked_process_reads_on_a_connection_of_its_own(
    store: BlobStore, tmp_path: Path
) -> None:
    sha256 = store.write_photo(b"jpeg")
    pid = os.fork()
    if pid == 0:
        again = BlobStore(f"s3://{BUCKET}/afin", cache_dir=tmp_path / "child")
        os._exit(0 if again.read_photo(sha256) == b"jpeg" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
