"""Questions to the ledger, with their answers: the same for a daemon (in a thread) and for relayctl without one.

All of them raise L{sqlite3.Error} where the ledger cannot be read.
"""

from __future__ import annotations

import os

from twistedrelay.answers.ledger.consequences import Thought, consequences
from twistedrelay.answers.ledger.document import Consequences, LedgerPage, LedgerTotals, UnusedList
from twistedrelay.answers.ledger.rows import page, totals
from twistedrelay.answers.ledger.unused import unused
from twistedrelay.config.schema import Config
from twistedrelay.config.users import UsersError, UsersFile
from twistedrelay.observe.ledger.file import LedgerFile
from twistedrelay.observe.ledger.file import LedgerQuery as LedgerQuery
from twistedrelay.observe.ledger.schema import FILE


def ledger_of(config: Config) -> LedgerFile:
    """The ledger of a configuration's relay."""
    return LedgerFile(os.path.join(config.server.state_directory, FILE))


def ask_page(config: Config, query: LedgerQuery, limit: int, after: int, file: LedgerFile) -> LedgerPage:
    """Some rows."""
    found = file.page(query, limit, after)
    return page(config, found.rows, found.next, file.extent())


def ask_totals(config: Config, query: LedgerQuery, by: str, file: LedgerFile) -> LedgerTotals:
    """Rows added up."""
    return totals(config, file.rows(query), by, file.extent())


def ask_unused(config: Config, since: float, file: LedgerFile) -> UnusedList:
    """What nobody has used since a time."""
    users = UsersFile(config.users)
    try:
        accounts = users.list()
        notes = []
    except UsersError as error:
        accounts, notes = [], [f"Accounts are not looked at: {error}"]
    found = unused(config, file.rows(), accounts, since, file.extent())
    return found.model_copy(update={"notes": [*found.notes, *notes]})


def ask_consequences(config: Config, thought: Thought, since: float, now: float, file: LedgerFile) -> Consequences:
    """What would break, of what was seen since a time.

    @raise ThoughtError: the change cannot be thought of.
    """
    return consequences(config, thought, file.rows(LedgerQuery(since=since)), now, file.extent())
