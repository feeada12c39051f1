"""The HTTP API by which a running relay is seen and changed, and its client."""
