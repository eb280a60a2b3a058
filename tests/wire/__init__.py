"""What the wire-level simulators of marketplaces share: their gate, misfortunes and machines."""
