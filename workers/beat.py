"""Beat as a thread of the control worker, which lives for as long as the worker does.

Celery's own is a process beside the worker: killed alone it is missed by nobody, and with it every
lost message.
"""

import logging
import threading

from celery import Celery
from celery.beat import Service

log = logging.getLogger(__name__)

PAUSE_S = 1.0


class Beat(threading.Thread):
    """Sends what is scheduled until it is stopped or its process ends."""

    def __init__(self, app: Celery) -> None:
        super().__init__(name="beat", daemon=True)
        self._app = app
        self._stopped = threading.Event()
        self._service: Service | None = None

    def run(self) -> None:
        """Start Celery's service, again if it fails."""
        self._app.set_current()
        while not self._stopped.is_set():
            try:
                self._service = Service(
                    self._app, max_interval=1, scheduler_cls=self._app.conf.beat_scheduler
                )
                self._service.start()
            except Exception:
                log.exception("beat stopped and is started again")
            self._stopped.wait(PAUSE_S)

    def stop(self) -> None:
        """End it, which takes no longer than what is scheduled next."""
        self._stopped.set()
        if self._service is not None:
            self._service.stop()
        self.join()
