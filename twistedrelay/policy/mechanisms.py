"""What the login mechanisms of C{auth_mechanism} need besides the users file: checkers, keys, certificates.

Decides whether a configuration has it, and makes the checkers that need more than a name and a password.

Sources: RFC 2195 (a server of CRAM-MD5 keeps plain passwords), RFC 4422 appendix A (EXTERNAL), RFC 7628.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

from twisted.cred.credentials import IUsernameHashedPassword
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from twistedrelay.config.problems import Problem
from twistedrelay.config.schema import Config, ReceiveConnector
from twistedrelay.interfaces import IUsers
from twistedrelay.policy.certificates import CertificateChecker
from twistedrelay.policy.checkers import configured_checkers


def mechanism_problems(config: Config) -> list[Problem]:
    """Mechanisms that the configuration offers and cannot serve, for the loader."""
    found = []
    if config.oauth_providers and importlib.util.find_spec("jwt") is None:
        found.append(Problem(("oauth_providers",), "bearer tokens need PyJWT: pip install 'twistedrelay[oauth]'"))
    elif config.oauth_providers:
        found += _keys_problems(config)
    for name, connector in config.receive_connectors.items():
        if connector.enabled:
            path = ("receive_connectors", name, "auth_mechanism")
            found += [Problem(path, text) for text in _lacking(config, connector)]
    return found


def _keys_problems(config: Config) -> Iterator[Problem]:
    from twistedrelay.policy.oauth.keys import KeysError, read_keys

    for index, provider in enumerate(config.oauth_providers):
        if provider.keys_file:
            try:
                read_keys(provider.keys_file)
            except KeysError as error:
                yield Problem(("oauth_providers", index, "keys_file"), str(error))


def _lacking(config: Config, connector: ReceiveConnector) -> Iterator[str]:
    mechanisms = connector.auth_mechanism
    if "CramMd5" in mechanisms and not _holds_plain_passwords(config):
        yield (
            "CramMd5 needs a checker in credential_checkers that holds plain passwords; the users file holds only hashes: "
            "use ScramSha256 instead, which is safer as well"
        )
    for mechanism in ("External", "XOAuth2"):
        if mechanism in mechanisms and "Tls" not in mechanisms:
            yield f"{mechanism} needs Tls beside it"
    if "XOAuth2" in mechanisms and not config.oauth_providers:
        yield "XOAuth2 needs oauth_providers: whose tokens to accept"


def _holds_plain_passwords(config: Config) -> bool:
    checkers, _ = configured_checkers(config.credential_checkers)
    return any(IUsernameHashedPassword in checker.credentialInterfaces for checker in checkers)


def mechanism_checkers(config: Config, users: IUsers, reactor: Any) -> list[Any]:
    """The checkers of client certificates and bearer tokens, where a connector offers such logins."""
    offered = {mechanism for connector in config.receive_connectors.values() for mechanism in connector.auth_mechanism}
    checkers: list[Any] = []
    if "External" in offered:
        checkers.append(CertificateChecker(users))
    if "XOAuth2" in offered and config.oauth_providers:
        from twistedrelay.policy.oauth.checker import make_checker
        from twistedrelay.policy.oauth.fetch import Fetcher

        def in_thread(function: Any, *arguments: Any) -> Deferred[Any]:
            return deferToThreadPool(reactor, reactor.getThreadPool(), function, *arguments)

        checkers.append(make_checker(config, users, reactor, in_thread, Fetcher(reactor)))
    return checkers
