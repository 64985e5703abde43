"""Settings: what holds when nothing is set, and how a wrong value is told."""

import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from schemas.errors import UsageError
from schemas.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only what a test sets is set, and nothing of it is remembered."""
    for name in Settings.model_fields:
        monkeypatch.delenv(f"AFIN_{name.upper()}", raising=False)
    load_settings.cache_clear()
    yield
    load_settings.cache_clear()


def test_unset_means_embedded_and_local(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings = load_settings()
    assert settings.database == f"sqlite:///{tmp_path}/data/afin.db"
    assert settings.blobs == str(tmp_path / "data" / "blobs")
    assert settings.weights == tmp_path / "data" / "weights"
    assert settings.broker_url is settings.result_url is None
    assert settings.device == "auto"


def test_what_is_unsafe_is_off_unless_asked_for() -> None:
    settings = load_settings()
    assert settings.flower_address == "127.0.0.1"
    assert not settings.fetch_allow_loopback
    assert settings.fetch_honour_robots


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("AFIN_DATA_DIR", "/srv/afin", "data_dir", Path("/srv/afin")),
        ("AFIN_SHARD_POSTS", "50", "shard_posts", 50),
        ("AFIN_FETCH_ALLOW_LOOPBACK", "true", "fetch_allow_loopback", True),
        ("AFIN_BLOB_URL", "s3://bucket/afin", "blobs", "s3://bucket/afin"),
        ("AFIN_DATABASE_URL", "postgresql://a@b/c", "database", "postgresql://a@b/c"),
        ("AFIN_WEIGHTS_DIR", "/srv/weights", "weights", Path("/srv/weights")),
    ],
)
def test_a_variable_overrides_its_default(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, field: str, expected: object
) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(load_settings(), field) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AFIN_SHARD_POSTS", "many"),
        ("AFIN_SHARD_POSTS", "0"),
        ("AFIN_SHARD_POSTS", "201"),
        ("AFIN_MAX_PHOTO_BYTES", "-1"),
        ("AFIN_FETCH_TIMEOUT_S", "0"),
        ("AFIN_FETCH_ALLOW_LOOPBACK", "perhaps"),
        ("AFIN_FLOWER_PORT", "70000"),
    ],
)
def test_a_value_that_cannot_be_used_is_told_by_its_name(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=f"{name}: .+"):
        load_settings()


def test_all_wrong_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFIN_SHARD_POSTS", "many")
    monkeypatch.setenv("AFIN_SWEEP_S", "-3")
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert "AFIN_SHARD_POSTS" in str(caught.value)
    assert "AFIN_SWEEP_S" in str(caught.value)


def test_a_wrong_value_is_never_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFIN_MAX_ATTEMPTS", "hunter2")
    monkeypatch.setenv("AFIN_BROKER_URL", "redis://:hunter2@broker/0")
    with pytest.raises(UsageError) as caught:
        load_settings()
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_secrets_stay_out_of_what_is_printed() -> None:
    settings = Settings(
        database_url=SecretStr("postgresql://afin:hunter2@db/afin"),
        broker_url=SecretStr("redis://:hunter2@broker/0"),
        result_url=SecretStr("redis://:hunter2@broker/1"),
        flower_auth=SecretStr("afin:hunter2"),
    )
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in settings.model_dump_json()


def test_a_variable_of_somebody_else_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFIN_TEST_POSTGRES_URL", "postgresql://somewhere/else")
    assert load_settings() == Settings()


def test_settings_do_not_change_once_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_settings().sweep_s = 1.0  # type: ignore[misc]


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFIN_EVENT_SECRETS", "")
    monkeypatch.setenv("AFIN_FLOWER_PORT", "")
    settings = Settings()
    assert settings.event_secrets is None
    assert settings.flower_port == 0
