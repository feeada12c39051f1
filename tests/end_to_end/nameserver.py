"""An authoritative name server on loopback whose zones a test makes up as it goes."""

from __future__ import annotations

import socket
import threading

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from tests.network import LOOPBACK


class NameServer:
    """Answers by UDP.  A name of which nothing is known does not exist.

    @ivar records: by lower-case name without the final dot: (type, data) pairs; an empty list is a name without records.
    @ivar failing: names that are answered SERVFAIL.
    @ivar asked: the (name, type) of every question.
    """

    def __init__(self) -> None:
        self.records: dict[str, list[tuple[str, str]]] = {}
        self.failing: set[str] = set()
        self.asked: list[tuple[str, str]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    @property
    def address(self) -> str:
        """For C{external_dns_servers}."""
        return f"{LOOPBACK}:{self._socket.getsockname()[1]}"

    def __enter__(self) -> NameServer:
        self._socket.bind((LOOPBACK, 0))
        self._socket.settimeout(0.2)
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                datagram, peer = self._socket.recvfrom(4096)
                self._socket.sendto(self._answer(dns.message.from_wire(datagram)).to_wire(), peer)
            except (TimeoutError, dns.exception.DNSException):
                continue
            except OSError:
                return

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        [question] = query.question
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        if name in self.failing:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif name not in self.records:
            response.set_rcode(dns.rcode.NXDOMAIN)
        elif found := [data for record, data in self.records[name] if record == kind]:
            response.answer.append(dns.rrset.from_text_list(question.name, 60, dns.rdataclass.IN, question.rdtype, found))
        return response
