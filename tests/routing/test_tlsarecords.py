"""Tests for L{twistedrelay.routing.tlsarecords}."""

from __future__ import annotations

import dns.message
import dns.rrset
import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.routing.names import FakeNames, unread
from twistedrelay.interfaces import ResolutionError
from twistedrelay.routing.tlsarecords import MOST, NONE, Published, published
from twistedrelay.values.route import TLSA

DIGEST = "ab" * 32
GOOD = TLSA(3, 1, 1, bytes.fromhex(DIGEST))
TEXT = f"3 1 1 {DIGEST}"


class PublishedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.names = FakeNames()
        self.names.records["mx.example", "A"] = ["192.0.2.1"]

    def look_up(self, host: str = "mx.example", kind: str = "A") -> Published:
        return self.successResultOf(Deferred.fromCoroutine(published(self.names, host, kind, 25)))

    def tlsa(self, host: str, *data: str, signed: bool = True) -> None:
        self.names.records[f"_25._tcp.{host}", "TLSA"] = list(data)
        if signed:
            self.names.signed |= {host, f"_25._tcp.{host}"}

    def test_records_of_a_signed_host(self) -> None:
        self.tlsa("mx.example", TEXT)
        assert self.look_up() == Published("mx.example", (GOOD,), (TEXT,))

    def test_an_unsigned_host_is_not_asked(self) -> None:
        """Its name server may not know TLSA, and there would be nothing to believe."""
        self.tlsa("mx.example", TEXT, signed=False)
        assert self.look_up() is NONE
        assert ("_25._tcp.mx.example", "TLSA") not in self.names.asked
        self.names.signed = {"mx.example"}
        assert self.look_up() is NONE  # unsigned records below a signed address

    def test_records_that_cannot_be_used_are_there(self) -> None:
        self.tlsa("mx.example", f"1 1 1 {DIGEST}", "3 1 1 abcd", "03", "030101")
        found = self.look_up()
        assert (found.exists, found.records) == (True, ())
        assert set(found.strings) == {f"1 1 1 {DIGEST}", "3 1 1 abcd", "3", "3 1 1"}
        self.tlsa("mx.example", "3 1 1 abcd", TEXT)
        assert self.look_up().records == (GOOD,)

    def test_no_answer_is_not_none(self) -> None:
        self.tlsa("mx.example", TEXT)
        for failing in (("_25._tcp.mx.example", "TLSA"), ("mx.example", "A")):
            self.names.failing = {failing}
            self.failureResultOf(Deferred.fromCoroutine(published(self.names, "mx.example", "A", 25)), ResolutionError)

    def test_aliases(self) -> None:
        """The name behind them first, then the host's own; of an unsigned one only the alias, where that is signed."""
        self.names.aliases["alias.test"] = "mx.example"
        self.names.signed |= {"alias.test"}
        self.tlsa("mx.example", TEXT)
        self.tlsa("alias.test", f"2 1 1 {DIGEST}")
        assert self.look_up("alias.test").base == "mx.example"
        del self.names.records["_25._tcp.mx.example", "TLSA"]
        assert self.look_up("alias.test").base == "alias.test"
        self.tlsa("mx.example", TEXT)
        self.names.signed.discard("mx.example")
        assert self.look_up("alias.test").base == "alias.test"
        self.names.signed.discard("alias.test")
        assert self.look_up("alias.test") is NONE

    def test_hosts_with_ipv6_only(self) -> None:
        self.names.records = {("mx.example", "AAAA"): ["2001:db8::1"]}
        self.tlsa("mx.example", TEXT)
        assert self.look_up(kind="AAAA").records == (GOOD,)
        assert self.look_up(kind="A") is NONE

    def test_their_number_is_bounded(self) -> None:
        self.tlsa("mx.example", *(f"3 1 1 {number:064x}" for number in range(100)))
        assert len(self.look_up().records) == MOST


@pytest.mark.parametrize("port", [25, 2525])
def test_the_port_is_in_the_name(port: int) -> None:
    names = FakeNames()
    names.records["mx.example", "A"] = ["192.0.2.1"]
    names.signed = {"mx.example"}
    Deferred.fromCoroutine(published(names, "mx.example", "A", port))
    assert names.asked[-1] == (f"_{port}._tcp.mx.example", "TLSA")


def test_malformed_records_do_not_cost_the_answer() -> None:
    """As it comes from the network: one octet, three, a digest that is too short, and a good one."""
    query = dns.message.make_query("_25._tcp.mx.example", "TLSA")
    response = dns.message.make_response(query)
    data = [unread(text) for text in ("03", "030101", "3 1 1 abcd", TEXT)]
    response.answer.append(dns.rrset.from_text_list(query.question[0].name, 60, "IN", "TLSA", data))
    [answer] = dns.message.from_wire(response.to_wire()).answer
    assert sorted(len(record.data) for record in answer) == [1, 3, 5, 35]
