"""What is computed: arrays and schemas in, arrays and schemas out; no queue, no database."""
