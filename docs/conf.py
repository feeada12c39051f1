"""Sphinx configuration: ``sphinx-build docs build/docs``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

extensions = ["manpages"]
project = "twistedrelay"
copyright = "twistedrelay contributors"
html_theme = "alabaster"
man_pages = [
    ("index", "twistedrelay", "a mail relay with Exchange's receive connectors", [], 8),
    ("relayctl", "relayctl", "see and change a twistedrelay mail relay", [], 1),
    ("pickup", "twistedrelay-sendmail", "hand a message to a twistedrelay mail relay", [], 1),
    ("configuration", "relay.yaml", "the configuration of a twistedrelay mail relay", [], 5),
]
exclude_patterns = ["plan"]
