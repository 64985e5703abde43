"""What can be queued: load by id, call pipelines, store, return a status."""
