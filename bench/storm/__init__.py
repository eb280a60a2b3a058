"""What `bench.chaos` is made of: a broker to torment, its markets, its consumers, the auditor."""
