"""A DNS that a test makes up, behind L{twistedrelay.interfaces.INames}."""

from __future__ import annotations

from typing import Any

import dns.rdatatype
import dns.rrset
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from twistedrelay.interfaces import INames, ResolutionError
from twistedrelay.values.reply import Reply


@implementer(INames)
class FakeNames:
    """Answers at once.

    @ivar records: by (name, type): data, each in the form of a zone file; of TLSA whatever octets come behind three numbers.
    @ivar signed: names whose answers were validated.
    @ivar aliases: names that stand for others.
    @ivar failing: (name, type) pairs that get no answer.
    @ivar asked: all questions.
    """

    def __init__(self, local: bool = True) -> None:
        self.local = local
        self.records: dict[tuple[str, str], list[str]] = {}
        self.signed: set[str] = set()
        self.aliases: dict[str, str] = {}
        self.failing: set[tuple[str, str]] = set()
        self.asked: list[tuple[str, str]] = []

    def query(self, name: str, kind: str) -> Deferred[tuple[Any, bool, float]]:
        self.asked.append((name, kind))
        if (name, kind) in self.failing:
            return fail(ResolutionError(Reply(451, "4.4.3", f"The DNS gave no answer about {name}")))
        signed = name in self.signed
        if kind != "CNAME":
            while (alias := self.aliases.get(name)) is not None:
                name = alias
                signed = signed and name in self.signed
        elif name in self.aliases:
            return succeed((dns.rrset.from_text(name + ".", 300, "IN", "CNAME", self.aliases[name] + "."), signed, 300.0))
        data = self.records.get((name, kind))
        if kind == "TLSA" and data:
            data = [unread(text) for text in data]
        return succeed((dns.rrset.from_text_list(name + ".", 300, "IN", kind, data) if data else None, signed, 300.0))


def unread(text: str) -> str:
    """A TLSA record in the form of an unknown type (RFC 3597), in which malformed ones can be written, too."""
    *numbers, octets = text.split()
    data = bytes(map(int, numbers)) + bytes.fromhex(octets)
    return f"\\# {len(data)} {data.hex()}"
