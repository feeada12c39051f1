"""Sphinx configuration: ``sphinx-build docs build/docs``."""

project = "twistedrelay"
copyright = "twistedrelay contributors"
html_theme = "alabaster"
