"""What a gpu worker tells Prometheus: batches, waits, speed, queue, memory, and what was cached."""

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from pipelines.vision.batcher import Observer

_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics(Observer):
    """The figures of one process, in a registry of their own; threads share them."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        own = self.registry
        self.photos = Counter("afin_photos", "Photos that went through the model", registry=own)
        self.hits = Counter(
            "afin_cache_hits", "Photos whose vector was known already", registry=own
        )
        self.batch = Histogram(
            "afin_batch_photos", "Photos in a batch", buckets=_SIZES, registry=own
        )
        self.wait = Histogram(
            "afin_batch_wait_seconds",
            "How long a photo waited for its batch",
            buckets=_SECONDS,
            registry=own,
        )
        self.forward = Histogram(
            "afin_forward_seconds", "How long a batch took", buckets=_SECONDS, registry=own
        )
        self.decode = Histogram(
            "afin_decode_seconds",
            "How long reading and decoding a photo took",
            buckets=_SECONDS,
            registry=own,
        )
        self.forward_cpu = Counter(
            "afin_forward_cpu_seconds", "CPU time of the threads that call the model", registry=own
        )
        self.decode_cpu = Counter("afin_decode_cpu_seconds", "CPU time of decoding", registry=own)
        self.queue = Gauge(
            "afin_photos_waiting", "Photos asked for and not yet computed", registry=own
        )
        self.memory = Gauge("afin_device_bytes", "Memory that torch holds on the GPU", registry=own)

    def computed(self, waits_s: Sequence[float], seconds: float, cpu_s: float) -> None:
        """Count a batch."""
        self.photos.inc(len(waits_s))
        self.batch.observe(len(waits_s))
        self.forward.observe(seconds)
        self.forward_cpu.inc(cpu_s)
        for wait_s in waits_s:
            self.wait.observe(max(wait_s, 0.0))

    def decoded(self, seconds: float, cpu_s: float) -> None:
        """Count a photo that was read and decoded."""
        self.decode.observe(seconds)
        self.decode_cpu.inc(cpu_s)

    def cached(self, photos: int) -> None:
        """Count photos that needed no computing."""
        if photos:
            self.hits.inc(photos)

    def watch(self, waiting: Callable[[], Iterable[int]], memory: Callable[[], int]) -> None:
        """Say where queue depth and device memory can be read when somebody asks for them."""
        self.queue.set_function(lambda: sum(waiting()))
        self.memory.set_function(memory)

    def serve(self, port: int) -> Callable[[], None]:
        """Answer on loopback from a thread of its own; the function returned ends that."""
        server, thread = start_http_server(port, addr="127.0.0.1", registry=self.registry)

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return stop


METRICS = Metrics()
"""This process's; only gpu workers fill and serve them."""
