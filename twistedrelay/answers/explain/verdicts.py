"""Why each command got its reply, and where the configuration says so.

The replies are the session's own; a reason names the rule of L{twistedrelay.policy.acceptance} (or of the engine) that gives this reply,
with the facts that it went by.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from twistedrelay.answers.explain import document
from twistedrelay.answers.explain.choice import SECTION, Placed
from twistedrelay.answers.explain.rehearsal import Offer, Rehearsal, Step
from twistedrelay.config.problems import Path
from twistedrelay.config.schema import Config, ReceiveConnector, Transport
from twistedrelay.policy.acceptance import Acceptance
from twistedrelay.policy.pressure import RESOURCES
from twistedrelay.values import reply as replies
from twistedrelay.values.address import Address, AddressError, parse_address

Reason = tuple[str, Path]  #: in words, and which part of the configuration says so

_NEITHER = ("", ())

_ENHANCED = re.compile(r"^(\d{3}[ -])\d\.\d{1,3}\.\d{1,3} ")
_WORDS = re.compile(r"[a-z_.]+").findall
_KEYS = frozenset(ReceiveConnector.model_fields)
_TRANSPORT = frozenset(Transport.model_fields)
_RESOURCES = frozenset(RESOURCES)


class Verdicts:
    """The reasons of one rehearsal."""

    def __init__(self, config: Config, acceptance: Acceptance, found: Rehearsal, place: Placed) -> None:
        self._config = config
        self._acceptance = acceptance
        self._found = found
        self._place = place

    def dialogue(self) -> list[document.Exchange]:
        """All steps."""
        return [self._exchange(step) for step in self._found.steps]

    def _exchange(self, step: Step) -> document.Exchange:
        reason, path = self._reason(step)
        return document.Exchange(
            command=step.command,
            reply=step.reply,
            accepted=step.ok,
            reason=reason,
            delay_seconds=round(step.delay, 3),
            place=self._place(path) if path else "",
        )

    def _reason(self, step: Step) -> Reason:
        verb, _, rest = step.command.partition(":")
        if step.ok and verb == "MAIL FROM":
            return self._sender(_mailbox(rest))
        if step.ok and verb == "RCPT TO":
            return self._recipient(_mailbox(rest))
        if step.ok:
            return _NEITHER
        if step.limit:
            return step.limit, next(filter(None, map(self._key, _WORDS(step.limit))), ())
        explain = _REFUSALS.get(_plain(step.reply.split("\n")[0]))
        return _NEITHER if explain is None else explain(self, _mailbox(rest))

    # -- what was granted ------------------------------------------------------------------------------------------------

    def _sender(self, sender: Address | None) -> Reason:
        avatar = self._found.avatar
        if avatar is None or sender is None or not sender.domain:
            return "the null path is anybody's", ()
        if avatar.is_anonymous:
            domain, path = self._accepted(sender.domain)
            if domain and avatar.accepts_authoritative_sender:
                return f"the session may claim senders of {domain} (Accept-Authoritative-Domain-Sender)", path
            return f"{sender.domain} is nobody's here" if not domain else f"{domain} is not authoritative", path
        if (sender.local.lower(), sender.domain) in avatar.own_addresses:
            return "it is an address of the login", ()
        return "the login may send as anybody (Accept-Any-Sender)", ()

    def _recipient(self, recipient: Address | None) -> Reason:
        avatar = self._found.avatar
        if avatar is None or recipient is None:
            return _NEITHER
        resolved = self._acceptance.resolve_recipient(recipient)
        meant = f"; meant is {resolved}" if resolved is not recipient else ""
        domain, path = self._accepted(recipient.domain)
        if domain:
            return f"{domain} is an accepted domain ({self._config.accepted_domains[domain].domain_type}){meant}", path
        if avatar.accepts_any_recipient and recipient.domain:
            return f"the session may relay anywhere (Accept-Any-Recipient){meant}", ()
        return meant.removeprefix("; "), ()

    # -- what was refused ------------------------------------------------------------------------------------------------

    def _relay(self, recipient: Address | None) -> Reason:
        """Unable to relay."""
        lacking = "the session has no right Accept-Any-Recipient"
        domain, path = self._accepted(recipient.domain if recipient else "")
        if domain and recipient is not None:
            return f"{recipient.local} asks to send on to somewhere else, and {lacking}", path
        return f"{recipient.domain if recipient else 'its domain'} is not an accepted domain, and {lacking}", self._key("permission_groups")

    def _unknown(self, recipient: Address | None) -> Reason:
        domain, path = self._accepted(recipient.domain if recipient else "")
        return f"it is not among the recipients of {domain}", (*path, "recipients")

    def _send_as(self, sender: Address | None) -> Reason:
        avatar = self._found.avatar
        if avatar is not None and not avatar.is_anonymous:
            return "it is no address of the login, and the login has no right Accept-Any-Sender: see `relayctl user`", ()
        domain, path = self._accepted(sender.domain if sender else "")
        return f"{domain} is ours, and without a login it takes the right Accept-Authoritative-Domain-Sender", path

    def _no_login(self, _: Address | None) -> Reason:
        return "without a login the session has no right Submit: permission_groups has no AnonymousUsers", self._key("permission_groups")

    def _no_submit(self, _: Address | None) -> Reason:
        return "the login has no right Submit: permission_groups has no ExchangeUsers", self._key("permission_groups")

    def _needs_tls(self, _: Address | None) -> Reason:
        connector = self._connector
        key = "auth_mechanism" if connector is not None and "BasicAuthRequireTLS" in connector.auth_mechanism else "require_tls"
        return f"no login in clear text ({key}): begin TLS first (--tls)", self._key(key)

    def _no_mechanism(self, _: Address | None) -> Reason:
        return "the connector offers no login of this kind (auth_mechanism)", self._key("auth_mechanism")

    def _no_starttls(self, _: Address | None) -> Reason:
        return "the connector offers no STARTTLS: auth_mechanism has no Tls", self._key("auth_mechanism")

    def _no_extension(self, _: Address | None) -> Reason:
        return "MAIL asks for an extension that EHLO does not offer (REQUIRETLS: only under TLS, and by requiretls_enabled)", ()

    def _bad_address(self, address: Address | None) -> Reason:
        if address is not None and not address.text.isascii():
            return "the address is not ASCII, and EHLO does not offer SMTPUTF8", self._key("smtp_utf8_enabled")
        return "nobody can be answered or sent to by that address", ()

    def _bad_name(self, _: Address | None) -> Reason:
        return "the name in EHLO is no domain and no address literal", self._key("lenient_syntax_enabled")

    def _not_ours(self, _: Address | None) -> Reason:
        return "it looks like a return path of srs_domain, and is none that this relay made, or too old", ()

    def _nobody(self, _: Address | None) -> Reason:
        return "no range of an enabled connector on this port holds the client", ()

    # -- where it says so ------------------------------------------------------------------------------------------------

    @property
    def _connector(self) -> ReceiveConnector | None:
        return None if self._found.site is None else self._found.site.connector

    def _key(self, key: str) -> Path:
        """Where a key of the connector or of the whole relay stands; nowhere where there is none of that name."""
        if key in _KEYS:
            return () if self._found.site is None else (SECTION, self._found.site.name, key)
        if key in _TRANSPORT:
            return "transport", key
        if key in _RESOURCES:
            return "transport", "back_pressure", key
        return tuple(key.split(".")) if key.startswith("server.") else ()

    def _accepted(self, domain: str) -> tuple[str, Path]:
        """The accepted domain that holds a domain, as configured."""
        found = self._acceptance.accepted_domain(domain)
        name = next((name for name, item in self._config.accepted_domains.items() if item is found), "")
        return name, ("accepted_domains", name) if name else ()


def _mailbox(rest: str) -> Address | None:
    """The mailbox of a command."""
    text = rest.partition("<")[2].rpartition(">")[0]
    try:
        return parse_address(text, utf8=True)
    except AddressError:
        return None


def _plain(line: str) -> str:
    """A reply without its enhanced code, which not every connector shows."""
    return _ENHANCED.sub(r"\1", line, count=1)


_REFUSALS: dict[str, Callable[[Verdicts, Address | None], Reason]] = {
    _plain(str(reply)): reason
    for reply, reason in (
        (replies.UNABLE_TO_RELAY, Verdicts._relay),
        (replies.USER_UNKNOWN, Verdicts._unknown),
        (replies.SEND_AS_DENIED, Verdicts._send_as),
        (replies.NOT_AUTHENTICATED, Verdicts._no_login),
        (replies.NO_SUBMIT_RIGHT, Verdicts._no_submit),
        (replies.AUTH_NEEDS_TLS, Verdicts._needs_tls),
        (replies.UNRECOGNIZED_AUTH, Verdicts._no_mechanism),
        (replies.NOT_IMPLEMENTED, Verdicts._no_starttls),
        (replies.UNKNOWN_PARAMETER, Verdicts._no_extension),
        (replies.BAD_SENDER, Verdicts._bad_address),
        (replies.BAD_RECIPIENT, Verdicts._bad_address),
        (replies.BAD_DOMAIN, Verdicts._bad_name),
        (replies.BAD_RETURN_PATH, Verdicts._not_ours),
        (replies.SERVICE_NOT_AVAILABLE, Verdicts._nobody),
    )
}

#: The keywords worth a word, with the key that switches each.
_KEYWORDS = {
    "SIZE": "size_enabled",
    "PIPELINING": "pipelining_enabled",
    "DSN": "delivery_status_notification_enabled",
    "ENHANCEDSTATUSCODES": "enhanced_status_codes_enabled",
    "STARTTLS": "auth_mechanism",
    "AUTH": "auth_mechanism",
    "8BITMIME": "eight_bit_mime_enabled",
    "BINARYMIME": "binary_mime_enabled",
    "CHUNKING": "chunking_enabled",
    "SMTPUTF8": "smtp_utf8_enabled",
    "REQUIRETLS": "requiretls_enabled",
    "DELIVERBY": "deliver_by_enabled",
    "FUTURERELEASE": "future_release_enabled",
    "MT-PRIORITY": "mt_priority_enabled",
    "LIMITS": "limits_enabled",
}


def extensions(offer: Offer, connector: ReceiveConnector, path: Path, place: Placed) -> Iterator[document.Extension]:
    """What one EHLO offered, and why not the rest."""
    words = {keyword.partition(" ")[0]: keyword for keyword in offer.keywords}
    for word, key in _KEYWORDS.items():
        offered = word in words
        reason = "" if offered else _missing(word, key, offer, connector)
        yield document.Extension(
            keyword=words.get(word, word), offered=offered, reason=reason, under_tls=offer.secure, place=place((*path, key))
        )


def _missing(word: str, key: str, offer: Offer, connector: ReceiveConnector) -> str:
    if word == "STARTTLS":
        if offer.secure:
            return "the connection is under TLS"
        return "" if offer.settings.offer_starttls else "auth_mechanism has no Tls"
    if word == "AUTH":
        if offer.authenticated:
            return "the client has logged in"
        if not offer.settings.auth_mechanisms:
            return "auth_mechanism has no login"
        if "BasicAuthRequireTLS" in connector.auth_mechanism:
            return "no login in clear text: auth_mechanism has BasicAuthRequireTLS"
        return "no login in clear text: require_tls" if connector.require_tls else "only under TLS"
    if word == "REQUIRETLS" and offer.settings.requiretls:
        return "only under TLS"
    if word == "BINARYMIME" and connector.binary_mime_enabled:
        return "it needs CHUNKING (chunking_enabled)"
    if word == "SMTPUTF8" and connector.smtp_utf8_enabled:
        return "it needs 8BITMIME (eight_bit_mime_enabled)"
    value = getattr(connector, key)
    return f"{key} is {value if isinstance(value, str) else 'false'}"
