"""Vast.ai: an account there, by its REST API and its official client."""
