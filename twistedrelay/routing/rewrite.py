"""How addresses change on the way out of a send connector: for smart hosts that take mail of known senders only, and for test systems.

C{sender_rewrite} maps return paths, the first pattern that fits in the order in which they are written; what is then still a sender of a
foreign domain becomes an SRS address in C{srs_domain}; where C{sender_rewrite_headers_enabled} is true, the addresses in From and Sender
are mapped, too, but never become SRS addresses, which people would answer to.  The null path stays null.  C{redirect_all_to} replaces
every recipient but C{allowed_recipients}; without it all others are refused, and so returned.

What is stored keeps its addresses, so that reports, views and logs are about what the sender said.  Nothing here knows the next hop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import attrs
from zope.interface import implementer

from twistedrelay.config.domains import DomainIndex
from twistedrelay.config.patterns import AddressPattern
from twistedrelay.config.schema import Config, SendConnector
from twistedrelay.interfaces import IRewrite
from twistedrelay.routing.fromfields import mapped_fields
from twistedrelay.values.address import Address, AddressError, parse_address
from twistedrelay.values.envelope import Message
from twistedrelay.values.reply import Reply
from twistedrelay.values.srs import SRS
from twistedrelay.values.xtext import encode_utf8_address

NOT_ALLOWED = Reply(550, "5.7.1", "The send connector does not send to this recipient (allowed_recipients)")
ORIGINAL_RECIPIENT = "X-TwistedRelay-Original-Recipient"  #: what C{redirect_all_to} hides; its prefix is taken from no stranger
MAX_NAMED = 50  #: recipients that it names

Rule = tuple[AddressPattern, AddressPattern]


@attrs.frozen(slots=True)
class Disguise:
    """SRS for the senders of foreign domains.

    @ivar domain: of the addresses that are made.
    @ivar own: whose senders need none.
    """

    domain: str
    keys: SRS
    own: frozenset[str]
    _index: DomainIndex[bool] = attrs.field(init=False, eq=False, repr=False)
    _clock: Callable[[], float] = attrs.field(default=time.time, eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_index", DomainIndex(dict.fromkeys(self.own, True)))

    def put_on(self, sender: Address) -> Address:
        """The return path for a sender."""
        if sender.domain == self.domain or self._index.find(sender.domain):
            return sender
        return self.keys.encode(sender, self.domain, self._clock())


@implementer(IRewrite)
@attrs.frozen(slots=True)
class Rewrite:
    """See the module.

    @ivar rules: what senders become, in the order of the configuration.
    @ivar in_headers: whether From and Sender follow them.
    @ivar redirect: who gets everything, or None.
    @ivar allowed: who is left as it is; without C{redirect} nobody else gets anything, unless it is empty.
    """

    rules: tuple[Rule, ...] = ()
    in_headers: bool = False
    disguise: Disguise | None = None
    redirect: Address | None = None
    allowed: tuple[AddressPattern, ...] = ()

    @property
    def changes_content(self) -> bool:
        """See L{IRewrite.changes_content}."""
        return self.in_headers or self.redirect is not None

    def sender(self, sender: Address) -> Address:
        """See L{IRewrite.sender}."""
        if sender.is_null:
            return sender
        sender = self._mapped(sender) or sender
        return sender if self.disguise is None else self.disguise.put_on(sender)

    def recipient(self, recipient: Address) -> Address | Reply:
        """See L{IRewrite.recipient}."""
        if self._is_left(recipient):
            return recipient
        return NOT_ALLOWED if self.redirect is None else self.redirect

    def header(self, header: bytes, message: Message) -> bytes:
        """See L{IRewrite.header}.  With the empty line behind it or without, as it came."""
        if self.in_headers:
            header = mapped_fields(header, self._mapped_text)
        if self.redirect is not None:
            header = _with_field(header, self._original_recipients(message))
        return header

    def _is_left(self, recipient: Address) -> bool:
        if self.redirect is None and not self.allowed:
            return True
        return any(pattern.fits(recipient) for pattern in self.allowed)

    def _mapped(self, sender: Address) -> Address | None:
        """What the first rule that fits makes of an address; None where it stays."""
        for pattern, into in self.rules:
            if pattern.fits(sender):
                return into.filled(sender)
        return None

    def _mapped_text(self, text: str) -> str | None:
        try:
            mapped = self._mapped(parse_address(text, utf8=True, final_dot=True))
        except AddressError:
            return None
        if mapped is None:
            return None
        if not mapped.text.isascii() and mapped.local.isascii():  # a domain makes no message international
            return f"{mapped.local}@{mapped.domain}"
        return mapped.text

    def _original_recipients(self, message: Message) -> bytes:
        """The field that names them; nothing where others read it than who gets everything: they are not to learn of blind copies."""
        names = [recipient.address for recipient in message.recipients]
        if any(self._is_left(name) for name in names):
            return b""
        shown = [name.text if name.text.isascii() else encode_utf8_address(name.text) for name in names[:MAX_NAMED]]
        more = "" if len(names) <= MAX_NAMED else f"\r\n (and {len(names) - MAX_NAMED} more)"
        value = ",\r\n ".join(shown)
        return f"{ORIGINAL_RECIPIENT}: {value}{more}\r\n".encode()


def _with_field(header: bytes, field: bytes) -> bytes:
    """The header section with one more field at its end."""
    if header.endswith(b"\r\n\r\n"):
        return header[:-2] + field + b"\r\n"
    if header.startswith(b"\r\n"):
        return field + header
    return header + (b"" if header.endswith(b"\r\n") or not header else b"\r\n") + field  # BDAT needs no line end behind the last line


def _patterns(texts: Iterable[str]) -> tuple[AddressPattern, ...]:
    return tuple(AddressPattern.parse(text) for text in texts)


def _rules(rewrites: Mapping[str, str]) -> tuple[Rule, ...]:
    return tuple(zip(_patterns(rewrites), _patterns(rewrites.values()), strict=True))


def rewrite_of(
    connector: SendConnector, config: Config, secrets: Sequence[bytes] = (), clock: Callable[[], float] = time.time
) -> Rewrite | None:
    """What a send connector does to addresses, None for nothing; equal for equal configuration.

    @param secrets: those of SRS; without any, nobody becomes an SRS address.
    @param clock: what SRS addresses are dated by.
    """
    disguise = None
    if connector.srs_domain and secrets:
        domain = parse_address(f"postmaster@{connector.srs_domain}", utf8=True).domain
        ours = (each.srs_domain for each in config.send_connectors.values() if each.srs_domain)
        disguise = Disguise(domain, SRS(tuple(secrets)), frozenset(config.accepted_domains).union(ours), clock)
    made = Rewrite(
        rules=_rules(connector.sender_rewrite),
        in_headers=connector.sender_rewrite_headers_enabled and bool(connector.sender_rewrite),
        disguise=disguise,
        redirect=parse_address(connector.redirect_all_to, utf8=True) if connector.redirect_all_to else None,
        allowed=_patterns(connector.allowed_recipients),
    )
    return None if made == Rewrite() else made
