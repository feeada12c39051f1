"""What a session may do: the rights, the permission groups that give them, and the principals that get them.

Decides which rights a principal has on a receive connector.  Never decides about a sender or recipient (L{twistedrelay.policy.acceptance}
does) and never says who a session is (L{twistedrelay.policy.realm} does).

Relaying is exactly one right, L{Rights.ACCEPT_ANY_RECIPIENT}; no group gives it to anonymous sessions.  Groups whose principals are
other Exchange servers (C{ExchangeServers} without C{ExternalAuthoritative}, C{ExchangeLegacyServers}, C{Partners}) give nothing here,
because those servers' own logins do not exist here.

Source: Exchange Server, "Receive connector permission groups" and "permissions"; AuthMechanism (C{ExternalAuthoritative}).
"""

from __future__ import annotations

import enum
import functools
from collections.abc import Iterable, Iterator, Mapping

import attrs

from twistedrelay.config.principals import ANONYMOUS_LOGON, AUTHENTICATED_USERS, EXTERNALLY_SECURED, GROUP_PREFIX, parse_principal
from twistedrelay.config.problems import Problem, suggestion
from twistedrelay.config.schema import Config, ReceiveConnector


class Rights(enum.Flag):
    """The rights of table 3b, in the order in which Exchange logs them."""

    NONE = 0
    SUBMIT = enum.auto()
    ACCEPT_ANY_RECIPIENT = enum.auto()
    ACCEPT_AUTHENTICATION_FLAG = enum.auto()
    ACCEPT_ANY_SENDER = enum.auto()
    ACCEPT_AUTHORITATIVE_DOMAIN_SENDER = enum.auto()
    BYPASS_ANTI_SPAM = enum.auto()
    BYPASS_MESSAGE_SIZE_LIMIT = enum.auto()
    ACCEPT_EXCH50 = enum.auto()
    ACCEPT_HEADERS_ROUTING = enum.auto()
    ACCEPT_HEADERS_FOREST = enum.auto()
    ACCEPT_HEADERS_ORGANIZATION = enum.auto()

    @functools.cache
    def labels(self) -> tuple[str, ...]:
        """As Exchange's protocol log writes them: C{("SMTPSubmit", "SMTPAcceptAnyRecipient", ...)}."""
        return tuple(label for right, (_, label) in _NAMES.items() if right in self)


#: right → (Exchange's full name, the label in its protocol log)
_NAMES = {
    Rights.SUBMIT: ("ms-Exch-SMTP-Submit", "SMTPSubmit"),
    Rights.ACCEPT_ANY_RECIPIENT: ("ms-Exch-SMTP-Accept-Any-Recipient", "SMTPAcceptAnyRecipient"),
    Rights.ACCEPT_AUTHENTICATION_FLAG: ("ms-Exch-SMTP-Accept-Authentication-Flag", "SMTPAcceptAuthenticationFlag"),
    Rights.ACCEPT_ANY_SENDER: ("ms-Exch-SMTP-Accept-Any-Sender", "SMTPAcceptAnySender"),
    Rights.ACCEPT_AUTHORITATIVE_DOMAIN_SENDER: (
        "ms-Exch-SMTP-Accept-Authoritative-Domain-Sender",
        "SMTPAcceptAuthoritativeDomainSender",
    ),
    Rights.BYPASS_ANTI_SPAM: ("ms-Exch-Bypass-Anti-Spam", "BypassAntiSpam"),
    Rights.BYPASS_MESSAGE_SIZE_LIMIT: ("ms-Exch-Bypass-Message-Size-Limit", "BypassMessageSizeLimit"),
    Rights.ACCEPT_EXCH50: ("ms-Exch-SMTP-Accept-Exch50", "SMTPAcceptEXCH50"),
    Rights.ACCEPT_HEADERS_ROUTING: ("ms-Exch-Accept-Headers-Routing", "AcceptRoutingHeaders"),
    Rights.ACCEPT_HEADERS_FOREST: ("ms-Exch-Accept-Headers-Forest", "AcceptForestHeaders"),
    Rights.ACCEPT_HEADERS_ORGANIZATION: ("ms-Exch-Accept-Headers-Organization", "AcceptOrganizationHeaders"),
}


def _short(full: str) -> str:
    """C{"Accept-Any-Recipient"} of C{"ms-Exch-SMTP-Accept-Any-Recipient"}."""
    return full.removeprefix("ms-Exch-").removeprefix("SMTP-")


_SHORT_NAMES = [_short(full) for full, _ in _NAMES.values()]
_SPELLINGS = {spelling.lower(): right for right, (full, _) in _NAMES.items() for spelling in (full, _short(full))}

