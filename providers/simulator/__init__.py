"""The simulated market: offers, an account, and machines that are real SSH servers on loopback."""
