"""Signed zones on NSD, and a validating Unbound that trusts their key: what DANE needs.

The zone is C{test}.  Below it C{bogus.test} is signed by a key that C{test} does not vouch for, and C{unsigned.test} is not signed.  TLSA
records are written as L{tests.routing.names.unread} does it, since dnspython would have no malformed ones.
"""

from __future__ import annotations

import time
from typing import Self

import dns.dnssec
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec

from tests.end_to_end.dnsservers import _NSD, _UNBOUND, _Server
from tests.network import LOOPBACK
from twistedrelay.routing import tlsarecords as _unread_tlsa  # noqa: F401  (from then on they are not looked into)

_START = f"$ORIGIN {{name}}.\n$TTL 60\n@ SOA ns.test. hostmaster.test. 1 3600 600 86400 1\n@ NS ns.test.\nns.test. A {LOOPBACK}\n"
_DAY = 86400


class Key:
    """A key that signs a zone all by itself."""

    def __init__(self) -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        self._public = dns.dnssec.make_dnskey(self._private.public_key(), "ECDSAP256SHA256", 257)

    @property
    def anchor(self) -> str:
        """The DNSKEY record."""
        return self._public.to_text()

    def ds(self, name: str) -> str:
        """The DS record for the zone above."""
        return dns.dnssec.make_ds(name, self._public, "SHA256").to_text()

    def signed(self, text: str) -> str:
        """A zone with its signatures."""
        zone = dns.zone.from_text(text, relativize=False, check_origin=False)
        dns.dnssec.sign_zone(zone, keys=[(self._private, self._public)], inception=time.time() - _DAY, lifetime=2 * _DAY)
        return zone.to_text(relativize=False)


class SignedZones(_Server):
    """NSD with the three zones.

    @param records: those of C{test}; names without a final dot are in it.
    @param bogus: those of C{bogus.test}.
    @param unsigned: those of C{unsigned.test}.
    @ivar key: the one of C{test}.
    """

    def __init__(self, records: str, bogus: str = "", unsigned: str = "") -> None:
        super().__init__("nsd")
        self.key = Key()
        below = f"bogus NS ns\nbogus DS {Key().ds('bogus.test.')}\nunsigned NS ns\n"
        start = _START.replace(f"ns.test. A {LOOPBACK}\n", "")
        self._zones = {
            "test": self.key.signed(_START.format(name="test") + below + records),
            "bogus.test": Key().signed(start.format(name="bogus.test") + bogus),
            "unsigned.test": start.format(name="unsigned.test") + unsigned,
        }

    def __enter__(self) -> Self:
        more = ""
        for name, text in self._zones.items():
            (self.directory / f"{name}.zone").write_text(text)
            more += f"zone:\n  name: {name}\n  zonefile: {name}.zone\n"
        self._start(self._configuration(_NSD, more))
        return self


class Validator(_Server):
    """Unbound, which believes what the key of C{test} has signed."""

    def __init__(self, zones: SignedZones) -> None:
        super().__init__("unbound")
        self._zones = zones

    def __enter__(self) -> Self:
        anchor = f'  trust-anchor: "test. DNSKEY {self._zones.key.anchor}"\n'
        template = _UNBOUND.replace('"iterator"', '"validator iterator"').replace("remote-control:", f"{anchor}remote-control:")
        names = ("test.", "bogus.test.", "unsigned.test.")
        more = "".join(f'stub-zone:\n  name: "{name}"\n  stub-addr: {LOOPBACK}@{self._zones.port}\n' for name in names)
        self._start(self._configuration(template, more))
        return self
