"""Decisions: pure functions of what is known and an instant."""
