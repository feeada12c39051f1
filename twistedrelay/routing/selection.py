"""Which send connector mail leaves by: by its receive connector, its size, its sender and the domain of its recipient.

In this order:

 1. Mail of a receive connector with C{linked_send_connector} leaves by that one, whatever its address spaces, or not at all.
 2. A connector whose C{max_message_size} is less than the message is left out.
 3. Of the connectors for this sender (C{sender_address_spaces}) and those for every sender, whose address spaces hold the recipient's
    domain: the most specific sender space wins (the address, the domain, the nearest C{*.domain}, every sender), then the most specific
    address space (the domain, the longest C{*.domain}, C{*}), then the lowest cost, then the name.

C{*.domain} means the domain and its subdomains in both.  Where a connector would fit but for the size, the message is returned.

Sources: Exchange Server, "Send connector selection"; Set-SendConnector (AddressSpaces, MaxMessageSize, LinkedReceiveConnector).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping

import attrs

from twistedrelay.config.domains import DomainIndex, sender_space
from twistedrelay.config.schema import Config, SendConnector
from twistedrelay.config.units import AddressSpace
from twistedrelay.routing.memory import Bounded
from twistedrelay.values.address import Address
from twistedrelay.values.envelope import Message
from twistedrelay.values.reply import Reply

NO_CONNECTOR = Reply(451, "4.4.4", "A matching connector cannot be found to route the external recipient")
TOO_LARGE = Reply(550, "5.3.4", "Message size exceeds fixed maximum size of every matching send connector")

SENDERS_REMEMBERED = 10_000
SCOPES_REMEMBERED = 1_000

#: Names of connectors, those that win first in front; within a group the address space decides.
Groups = tuple[tuple[str, ...], ...]


class Spaces:
    """The connector for a domain, among some."""

    def __init__(self, connectors: Mapping[str, SendConnector]) -> None:
        best: dict[str, tuple[int, str, AddressSpace]] = {}  # address space -> (cost, connector name, itself)
        for name, connector in connectors.items():
            for text in connector.address_spaces:
                space = AddressSpace.parse(text)
                known = best.get(space.pattern)
                if known is None or (space.cost, name) < known[:2]:
                    best[space.pattern] = space.cost, name, space
        found = {pattern: (name, space) for pattern, (_, name, space) in best.items()}
        self._everywhere = found.pop("*", None)
        with_parents = {pattern[2:]: entry for pattern, entry in found.items() if pattern.startswith("*.")}  # *.x is x, too
        self._index = DomainIndex({**with_parents, **found})

    def find(self, domain: str) -> str | None:
        """The name of the connector that mail for a domain leaves by, or None."""
        found = self.entry(domain)
        return None if found is None else found[0]

    def entry(self, domain: str) -> tuple[str, AddressSpace] | None:
        """The same with its address space that decides."""
        return self._index.find(domain) or self._everywhere


@attrs.frozen(slots=True, eq=False)
class Scope:
    """What is the same for all messages of a kind: the connectors that they may leave by.

    @ivar linked: the only one, where it is not empty.
    @ivar spaces: the others, in groups, the first that has one decides.
    @ivar unsized: the same without regard to size, for the reason why there is none.
    """

    linked: str
    spaces: tuple[Spaces, ...]
    unsized: tuple[Spaces, ...]
    linked_fits: bool = True

    def choose(self, domain: str) -> str | Reply:
        """The name of the connector for a domain, or why there is none."""
        if self.linked:
            return self.linked if self.linked_fits else TOO_LARGE
        for group in self.spaces:
            if (name := group.find(domain)) is not None:
                return name
        return TOO_LARGE if any(group.find(domain) for group in self.unsized) else NO_CONNECTOR


@attrs.frozen(slots=True, kw_only=True)
class Contender:
    """What speaks for a send connector, for one message and one domain.

    @ivar is_linked: the receive connector is linked with it.
    @ivar is_barred: the receive connector is linked with another one.
    @ivar senders: how specific its sender space is, 0 for the most specific one that anybody has; None: it is not for this sender.
    @ivar is_for_some: it has C{sender_address_spaces}.
    @ivar space: its most specific address space that holds the domain, or None.
    """

    name: str
    is_linked: bool
    is_barred: bool
    is_too_small: bool
    senders: int | None
    is_for_some: bool
    space: AddressSpace | None

    @property
    def takes_part(self) -> bool:
        """Whether it could be chosen."""
        if self.is_barred or self.is_too_small:
            return False
        return self.is_linked or (self.senders is not None and self.space is not None)

    @property
    def specificity(self) -> tuple[int, int]:
        """How specific the address space is; less is more."""
        if self.space is None or self.space.pattern == "*":
            return 2, 0
        return (1, -self.space.pattern.count(".")) if self.space.pattern.startswith("*.") else (0, 0)

    @property
    def order(self) -> tuple[bool, int, tuple[int, int], int, str]:
        """The order of the rules of this module."""
        return (not self.takes_part, self.senders or 0, self.specificity, self.space.cost if self.space else 0, self.name)


class Selection:
    """See the module.  Disabled connectors take no part, not even as linked ones: mail waits then.

    @ivar everyone: the scope of a message that no connector is too small for, where senders and receive connectors do not count.
    @ivar is_plain: whether they never count.
    @ivar smallest: the size up to which no connector is too small.
    """

    def __init__(self, config: Config) -> None:
        self._connectors = {name: connector for name, connector in config.send_connectors.items() if connector.enabled}
        receiving = config.receive_connectors.items()
        self._links = {name: connector.linked_send_connector for name, connector in receiving if connector.linked_send_connector}
        self._limits = sorted({item.max_message_size for item in self._connectors.values() if item.max_message_size is not None})
        self.smallest = self._limits[0] if self._limits else float("inf")
        self._senders = _Senders(self._connectors)
        self._scopes: Bounded[tuple[str, Groups, int], Scope] = Bounded(SCOPES_REMEMBERED)
        self.is_plain = not self._links and not self._senders
        self.everyone = self._made("", (self._senders.every,), 0)

    def scope(self, message: Message) -> Scope:
        """The scope of a message; the same object for messages of the same kind."""
        level = bisect_left(self._limits, message.size)  # so many limits are below its size
        linked = self._links.get(message.origin.connector, "") if self._links else ""
        groups = () if linked else self._senders.groups(message.sender)
        key = (linked, groups, level)
        return self._scopes.get(key) or self._scopes.keep(key, self._made(*key))

    def contenders(self, message: Message, domain: str) -> list[Contender]:
        """What speaks for each connector that is enabled, for this message to a domain; the best one first."""
        linked, groups = self._links.get(message.origin.connector, ""), self._senders.groups(message.sender)
        found = []
        for name, connector in self._connectors.items():
            entry = Spaces({name: connector}).entry(domain)
            limit = connector.max_message_size
            found.append(
                Contender(
                    name=name,
                    is_linked=name == linked,
                    is_barred=bool(linked) and name != linked,
                    is_too_small=limit is not None and message.size > limit,
                    senders=next((place for place, names in enumerate(groups) if name in names), None),
                    is_for_some=bool(connector.sender_address_spaces),
                    space=None if entry is None else entry[1],
                )
            )
        return sorted(found, key=lambda one: one.order)

    def _made(self, linked: str, groups: Groups, level: int) -> Scope:
        too_small = set(self._limits[:level])
        unsized = tuple(Spaces(self._some(names)) for names in groups)
        if not too_small:
            return Scope(linked, unsized, unsized)
        fitting = {name for name, connector in self._connectors.items() if connector.max_message_size not in too_small}
        spaces = tuple(Spaces(self._some(name for name in names if name in fitting)) for names in groups)
        return Scope(linked, spaces, unsized, linked not in self._connectors or linked in fitting)

    def _some(self, names: Iterable[str]) -> dict[str, SendConnector]:
        return {name: self._connectors[name] for name in names}


class _Senders:
    """The connectors for a sender."""

    def __init__(self, connectors: Mapping[str, SendConnector]) -> None:
        self.every = tuple(name for name, connector in connectors.items() if not connector.sender_address_spaces)
        self._by_space: dict[str, set[str]] = {}
        for name, connector in connectors.items():
            for text in connector.sender_address_spaces:
                self._by_space.setdefault(sender_space(text), set()).add(name)
        self._known: Bounded[Address, Groups] = Bounded(SENDERS_REMEMBERED)

    def __bool__(self) -> bool:
        return bool(self._by_space)

    def groups(self, sender: Address) -> Groups:
        """The groups for a sender; the last one is for every sender."""
        if not self._by_space:
            return (self.every,)
        return self._known.get(sender) or self._known.keep(sender, self._found(sender))

    def _found(self, sender: Address) -> Groups:
        groups = (self._by_space.get(space) for space in self._spaces_of(sender))
        return (*(tuple(sorted(names)) for names in groups if names), self.every)

    @staticmethod
    def _spaces_of(sender: Address) -> list[str]:
        """The spaces that hold a sender, the most specific one first; none for the null path."""
        if not sender.domain:
            return []
        labels = sender.domain.split(".")
        parents = [f"*.{'.'.join(labels[start:])}" for start in range(len(labels))]
        return [f"{sender.local.lower()}@{sender.domain}", sender.domain, *parents]
