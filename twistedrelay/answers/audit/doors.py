"""Receive connectors that many can reach: limits that are off, secrets in clear text, weak TLS, and what a banner gives away.

What C{relayctl check} warns of already is not said again here.

Sources: RFC 8314 section 3, RFC 8996, RFC 5321 section 4.3.1 (what a greeting says).
"""

from __future__ import annotations

import re

from twistedrelay.answers.audit.case import Case, Findings, takes_many
from twistedrelay.answers.audit.finding import Severity, command
from twistedrelay.config.schema import ReceiveConnector

#: Mechanisms of clients that log in.
_LOGINS = frozenset({"BasicAuth", "ScramSha256", "CramMd5", "XOAuth2", "External"})

_PRODUCT = re.compile(r"(?i)\b(?:exchange|microsoft|postfix|exim|sendmail|twisted\w*|python)\b|\b\d+\.\d+(?:\.\d+)*\b")
_INSIDE = (".local", ".lan", ".internal", ".home", ".corp", ".intranet", ".localdomain")

#: Limits: the key, what switches it off, and the value to go back to.
_LIMITS = (
    ("max_inbound_connection", None, 5000),
    ("max_inbound_connection_per_source", None, 20),
    ("max_inbound_connection_percentage_per_source", 100, 2),
    ("max_protocol_errors", None, 5),
    ("min_data_rate", 0, 100),
)


def door_findings(case: Case) -> Findings:
    """All of them."""
    for name, connector in case.wide:
        yield from _limits(case, name, connector)
        yield from _names(case, name, connector)
        if "Tls" not in connector.auth_mechanism:
            reason = "TLS is not offered, so that all mail crosses the network in clear text"
            cure = command("connector", "set", name, "--add-auth-mechanism", "Tls")
            cure = cure if connector.auth_mechanism != ["None"] else command("connector", "set", name, "--auth-mechanism", "Tls")
            yield case.finding("no-tls", Severity.MEDIUM, ("receive_connectors", name, "auth_mechanism"), reason, cure)
    for name, connector in case.enabled:
        if name in case.far and not takes_many(connector):
            yield from _few_devices(case, name, connector)


def has_logins(connector: ReceiveConnector) -> bool:
    """Whether people log in there."""
    return not _LOGINS.isdisjoint(connector.auth_mechanism)


def _limits(case: Case, name: str, connector: ReceiveConnector) -> Findings:
    off = [(key, back) for key, none, back in _LIMITS if getattr(connector, key) == none]
    if off:
        reason = f"many can connect, and {', '.join(key for key, _ in off)} limits nobody: one client can take all the room"
        options = [word for key, back in off for word in (f"--{key.replace('_', '-')}", str(back))]
        path = ("receive_connectors", name, off[0][0])
        yield case.finding("no-limits", Severity.MEDIUM, path, reason, command("connector", "set", name, *options))
    if connector.message_rate_limit is None:
        reason = (
            "many can connect, and message_rate_limit is unlimited: a client, or a stolen password, can send as fast as the line allows"
        )
        cure = command("connector", "set", name, "--message-rate-limit", 100)
        yield case.finding("no-rate-limit", Severity.INFO, ("receive_connectors", name, "message_rate_limit"), reason, cure)


def _names(case: Case, name: str, connector: ReceiveConnector) -> Findings:
    if connector.banner and (told := _PRODUCT.search(connector.banner.removeprefix("220 "))):
        reason = f"the banner tells strangers {told[0]!r}, which helps only those who look for a weakness"
        cure = command("connector", "set", name, "--unset", "banner")
        yield case.finding("banner-leak", Severity.LOW, ("receive_connectors", name, "banner"), reason, cure)
    if connector.fqdn.lower().endswith(_INSIDE):
        reason = f"banner and certificate show the internal name {connector.fqdn} to strangers, and no authority signs for it"
        yield case.finding("internal-name", Severity.INFO, ("receive_connectors", name, "fqdn"), reason)


def _few_devices(case: Case, name: str, connector: ReceiveConnector) -> Findings:
    """What is borne for a few devices, and should not be forgotten."""
    path = ("receive_connectors", name, "auth_mechanism")
    clear = not connector.require_tls and not connector.implicit_tls and "BasicAuthRequireTLS" not in connector.auth_mechanism
    if clear and "BasicAuth" in connector.auth_mechanism:
        reason = "BasicAuth without BasicAuthRequireTLS lets passwords cross the network in clear text; only for devices without TLS"
        cure = command("connector", "set", name, "--auth-mechanism", "Tls,BasicAuth,BasicAuthRequireTLS")
        yield case.finding("clear-text-auth", Severity.LOW, path, reason, cure)
    if "Tls" in connector.auth_mechanism and connector.tls_cipher_profile == "Old":
        reason = f"tls_cipher_profile: Old with {connector.tls_minimum_version} can be broken by who listens: "
        reason += "only for devices that have nothing better"
        cure = command("connector", "set", name, "--unset", "tls_cipher_profile", "--unset", "tls_minimum_version")
        yield case.finding("weak-ciphers", Severity.LOW, ("receive_connectors", name, "tls_cipher_profile"), reason, cure)
