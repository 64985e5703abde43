"""When beat is due, whatever happens to the machine's clock."""

from datetime import datetime, timedelta

from celery.schedules import schedstate, schedule


class SteadySchedule(schedule):  # type: ignore[misc]  # Celery has no types
    """Every so many seconds; a last time that lies in the future means that the clock was moved.

    Celery's own would wait until the clock is there again: an hour's correction backwards would
    silence the sweeper for an hour.
    """

    def is_due(self, last_run_at: datetime) -> schedstate:
        """Whether it is time, and in how many seconds to ask again."""
        now = self.maybe_make_aware(self.now())
        if self.maybe_make_aware(last_run_at) > now + timedelta(seconds=1):
            last_run_at = now - self.run_every
        return super().is_due(last_run_at)
