"""The IP-range-aware realm: every SMTP session is an avatar, made from its facts and its login.

The I{mind} that a session brings to C{Portal.login} carries its facts (the connector its address chose, both ends, TLS); the avatar holds
its rights.  A session logs in when it connects (L{twistedrelay.policy.credentials.RemoteHost}) and again by AUTH; the second avatar
replaces the first, rights and all.  Never judges a password, a sender or a recipient.

Sources: Exchange Server, "Receive connector permissions"; twisted.cred.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs
from twisted.cred.checkers import ANONYMOUS
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm
from zope.interface import Interface, implementer

from twistedrelay.config.principals import AUTHENTICATED_USERS
from twistedrelay.config.schema import Config, ReceiveConnector
from twistedrelay.interfaces import IRelaySession
from twistedrelay.policy.acceptance import Acceptance
from twistedrelay.policy.headers import HeaderRules
from twistedrelay.policy.rights import Rights, principal_at_connect, rights_of
from twistedrelay.values.address import Address, AddressError, parse_address
from twistedrelay.values.netrange import IPAddress

if TYPE_CHECKING:
    from twistedrelay.config.users import User

    #: gives the receiver (C{twisted.mail.interfaces.IMessageSMTP}) of a message for one recipient
    MessageFactory = Callable[["RelaySession", Address], Any]


class AvatarId(str):
    """A login: the user's address, with the account as it was when its password was verified.

    The realm so needs no second look into the users file, which would read the disk on the reactor's thread.

    @ivar groups: the names of the groups that a directory puts the user into; C{group:NAME} in C{extended_rights} means them.
    """

    __slots__ = ("groups", "user")

    user: User | None
    groups: tuple[str, ...]

    def __new__(cls, address: str, user: User | None = None, groups: tuple[str, ...] = ()) -> AvatarId:
        made = super().__new__(cls, address)
        made.user = user
        made.groups = groups
        return made


@attrs.define(slots=True)
class SessionFacts:
    """What is known of an SMTP session; the mind of its logins.  TLS and HELO change as it goes on.

    @ivar session: its id, 16 hex digits.
    @ivar proxy: who speaks for the client, and what it told; C{""} where the client speaks for itself.
    @ivar tls_version: C{"TLSv1.3"}, or C{""} in clear text.
    @ivar helo: what the client said in HELO or EHLO, C{""} for nothing.
    @ivar esmtp: whether it said EHLO, or LHLO.
    @ivar lmtp: whether it said LHLO.
    @ivar smtp_utf8: whether the transaction in progress was begun with SMTPUTF8.
    @ivar peer_text: the client's address as text; kept because it is asked for with each message.
    @ivar local_text: our address, likewise.
    """

    session: str
    connector_name: str
    connector: ReceiveConnector
    peer: IPAddress
    peer_port: int
    local: IPAddress
    local_port: int
    proxy: str = ""
    tls_version: str = ""
    tls_cipher: str = ""
    helo: str = ""
    esmtp: bool = False
    lmtp: bool = False
    smtp_utf8: bool = False
    peer_text: str = attrs.field(init=False, default=attrs.Factory(lambda self: str(self.peer), takes_self=True))
    local_text: str = attrs.field(init=False, default=attrs.Factory(lambda self: str(self.local), takes_self=True))


@functools.cache
def _asked_for(rights: Rights) -> tuple[tuple[str, bool], ...]:
    """The truth values of L{RelaySession} by their names."""
    return (
        ("may_submit", Rights.SUBMIT in rights),
        ("accepts_any_recipient", Rights.ACCEPT_ANY_RECIPIENT in rights),
        ("accepts_any_sender", Rights.ACCEPT_ANY_SENDER in rights),
        ("accepts_authoritative_sender", Rights.ACCEPT_AUTHORITATIVE_DOMAIN_SENDER in rights),
        ("bypasses_size_limit", Rights.BYPASS_MESSAGE_SIZE_LIMIT in rights),
    )


@implementer(IRelaySession)
@attrs.frozen(slots=True, eq=False)
class RelaySession:
    """The avatar of an SMTP session: who it is and what it may do.

    @ivar principal: C{"Anonymous Logon"}, C{"Externally Secured Servers"}, or the user's address.
    @ivar user: the account, or None for sessions without login and for logins that a foreign credential checker vouched for.
    @ivar login: the login's name, C{""} without one.
    @ivar own_addresses: what a login may send as, as (local part in lower case, domain).
    @ivar facts: the session's facts, as they are now.
    """

    principal: str
    rights: Rights
    user: User | None
    login: str
    own_addresses: frozenset[tuple[str, str]]
    facts: SessionFacts = attrs.field(repr=False)
    realm: RelayRealm = attrs.field(repr=False)
    # The rights that are asked for with each command, as plain truth values: testing a Flag costs more than all the rest.
    may_submit: bool = attrs.field(init=False, repr=False)
    accepts_any_recipient: bool = attrs.field(init=False, repr=False)
    accepts_any_sender: bool = attrs.field(init=False, repr=False)
    accepts_authoritative_sender: bool = attrs.field(init=False, repr=False)
    bypasses_size_limit: bool = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        for name, held in _asked_for(self.rights):
            object.__setattr__(self, name, held)

    @property
    def is_anonymous(self) -> bool:
        """Whether nobody logged in."""
        return not self.login

    @property
    def may_raise_priority(self) -> bool:
        """Whether its messages may overtake others (RFC 6710 section 4.1): who logged in, or is trusted to relay."""
        return bool(self.login) or self.accepts_any_recipient

    @property
    def header_rules(self) -> HeaderRules:
        """What its messages may have in front."""
        return self.realm.acceptance.header_rules(self.facts.connector, self.rights)

    def __conform__(self, interface: type[Interface]) -> Any:
        """Adapt to C{twisted.mail.interfaces.IMessageDelivery}, which is imported only when it is asked for."""
        if interface.__name__ != "IMessageDelivery":
            return None
        from twisted.mail.interfaces import IMessageDelivery

        from twistedrelay.policy.messagedelivery import MessageDelivery

        return MessageDelivery(self) if interface is IMessageDelivery else None


def _own_addresses(addresses: list[str]) -> frozenset[tuple[str, str]]:
    """Addresses for comparison, without regard to case; what is no address is left out."""
    own = set()
    for text in addresses:
        try:
            address = parse_address(text, utf8=True)
        except AddressError:
            continue
        own.add((address.local.lower(), address.domain))
    return frozenset(own)


@implementer(IRealm)
class RelayRealm:
    """Makes the avatars of SMTP sessions.

    @ivar acceptance: the verdicts on senders and recipients, for the avatars' IMessageDelivery.
    @ivar message_factory: who receives messages that come in through IMessageDelivery; None: nobody, they are refused for the time being.
    """

    def __init__(self, config: Config, acceptance: Acceptance | None = None, message_factory: MessageFactory | None = None) -> None:
        self.acceptance = Acceptance(config) if acceptance is None else acceptance
        self.message_factory = message_factory
        self._at_connect: dict[str, tuple[ReceiveConnector, str, Rights]] = {}  # who a session is before it logs in

    def session(self, avatar_id: object, facts: SessionFacts) -> RelaySession:
        """The avatar of a login.

        @param avatar_id: C{ANONYMOUS}, an L{AvatarId}, or the login name (L{bytes} or L{str}) that a foreign checker vouches for.
        @raise UnauthorizedLogin: a foreign checker vouches for an empty name.
        """
        if avatar_id is ANONYMOUS:
            known = self._at_connect.get(facts.connector_name)
            if known is None or known[0] is not facts.connector:
                principal = principal_at_connect(facts.connector)
                known = (facts.connector, principal, rights_of(facts.connector, principal))
                self._at_connect[facts.connector_name] = known
            return RelaySession(known[1], known[2], None, "", frozenset(), facts, self)
        if not isinstance(avatar_id, bytes | str):
            raise TypeError(f"an avatar id is ANONYMOUS or a login name, not {type(avatar_id).__name__}")
        login = avatar_id.decode("utf-8", "replace") if isinstance(avatar_id, bytes) else str(avatar_id)
        if not login:
            raise UnauthorizedLogin("a login without a name")  # it would pass for a session without a login
        user, groups = (avatar_id.user, avatar_id.groups) if isinstance(avatar_id, AvatarId) else (None, ())
        own = _own_addresses([login, *(user.send_as if user is not None else ())])
        rights = rights_of(facts.connector, AUTHENTICATED_USERS, login, groups)
        return RelaySession(login, rights, user, login, own, facts, self)

    def requestAvatar(self, avatarId: object, mind: object, *interfaces: type[Interface]) -> tuple[Any, Any, Callable[[], None]]:
        """See L{IRealm}.  C{mind} must be L{SessionFacts}: without them there is no connector to have rights on."""
        if not isinstance(mind, SessionFacts):
            raise TypeError("the mind of a relay login must be SessionFacts")
        session = self.session(avatarId, mind)
        for interface in interfaces:
            aspect = interface(session, None)
            if aspect is not None:
                return interface, aspect, _logout
        raise TypeError("only IRelaySession and IMessageDelivery are provided")


def _logout() -> None:
    """Nothing is held for a session."""
