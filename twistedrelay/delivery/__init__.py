"""Delivery: the messages of a lane, to its next hop."""
