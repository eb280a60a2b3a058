"""Measurements: ratios within one run, absolute times as information. `python -m bench`."""
