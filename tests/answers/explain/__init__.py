"""Explanations, against the sessions that they explain."""
