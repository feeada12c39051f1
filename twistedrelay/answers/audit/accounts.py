"""Accounts: those that nobody uses, old hashes, accounts that may pass for many others, and checkers that keep passwords in clear text.

Reads the users file and the record of logins: not on the reactor's thread.
"""

from __future__ import annotations

from twistedrelay.answers.audit.case import Case, Findings
from twistedrelay.answers.audit.finding import Severity, command
from twistedrelay.answers.users import RecordError, review
from twistedrelay.config.users import UsersError, UsersFile

_DAY = 86400.0

#: Days without a login.
UNUSED = 90

#: Addresses that one account may send as, besides its own.
MANY = 10


def account_findings(case: Case) -> Findings:
    """All of them; a users file that cannot be read is among the warnings of a check."""
    config = case.config
    for index, description in enumerate(config.credential_checkers):
        if description.partition(":")[0] == "memory":
            reason = "the passwords of this checker stand in the configuration in clear text"
            path = ("credential_checkers", index)
            yield case.finding(
                "clear-text-passwords", Severity.HIGH, path, reason, command("user", "add", "NAME@DOMAIN"), description.partition(":")[0]
            )
    users = UsersFile(config.users)
    try:
        accounts, outdated = users.list(), users.outdated()
    except UsersError:
        return
    for user in accounts:
        if len(user.send_as) > MANY:
            reason = f"may send as {len(user.send_as)} other addresses: with its password all of them are lost"
            cure = command("user", "list")
            yield case.finding("send-as-wide", Severity.LOW, ("users",), reason, cure, user.address)
    for address in outdated:
        reason = "its password is kept with weaker parameters than new ones are: who has the file guesses it sooner; give it a new password"
        yield case.finding("old-hash", Severity.LOW, ("users",), reason, command("user", "passwd", address), address)
    try:
        rows = review(config, accounts, case.facts.now, UNUSED * _DAY).rows
    except RecordError as error:
        yield case.finding("login-record", Severity.LOW, ("server", "state_directory"), str(error), command("user", "review"))
        return
    for row in rows:
        if row["source"] == "users file" and (row["unused_days"] or 0) >= UNUSED:
            said = f"nobody has logged in with it for {row['unused_days']} days" if row["logins"] else "nobody ever logged in with it"
            reason = f"{said}: a password that leaks is noticed by nobody"
            yield case.finding("user-unused", Severity.LOW, ("users",), reason, command("user", "remove", row["address"]), row["address"])
