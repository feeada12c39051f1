"""Mail that an administrator sends to another server instead of its next hops (Redirect-Message): whole queues, or chosen messages.

It is a router round the router: it takes the way that would be gone and puts the other server in the place of its next hop.  What the way
asks of TLS stays, REQUIRETLS too, and so do its addresses to connect from and how it changes addresses; logins are never given to another
server.  Which queues are redirected is kept by the spool under C{redirect:<identity>}; a message has its own redirect with it.
What goes to a server whose own queue is redirected follows that, too, but in no circle.  What comes back as refused for good by our own
routing stays refused.

Source: Exchange Server, Redirect-Message (C{-Target}).
"""

from __future__ import annotations

import json
from weakref import WeakKeyDictionary

import attrs
from twisted.internet.defer import Deferred
from zope.interface import implementer

from twistedrelay.interfaces import IRouter, ISpool
from twistedrelay.schedule.orders import Orders
from twistedrelay.values.envelope import Message, Recipient
from twistedrelay.values.reply import Reply
from twistedrelay.values.route import Hop, Route

PREFIX = "redirect:"
UNREACHABLE = "Unreachable"


@attrs.frozen(slots=True)
class Redirect:
    """One of a whole queue.

    @ivar to: the other server, as L{Hop} writes it.
    @ivar by: who said so.
    """

    to: str
    by: str = ""


@implementer(IRouter)
class Redirects:
    """See the module.

    @ivar router: the one that knows the ways.
    @ivar queues: the redirects of queues, by identity.
    """

    def __init__(self, router: IRouter, spool: ISpool, fqdn: str) -> None:
        self.router = router
        self.queues: dict[str, Redirect] = {}
        self._orders: Orders[str, Redirect] = Orders(self._put, self._remember)
        self._spool = spool
        lost = Route("", UNREACHABLE, "SmartHostConnectorDelivery", helo=fqdn)
        self._lost = {False: lost, True: attrs.evolve(lost, require_tls=True)}  # by REQUIRETLS
        self._made: dict[tuple[str, str, bool], Route] = {}
        self._ways: WeakKeyDictionary[Route, dict[str, Route]] = WeakKeyDictionary()

    def route(self, message: Message, recipient: Recipient) -> Route | Reply:
        """See L{IRouter.route}."""
        way = self.router.route(message, recipient)
        if self.queues or message.redirect:
            return self._redirected(message, way)
        return way

    def load(self, remembered: dict[str, str]) -> list[str]:
        """Take what was kept over a restart; the queues that are redirected."""
        for key, text in remembered.items():
            if key.startswith(PREFIX) and key[len(PREFIX) :] not in self.queues:
                redirect = _read(text)
                if redirect is not None:
                    self._orders.put(key[len(PREFIX) :], redirect)
        return list(self.queues)

    def set(self, identity: str, redirect: Redirect) -> Deferred[None]:
        """Redirect a queue from now on; fires when that survives a restart, fails where it does not: then it is redirected as before."""
        return self._orders.give(identity, redirect)

    def cancel(self, identity: str) -> Deferred[None]:
        """Let a queue go its own way; as L{set}."""
        return self._orders.give(identity, None)

    def _put(self, identity: str, redirect: Redirect | None) -> None:
        if redirect is None:
            self.queues.pop(identity, None)
        else:
            self.queues[identity] = redirect

    def _remember(self, identity: str, redirect: Redirect | None) -> Deferred[None]:
        return self._spool.remember(PREFIX + identity, None if redirect is None else json.dumps(attrs.asdict(redirect)))

    def _redirected(self, message: Message, way: Route | Reply) -> Route | Reply:
        if isinstance(way, Reply):
            if way.is_permanent:
                return way
            queue, template = UNREACHABLE, self._lost[message.parameters.require_tls]
        else:
            queue, template = way.next_hop, way
        redirect = self.queues.get(queue)
        to = message.redirect or (redirect.to if redirect is not None else "")
        if not to:
            return way
        passed = {queue}
        while to not in passed and (further := self.queues.get(to)) is not None:
            passed.add(to)
            to = further.to
        ways = self._ways.setdefault(template, {})
        return ways.get(to) or ways.setdefault(to, self._make(template, to))

    def _make(self, way: Route, to: str) -> Route:
        """The same object for all ways of a send connector, as lanes want it."""
        strict = way.tls.level in ("encrypt", "certificate", "domain")
        tls = attrs.evolve(way.tls, name="") if strict else attrs.evolve(way.tls, level="may")
        made = attrs.evolve(
            way,
            next_hop=to,
            delivery_type="SmartHostConnectorDelivery",
            kind="smtp",
            hops=(Hop.of(to),),
            mx_domain="",
            path="",
            implicit_tls=False,
            tls=tls,
            login=None,
            message_rate=None,
            dane="None",
            mta_sts=False,
            private_targets=True,
        )
        key = (to, way.connector, way.require_tls)
        known = self._made.get(key)
        if known is None or attrs.astuple(known, recurse=False) != attrs.astuple(made, recurse=False):
            self._made[key] = known = made
        return known


def _read(text: str) -> Redirect | None:
    """A redirect as it was written, or None where it is none."""
    try:
        kept = json.loads(text)
        redirect = Redirect(str(kept["to"]), str(kept["by"]))
        Hop.of(redirect.to)
    except (ValueError, LookupError, TypeError):
        return None
    return redirect
