"""The one door to the machines: keys, connections, the probe."""
