"""Adapters for GPU marketplaces. Knows nothing of the broker."""
