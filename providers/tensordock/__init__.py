"""TensorDock: an account there, by version 2 of its REST API.

market ── places                the price list, as offers
wire, creation, failures        pure: what is said on the wire
"""
