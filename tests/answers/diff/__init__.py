"""Differences of configurations."""
