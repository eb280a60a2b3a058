"""Vast.ai: an account there, by its REST API and its official client.

adapter ─┬─ wire, creation, failures   pure: what is said on the wire
         ├─ market ── walk             the market, read in pages within a budget
         ├─ sdk                        the official client, in threads
         └─ lanes                      how often it may be asked
"""

from providers.vastai.adapter import VastaiOptions, VastaiProvider, open_vastai
from providers.vastai.sdk import has_sdk

__all__ = ["VastaiOptions", "VastaiProvider", "has_sdk", "open_vastai"]
