"""Where each recipient's mail goes: the router's own answer, and what spoke for and against each send connector.

It decides nothing: L{Router<twistedrelay.routing.router.Router>} does, and L{Selection<twistedrelay.routing.selection.Selection>} ranks.
"""

from __future__ import annotations

from typing import Any

from twistedrelay.answers.explain import document
from twistedrelay.answers.explain.choice import Placed
from twistedrelay.config.problems import Path
from twistedrelay.config.schema import Config
from twistedrelay.interfaces import IRouter
from twistedrelay.policy.acceptance import Acceptance
from twistedrelay.routing.selection import Contender, Selection
from twistedrelay.values.address import Address
from twistedrelay.values.envelope import MailParameters, Message, Origin, Recipient
from twistedrelay.values.printable import public_url
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Route, TLSPolicy

_LEVELS = {
    "none": "clear text: STARTTLS is never used",
    "may": "opportunistic: STARTTLS where it is offered, unverified; clear text else",
    "encrypt": "TLS or nothing; the certificate is not verified",
    "certificate": "TLS with a valid certificate, or nothing",
    "domain": "TLS with a valid certificate for {name}, or nothing",
    "dane": "TLS by DANE, or nothing",
}


class _Size:
    """Content of a size."""

    def __init__(self, size: int) -> None:
        self.size = size


def message_of(sender: Address, recipients: list[Recipient], parameters: MailParameters, size: int, origin: Origin, now: float) -> Message:
    """The message that a client would have sent."""
    content: Any = _Size(size)
    return Message(0, sender, recipients, "", now, content, parameters, origin)


class Routes:
    """The ways out of one configuration."""

    def __init__(self, config: Config, router: IRouter, acceptance: Acceptance, place: Placed) -> None:
        self._config = config
        self._router = router
        self._acceptance = acceptance
        self._selection = Selection(config)
        self._place = place

    def route(self, message: Message, recipient: Recipient) -> tuple[document.Route, Route | None]:
        """The way of a recipient, for people and as it is."""
        way = self._router.route(message, recipient)
        address = recipient.address
        accepted = self._acceptance.accepted_domain(address.domain)
        domain = next((name for name, item in self._config.accepted_domains.items() if item is accepted), "")
        told = document.Route(
            recipient=address.text,
            action="send" if isinstance(way, Route) else "return" if way.code >= 500 else "wait",
            reason=str(way) if isinstance(way, Reply) else "",
            accepted_domain=domain,
            domain_type=accepted.domain_type if accepted is not None else "",
            envelope_sender=message.sender.text,
            envelope_recipient=address.text,
        )
        if accepted is not None and accepted.next_hop is not None:
            told.reason = f"{domain} is an accepted domain with a next hop, which comes before every send connector"
            told.place = self._place(("accepted_domains", domain, "next_hop"))
        else:
            ranked = self._selection.contenders(message, address.domain)
            told.candidates = self._candidates(ranked, way)
        if isinstance(way, Route):
            self._fill(told, way, message, address)
            return told, way
        return told, None

    def _fill(self, told: document.Route, way: Route, message: Message, address: Address) -> None:
        path: Path = ("send_connectors", way.connector)
        if way.connector:
            told.send_connector, told.place = way.connector, self._place(path)
            told.reason = next((one.reason for one in told.candidates if one.chosen), "")
        told.next_hop, told.delivery_type = way.next_hop, way.delivery_type
        told.hops = [f"{hop.host}:{hop.port}" for hop in way.hops] or ([way.path] if way.path else [])
        told.mx_domain, told.helo, told.source_addresses = way.mx_domain, way.helo, list(way.sources)
        told.tls, told.tls_level = tls_in_words(way), way.tls.level
        if way.login is not None:
            tokens = way.login.tokens
            told.login = way.login.username
            told.login_source = (
                way.login.password_file if tokens is None else f"OAuth, {tokens.grant_type} at {public_url(tokens.token_url)}"
            )
        if way.rewrite is not None:
            told.envelope_sender = way.rewrite.sender(message.sender).text
            changed = way.rewrite.recipient(address)
            if isinstance(changed, Reply):
                told.action, told.reason = "return", str(changed)
            else:
                told.envelope_recipient = changed.text

    def _candidates(self, ranked: list[Contender], way: Route | Reply) -> list[document.SendCandidate]:
        chosen = way.connector if isinstance(way, Route) else ""
        winner = next((one for one in ranked if one.name == chosen), None)
        found = [self._candidate(one, winner) for one in ranked]
        off = [name for name, item in self._config.send_connectors.items() if not item.enabled]
        place = self._place
        found += [
            document.SendCandidate(name=name, chosen=False, reason="it is disabled", place=place(("send_connectors", name))) for name in off
        ]
        return sorted(found, key=lambda one: not one.chosen)

    def _candidate(self, one: Contender, winner: Contender | None) -> document.SendCandidate:
        return document.SendCandidate(
            name=one.name,
            chosen=one is winner,
            reason=_won(one) if one is winner else _lost(one, winner),
            address_space=one.space.pattern if one.space is not None else "",
            cost=one.space.cost if one.space is not None else None,
            place=self._place(("send_connectors", one.name)),
        )


def _won(one: Contender) -> str:
    if one.is_linked:
        return "the receive connector is linked with it (linked_send_connector)"
    if one.space is None:
        return ""
    senders = "is for this sender (sender_address_spaces) and " if one.is_for_some else ""
    return f"it {senders}has the address space {one.space.pattern} with cost {one.space.cost}"


def _lost(one: Contender, winner: Contender | None) -> str:
    """The first of the rules of L{twistedrelay.routing.selection} that spoke against it."""
    if one.is_barred:
        return "the receive connector is linked with another one (linked_send_connector)"
    if one.is_too_small:
        return "its max_message_size is less than the message"
    if one.senders is None:
        return "none of its sender_address_spaces holds the sender"
    if one.space is None:
        return "none of its address_spaces holds the recipient's domain"
    if winner is None or winner.space is None:
        return "it would take the message"
    if one.senders != winner.senders:
        return f"the sender space of {winner.name} is more specific"
    if one.specificity != winner.specificity:
        return f"its address space {one.space.pattern} is less specific than {winner.space.pattern} of {winner.name}"
    if one.space.cost != winner.space.cost:
        return f"its cost {one.space.cost} is higher than the {winner.space.cost} of {winner.name}"
    return f"it is equal to {winner.name}, whose name comes first"


def tls_in_words(way: Route) -> str:
    """What the next hop must do about TLS."""
    if way.kind != "smtp":
        return "none: it is a mailbox's next hop"
    said = _policy(way.tls)
    if way.implicit_tls:
        said = f"from the start of the connection; {said}"
    more = []
    if way.require_tls:
        more.append("REQUIRETLS: it must prove its name and offer REQUIRETLS")
    if way.dane != "None" and way.mx_domain:
        more.append("DANE records are asked for" + (", and needed" if way.dane == "Required" else ""))
    if way.mta_sts and way.mx_domain:
        more.append("the MTA-STS policy is asked for")
    return "; ".join([said, *more])


def _policy(policy: TLSPolicy) -> str:
    said = _LEVELS[policy.level].format(name=policy.name or "the host's name")
    return f"{said}; we show {policy.certificate}" if policy.certificate else said
