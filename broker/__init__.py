"""The broker: rents GPU machines for sessions, proves them, and ends them."""

__version__ = "0.1.0"
