"""What a server counts, in the format that Prometheus reads."""

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from framecast.serve.worker import Worker


class Meter:
    """Requests by path and status, their seconds, and what is held.

    Args:
        worker: whose line is looked at.
    """

    def __init__(self, worker: Worker) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "framecast_requests", "Requests answered", ["path", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "framecast_request_seconds", "Seconds of requests", ["path"], registry=self.registry
        )
        self.frames = Counter(
            "framecast_frames", "Frames that were forecast", registry=self.registry
        )
        self.streams = Gauge("framecast_streams", "Streams that are held", registry=self.registry)
        waiting = Gauge(
            "framecast_requests_inside", "Requests computed or waiting", registry=self.registry
        )
        waiting.set_function(lambda: worker.inside)
        self.begin = time.monotonic()

    def note(self, path: str, status: int, seconds: float) -> None:
        """Count a request that was answered."""
        self.requests.labels(path, str(status)).inc()
        self.seconds.labels(path).observe(seconds)

    def text(self) -> bytes:
        """Return all numbers as text."""
        return generate_latest(self.registry)
