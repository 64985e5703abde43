"""How queues are worked: one module a kind of worker, the embedded broker, the supervisor."""
