"""Measurements of a whole broker on its simulated market. No part of the tests.

    python -m bench                 every part, in one table
    python -m bench creations       one part
    python -m bench --plain         the table as plain text

Each part runs in a process of its own, is bounded in time, and speaks to loopback only.
Ratios compare what was measured in the same run; absolute times depend on the machine.
Exit code 1: a figure was not reached, or a part did not end.
"""
