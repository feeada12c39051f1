"""What is dangerous about a relay, and what cures it."""
