"""The fetching process's own work: what it begins, and what it ends at once."""

import asyncio
import socket
from pathlib import Path

from pipelines.sources.http import Fetcher, FetchPolicy
from pipelines.vision.decode import PhotoLimits
from storage.blobs import BlobStore
from tasks.crawl_catcher import Catcher
from tasks.crawl_judge import Judges
from tasks.crawl_wire import Order, Told


def test_addresses_of_a_host_that_is_down_end_at_once_and_in_full(tmp_path: Path) -> None:
    blobs = BlobStore(str(tmp_path / "blobs"), cache_dir=tmp_path / "cache")
    policy = FetchPolicy(allow_loopback=True, dead_after=2, retries=0)

    async def play() -> tuple[Told, list[Told]]:
        told: list[Told] = []
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            base = f"http://127.0.0.1:{unused.getsockname()[1]}"
            async with Fetcher(policy) as fetcher:
                judges = Judges(blobs, PhotoLimits(max_bytes=2**20, max_pixels=10**6), "header")
                catcher = Catcher(fetcher, judges, told.append)
                catcher.obey(Order(1, [(n, f"{base}/{n}.jpg") for n in range(4)]))
                while not told or catcher._shards:
                    await asyncio.sleep(0.01)
                catcher._tell_now()
                first = Told([end for one in told for end in one.ends], [])
                told.clear()
                catcher.obey(Order(2, [(n, f"{base}/{n}.jpg?key=secret") for n in range(4, 6)]))
                catcher.obey(Order(3, [(n, f"{base}/{n}.jpg") for n in range(6, 700)]))
                assert not catcher._shards.get(3)
                while catcher._shards:
                    await asyncio.sleep(0.01)
                catcher._tell_now()
        return first, told

    first, later = asyncio.run(play())
    assert [(end.shard, end.reason) for end in first.ends] == [(1, "refused")] * 4
    ends = [end for one in later for end in one.ends]
    assert sorted(end.url_id for end in ends) == list(range(4, 700))
    assert {end.reason for end in ends} == {"refused"}
    assert not any("secret" in (end.shown or "") for end in ends)
