"""twistedrelay: a mail relay for Unix with the receive-connector model of Exchange Server."""

__version__ = "0.1.0"
