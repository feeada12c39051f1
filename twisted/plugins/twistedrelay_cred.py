"""The strcred plugin C{twistedrelay}: a relay's users file as a credentials checker for any Twisted server.

C{--auth twistedrelay:/var/lib/twistedrelay/users}.  Plugins are imported by every program that lists them, so nothing here imports more
than the interfaces before a checker is asked for.
"""

from __future__ import annotations

from typing import Any

from twisted.cred.credentials import IUsernamePassword
from twisted.cred.strcred import ICheckerFactory, InvalidAuthArgumentString
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(ICheckerFactory, IPlugin)
class UsersCheckerFactory:
    """Makes checkers for a users file."""

    authType = "twistedrelay"
    authHelp = (
        "Checks user names and passwords against a users file of twistedrelay, the one that `relayctl user` writes.\n"
        "Passwords are kept as Argon2id hashes and are checked in threads; the file is read again when it changes.\n"
    )
    argStringFormat = "The path of a users file."
    credentialInterfaces = (IUsernamePassword,)

    def generateChecker(self, argstring: str) -> Any:
        """See L{ICheckerFactory}."""
        path = argstring.strip()
        if not path:
            raise InvalidAuthArgumentString("the path of a users file is required: twistedrelay:/path/to/users")
        from twisted.internet import reactor

        from twistedrelay.config.users import UsersFile
        from twistedrelay.policy.checkers import UsersChecker
        from twistedrelay.policy.passwords import ThreadedUsers

        running: Any = reactor  # the module's type knows no thread or system event interface
        users = ThreadedUsers(running, UsersFile(path))
        running.addSystemEventTrigger("during", "shutdown", users.stop)
        return UsersChecker(users)


users_checker_factory = UsersCheckerFactory()
