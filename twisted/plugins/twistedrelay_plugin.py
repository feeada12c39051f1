"""The C{twistd twistedrelay} command.  Imports nothing of the relay: twistd reads this file at each start, whatever it starts."""

from twisted.application.service import ServiceMaker

twistedrelay = ServiceMaker(
    "twistedrelay",
    "twistedrelay.tap",
    "A mail relay with the receive-connector model of Exchange Server.",
    "twistedrelay",
)
