"""What a gpu worker serves to Prometheus."""

from urllib.request import urlopen

from tasks.metrics import Metrics
from workers.processes import free_port


def test_batches_waits_and_hits_are_served_on_loopback() -> None:
    metrics = Metrics()
    metrics.computed([0.01, 0.5], 0.2, 0.1)
    metrics.decoded(0.004, 0.003)
    metrics.cached(5)
    metrics.watch(lambda: [3, 4], lambda: 1024)
    port = free_port()
    stop = metrics.serve(port)
    try:
        with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            lines = set(answer.read().decode().splitlines())
    finally:
        stop()
    assert {
        "afin_photos_total 2.0",
        "afin_cache_hits_total 5.0",
        "afin_batch_photos_sum 2.0",
        "afin_batch_wait_seconds_count 2.0",
        "afin_decode_seconds_count 1.0",
        "afin_forward_seconds_sum 0.2",
        "afin_photos_waiting 7.0",
        "afin_device_bytes 1024.0",
    } <= lines
