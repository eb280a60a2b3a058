"""The HTTP API: parse, one use-case, present."""
