"""Who uses this relay, and how: C{sink} gathers it from the events of sessions, C{store} keeps it in a file, C{file} reads it.

What is kept are facts of the envelope and the session; no content, no name of a failed login, no secret.
"""

from twistedrelay.observe.ledger.file import LedgerFile as LedgerFile
from twistedrelay.observe.ledger.file import LedgerQuery as LedgerQuery
