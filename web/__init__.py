"""What answers over HTTP: signed events in, statuses and verdicts out."""