_ANONYMOUS_GROUP = Rights.SUBMIT | Rights.ACCEPT_ANY_SENDER | Rights.ACCEPT_AUTHORITATIVE_DOMAIN_SENDER | Rights.ACCEPT_HEADERS_ROUTING
_USERS_GROUP = Rights.SUBMIT | Rights.ACCEPT_ANY_RECIPIENT | Rights.ACCEPT_HEADERS_ROUTING | Rights.BYPASS_ANTI_SPAM
_EXTERNALLY_SECURED_GROUP = (
    Rights.SUBMIT
    | Rights.ACCEPT_ANY_RECIPIENT
    | Rights.ACCEPT_ANY_SENDER
    | Rights.ACCEPT_AUTHORITATIVE_DOMAIN_SENDER
    | Rights.ACCEPT_AUTHENTICATION_FLAG
    | Rights.ACCEPT_EXCH50
    | Rights.ACCEPT_HEADERS_ROUTING
    | Rights.BYPASS_ANTI_SPAM
    | Rights.BYPASS_MESSAGE_SIZE_LIMIT
)

#: principal → (the permission group that must be on the connector, what it gives)
_GROUPS = {
    ANONYMOUS_LOGON: ("AnonymousUsers", _ANONYMOUS_GROUP),
    AUTHENTICATED_USERS: ("ExchangeUsers", _USERS_GROUP),
    EXTERNALLY_SECURED: ("ExchangeServers", _EXTERNALLY_SECURED_GROUP),
}


def parse_right(text: str) -> Rights:
    """A right from C{"Accept-Any-Recipient"} or C{"ms-Exch-SMTP-Accept-Any-Recipient"}, in any case; L{ValueError} else."""
    found = _SPELLINGS.get(text.strip().lower())
    if found is None:
        allowed = ", ".join(_SHORT_NAMES)
        raise ValueError(f"unknown right {text!r}{suggestion(_short(text.strip()), _SHORT_NAMES)}; allowed: {allowed}")
    return found


@attrs.frozen(slots=True)
class Grant:
    """Rights, and where they come from.

    @ivar principal: who has them.
    @ivar group: the permission group that gives them, C{""} where they are extended rights.
    @ivar key: the principal as C{extended_rights} has it.
    """

    principal: str
    rights: Rights
    group: str = ""
    key: str = ""


def _extended(granted: Mapping[str, Iterable[str]], principals: Iterable[str]) -> Iterator[Grant]:
    """The extended rights granted to any of some principals."""
    wanted = {principal.lower(): principal for principal in principals}
    for key, names in granted.items():
        principal = wanted.get(parse_principal(key).lower())
        if principal is not None:
            rights = Rights.NONE
            for name in names:
                rights |= parse_right(name)
            yield Grant(principal, rights, key=key)


def principal_at_connect(connector: ReceiveConnector) -> str:
    """Who a session is before it logs in: L{ANONYMOUS_LOGON} or L{EXTERNALLY_SECURED}."""
    if "ExternalAuthoritative" in connector.auth_mechanism and "ExchangeServers" in connector.permission_groups:
        return EXTERNALLY_SECURED
    return ANONYMOUS_LOGON


def rights_of(connector: ReceiveConnector, principal: str, user_address: str = "", groups: Iterable[str] = ()) -> Rights:
    """The rights of a principal on a connector: those of its group, if the connector has it, and its extended rights.

    @param principal: one of the three constants.
    @param user_address: the login's own address, for C{AUTHENTICATED_USERS}; its extended rights are added.
    @param groups: the groups of the login; the extended rights of C{group:NAME} are added for each.
    """
    rights = Rights.NONE
    for grant in grants_of(connector, principal, user_address, groups):
        rights |= grant.rights
    return rights


def grants_of(connector: ReceiveConnector, principal: str, user_address: str = "", groups: Iterable[str] = ()) -> list[Grant]:
    """What L{rights_of} is made of."""
    group, given = _GROUPS[principal]
    principals = [principal]
    if "@" in user_address and not user_address.lower().startswith(GROUP_PREFIX):  # no login is called as a principal is
        principals.append(user_address)
    principals += [GROUP_PREFIX + name for name in groups]
    by_group = [Grant(principal, given, group)] if group in connector.permission_groups else []
    return [*by_group, *_extended(connector.extended_rights, principals)]


def right_name(right: Rights, full: bool = False) -> str:
    """C{"Accept-Any-Recipient"}, or with C{full} C{"ms-Exch-SMTP-Accept-Any-Recipient"}."""
    name, _ = _NAMES[right]
    return name if full else _short(name)


def grants(connector: ReceiveConnector) -> Iterator[tuple[str, Rights, str]]:
    """Each right that a principal has on a connector, and what gives it: a permission group or C{extended_rights}."""
    for principal, (group, given) in _GROUPS.items():
        if group in connector.permission_groups and (principal != EXTERNALLY_SECURED or principal_at_connect(connector) == principal):
            for right in given:
                yield principal, right, f"permission group {group}"
    for principal, names in connector.extended_rights.items():
        for name in names:
            yield parse_principal(principal), parse_right(name), "extended right"


def rights_problems(config: Config) -> list[Problem]:
    """Unknown rights in C{extended_rights}, for the loader, which looks at the principals itself."""
    problems = []
    for name, connector in config.receive_connectors.items():
        for principal, rights in connector.extended_rights.items():
            path = ("receive_connectors", name, "extended_rights", principal)
            for index, right in enumerate(rights):
                try:
                    parse_right(right)
                except ValueError as error:
                    problems.append(Problem(path=(*path, index), text=str(error)))
    return problems
