"""What the broker does for someone."""
