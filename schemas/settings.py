"""Every knob of afin in one typed place; each is read from the environment as AFIN_<NAME>."""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from schemas.errors import UsageError


class Settings(BaseSettings):
    """Settings of one process; unset addresses mean the embedded server or a local folder."""

    # Compose files hand on what is not set as an empty string.
    model_config = SettingsConfigDict(
        env_prefix="AFIN_", frozen=True, extra="ignore", env_ignore_empty=True
    )

    # Where things are kept
    data_dir: Path = Field(Path("data"), description="database, blobs, broker and logs live here")
    database_url: SecretStr | None = Field(None, description="unset: SQLite in data_dir")
    broker_url: SecretStr | None = Field(None, description="unset: the embedded Valkey")
    result_url: SecretStr | None = Field(None, description="unset: the broker, if it is a Redis")
    blob_url: str | None = Field(None, description="any fsspec URL; unset: data_dir/blobs")
    tls_ca_file: Path | None = Field(
        None, description="who signs for rediss:// and amqps://; unset: whom the system trusts"
    )

    # Models
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, …")
    engine: str = Field(
        "auto",
        description="what computes new models: auto, torch, torch-bf16, openvino, openvino-bf16",
    )
    decoder: Literal["auto", "cpu"] = Field(
        "auto",
        description="what decodes new models' photos; auto: a GPU if it proves itself; else cpu",
    )
    weights_dir: Path | None = Field(
        None,
        description="where weight files lie; also where downloads go (unset: data_dir/weights)",
    )

    # Limits on input
    max_photo_bytes: int = Field(32 * 2**20, ge=1, description="larger files are refused unread")
    max_photo_pixels: int = Field(
        64_000_000, ge=1, description="more pixels are refused before decoding (PNG bombs)"
    )
    max_caption_chars: int = Field(
        10_000, ge=1, description="longer captions are cut; Instagram's own limit is 2,200"
    )
    fetch_allow_loopback: Annotated[bool | frozenset[str], NoDecode] = Field(
        False,
        description="let photos be fetched from this machine: true, or only host:port,host:port",
    )
    fetch_honour_robots: bool = Field(
        True, description="obey robots.txt and X-Robots-Tag: noai; turning it off is logged"
    )
    fetch_concurrency: int = Field(200, ge=1, description="requests at once of one worker")
    fetch_processes: int = Field(
        2, ge=1, description="processes of one worker that fetch, each from hosts of its own"
    )
    fetch_timeout_s: float = Field(30.0, gt=0, description="total deadline of one photo")
    fetch_check: Literal["decode", "header"] = Field(
        "decode",
        description="how a fetched photo is checked; header: faster, and no perceptual hash",
    )

    # Crawls
    crawl_min_side: int = Field(64, ge=1, description="pixels; smaller ones are no examples")
    crawl_max_aspect: float = Field(
        4.0, ge=1, description="long side by short side; narrower ones are banners, no examples"
    )
    crawl_placeholder_urls: int = Field(
        8, ge=2, description="as many listed photos with the same bytes stand in for lost ones"
    )
    crawl_shard_urls: int = Field(250, ge=1, le=1000, description="addresses a message")
    crawl_window: int = Field(
        4000, ge=1, description="addresses of one crawl in line; thrice as many in flight"
    )
    crawl_lists: int = Field(4, ge=1, description="pages of one crawl asked for at once")

    # Sources
    imagenet_url: str | None = Field(None, description="base of ImageNet's historical text API")
    imagenet_files: Path | None = Field(
        None, description="folder with fall11_urls.txt, words.txt and wordnet.is_a.txt"
    )
    pexels_url: str = Field("https://api.pexels.com", description="Pexels' API")
    pexels_site: str = Field("https://www.pexels.com", description="Pexels' pages (page mode)")
    pexels_key: SecretStr | None = Field(None, description="the key of your account at Pexels")
    instagram_url: str = Field(
        "https://graph.facebook.com/v23.0", description="the Graph API, with its version"
    )
    instagram_token: SecretStr | None = Field(None, description="access token of the Graph API")
    instagram_user_id: str | None = Field(
        None, description="id of the business account on whose behalf Instagram is asked"
    )

    # How work is cut up
    shard_posts: int = Field(50, ge=1, le=200, description="posts a message; 25-50 measured best")
    chord_shards: int = Field(
        16, ge=1, description="shards of small accounts that are concluded together in a bulk run"
    )
    shard_photos: int = Field(64, ge=1, description="training photos a message")
    run_window: int = Field(200, ge=1, description="accounts of one run in flight at once")
    group_accounts: int = Field(50, ge=1, description="fully cached accounts concluded per message")
    batch_size: int = Field(0, ge=0, description="photos in one forward; 0: found by trying")
    batch_wait_ms: float = Field(20.0, ge=0, description="longest wait for a batch to fill")
    gpu_threads: int = Field(
        32, ge=1, description="shards that fill a gpu worker's batches at once"
    )
    decode_threads: int = Field(0, ge=0, description="threads that decode photos; 0: one a core")
    decode_bytes: int = Field(
        1024 * 2**20, ge=1, description="memory for photos being decoded or waiting for the model"
    )
    scrape_threads: int = Field(8, ge=1, description="tasks at once in a scrape worker")
    cpu_processes: int = Field(0, ge=0, description="processes of a cpu worker; 0: one a core")
    event_slots: int = Field(
        1,
        ge=0,
        description="room kept for new accounts: processes of a cpu worker, 4 threads each of gpu "
        "and scrape; 0: none",
    )

    # How certain we want to be
    sweep_s: float = Field(3.0, gt=0, description="how often the sweeper looks for lost work")
    member_timeout_s: float = Field(
        60.0, gt=0, description="a run in which nothing moves this long sends its accounts again"
    )
    visibility_timeout_s: float = Field(
        900.0,
        gt=0,
        description="Redis hands out again what is unacknowledged this long: 5 x the longest shard",
    )
    max_attempts: int = Field(5, ge=1, description="times an account is sent out before it is dead")
    train_lease_s: float = Field(
        60.0, gt=0, description="a training whose worker is silent this long is restarted"
    )
    train_patience_s: float = Field(
        30.0, ge=0, description="longest a fine-tuning waits for new accounts before its next step"
    )
    train_processes: int = Field(
        1, ge=1, description="processes a fine-tuning is spread over, one a GPU"
    )
    train_threads: int = Field(0, ge=0, description="photos decoded at once for it; 0: one a core")
    train_cache_mb: int = Field(
        2048, ge=0, description="memory for decoded photos, so that each is decoded once"
    )
    workers_wait_s: float = Field(10.0, gt=0, description="how long a command waits for a worker")

    # Which posts count; a run keeps what held when it began
    posts_last: int = Field(0, ge=0, description="only an account's newest n posts; 0: all")
    posts_months: int = Field(
        0, ge=0, le=600, description="only posts of so many months, and undated ones; 0: all"
    )

    # Accounts that an event only names
    refresh_posts: int = Field(
        100, ge=1, le=10_000, description="newest posts asked for of one account"
    )
    refresh_hours: float = Field(
        0.0, ge=0, description="known accounts are asked for new posts this often; 0: by hand only"
    )

    # Events and what is sent back
    event_secrets: SecretStr | None = Field(
        None, description="whsec_… by which events are signed; several, each perhaps SENDER=whsec_…"
    )
    event_tokens: SecretStr | None = Field(
        None, description="bearer tokens that may read verdicts beside the events"
    )
    event_tolerance_s: float = Field(
        300.0, gt=0, description="how far an event's timestamp may be off; Standard Webhooks: 5 min"
    )
    event_max_bytes: int = Field(2**20, ge=1024, description="a larger event is refused unread")
    events_per_minute: int = Field(600, ge=1, description="of one sender; more are told to wait")
    events_stream: str | None = Field(
        None, description="name of a Redis stream from which events are taken as well"
    )
    events_stream_url: SecretStr | None = Field(
        None, description="the Redis or Valkey that holds the stream; unset: the broker"
    )
    events_keep_days: float = Field(30.0, gt=0, description="how long handled events are listed")
    callback_url: SecretStr | None = Field(
        None, description="where verdicts are sent; several senders: SENDER=https://… each"
    )
    callback_allow_private: bool = Field(
        False, description="let the callback be on this machine or in a private network"
    )
    callback_timeout_s: float = Field(10.0, gt=0, description="longest wait for one callback")

    # Watching
    metrics_port: int = Field(
        0, ge=0, le=65535, description="a gpu worker's Prometheus metrics, on loopback; 0: none"
    )
    flower_port: int = Field(0, ge=0, le=65535, description="0: any free port")
    flower_auth: SecretStr | None = Field(
        None, description="user:password; needed to listen on anything but loopback"
    )
    flower_address: str = Field("127.0.0.1", description="address Flower listens on")
    flower_url: str | None = Field(
        None, description="address at which people find Flower; unset: that of 'afin up'"
    )
    health_file: Path | None = Field(
        None, description="a worker renews this file while it hears from the broker"
    )
    web_port: int = Field(0, ge=0, le=65535, description="of the pages; 0: any free port")
    web_address: str = Field("127.0.0.1", description="address the pages listen on")
    web_sign_in: bool = Field(
        False, description="ask for a name and password on loopback too; elsewhere always asked"
    )
    web_secret: SecretStr | None = Field(
        None, description="signs photo addresses; unset: drawn once, kept in data_dir"
    )
    web_url: str | None = Field(
        None, description="https address people use, where a proxy stands in front"
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="what is less than this is not logged; at DEBUG each task's arrival too"
    )
    log_format: Literal["auto", "text", "json"] = Field(
        "auto", description="of logs: text, or a JSON object a line; auto: text on terminals"
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _raise_case(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("fetch_allow_loopback", mode="before")
    @classmethod
    def _split_hosts(cls, value: object) -> object:
        if isinstance(value, str) and ":" in value:
            return frozenset(host.strip().lower() for host in value.split(",") if host.strip())
        return value

    @property
    def database(self) -> str:
        """The SQLAlchemy URL in force (may hold a password: never print it)."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.data_dir.absolute() / 'afin.db'}"

    @property
    def blobs(self) -> str:
        """The fsspec URL of the blob store in force."""
        return self.blob_url or str(self.data_dir.absolute() / "blobs")

    def pages_url(self, port: int) -> str:
        """Return where people find the pages, which listen on a port."""
        address = self.web_address
        host = f"[{address}]" if ":" in address else address
        return self.web_url or f"http://{host}:{port}"

    @property
    def weights(self) -> Path:
        """The folder where weight files are looked for and downloaded to."""
        return self.weights_dir or self.data_dir.absolute() / "weights"


@cache
def load_settings() -> Settings:
    """Read the environment once.

    Raises:
        UsageError: a variable has a value that cannot be used; all of them are named.
    """
    try:
        return Settings()
    except ValidationError as error:
        # Only the names and reasons: a value may be a password.
        wrong = "; ".join(
            f"AFIN_{str(item['loc'][0]).upper()}: {item['msg']}" for item in error.errors()
        )
        raise UsageError(f"Unusable settings in the environment: {wrong}.") from None
