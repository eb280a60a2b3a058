"""The fixtures of the service tests, for suites that take minutes."""

from tests.service.conftest import market_only, serve

__all__ = ["market_only", "serve"]
