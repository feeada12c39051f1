"""Sphinx configuration: ``sphinx-build docs build/docs``."""

project = "twistedrelay"
copyright = "twistedrelay contributors"
exclude_patterns = ["plan"]
html_theme = "alabaster"
