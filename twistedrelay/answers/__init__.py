"""Answers about a configuration: what it says, what is wrong with it."""
