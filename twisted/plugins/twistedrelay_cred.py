"""The strcred plugins: a relay's users file, Dovecot, PAM and LDAP as credentials checkers for the relay and for any Twisted server.

C{--auth twistedrelay:/var/lib/twistedrelay/users}; in C{relay.yaml} the same text in C{credential_checkers}.  Plugins are imported by every
program that lists them, so nothing here imports more than the interfaces before a checker is asked for.
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


@implementer(ICheckerFactory, IPlugin)
class DovecotCheckerFactory:
    """Makes checkers for Dovecot's authentication socket."""

    authType = "dovecot"
    authHelp = (
        "Checks user names and passwords with a Dovecot server, by its authentication protocol.\n"
        "service=NAME is what Dovecot is told (smtp); domain=NAME is the domain of names that have none.\n"
    )
    argStringFormat = "The path of an authentication socket, and options: /run/dovecot/auth-client[:domain=NAME][:service=NAME]"
    credentialInterfaces = (IUsernamePassword,)

    def generateChecker(self, argstring: str) -> Any:
        """See L{ICheckerFactory}."""
        from twistedrelay.policy.external.arguments import absolute_path, option_domain, option_word, parse_argument

        example = "dovecot:/run/dovecot/auth-client[:domain=NAME][:service=NAME]"
        path, options = parse_argument(argstring, example, ("domain", "service"))
        settings = absolute_path(path, example), option_domain(options), option_word(options, "service", "smtp")
        from twisted.internet import reactor

        from twistedrelay.policy.external.dovecot import make_checker

        return make_checker(reactor, *settings)


@implementer(ICheckerFactory, IPlugin)
class PamCheckerFactory:
    """Makes checkers for a PAM service."""

    authType = "pam"
    authHelp = (
        "Checks user names and passwords with this machine's PAM, by the rules of /etc/pam.d/SERVICE.\n"
        "With domain=NAME the system's users, who have no domain, are addresses of that domain; without it PAM is asked about addresses.\n"
    )
    argStringFormat = "The name of a PAM service, and an option: SERVICE[:domain=NAME]"
    credentialInterfaces = (IUsernamePassword,)

    def generateChecker(self, argstring: str) -> Any:
        """See L{ICheckerFactory}."""
        from twistedrelay.policy.external.arguments import needs_extra, option_domain, parse_argument, word

        example = "pam:SERVICE[:domain=NAME]"
        name, options = parse_argument(argstring, example, ("domain",))
        service, domain = word(name, example), option_domain(options)
        from twisted.internet import reactor

        with needs_extra("pam"):
            from twistedrelay.policy.external.pam import make_checker

        return make_checker(reactor, service, domain)


@implementer(ICheckerFactory, IPlugin)
class LDAPCheckerFactory:
    """Makes checkers for a directory."""

    authType = "ldap"
    authHelp = (
        "Checks user names and passwords with a directory, such as OpenLDAP or Active Directory, as a YAML file says.\n"
        "The directory also tells the user's address, the addresses it may send as, and its groups.\n"
    )
    argStringFormat = "The path of a YAML file."
    credentialInterfaces = (IUsernamePassword,)

    def generateChecker(self, argstring: str) -> Any:
        """See L{ICheckerFactory}."""
        from twistedrelay.policy.external.arguments import absolute_path, needs_extra, parse_argument

        example = "ldap:/etc/twistedrelay/ldap.yaml"
        path = absolute_path(parse_argument(argstring, example, ())[0], example)
        from twisted.internet import reactor

        with needs_extra("ldap"):
            from twistedrelay.policy.external.ldap import make_checker

        return make_checker(reactor, path)


users_checker_factory = UsersCheckerFactory()
dovecot_checker_factory = DovecotCheckerFactory()
pam_checker_factory = PamCheckerFactory()
ldap_checker_factory = LDAPCheckerFactory()
