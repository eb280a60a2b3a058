"""TensorDock: an organization there, by version 2 of its REST API.

adapter ─┬─ wire, creation, failures        pure: what is said on the wire
         └─ market ── hosts, places, sizes  the price list, as offers
"""

from providers.tensordock.adapter import TensordockOptions, TensordockProvider

__all__ = ["TensordockOptions", "TensordockProvider"]
