"""A signed zone on NSD, and a validating Unbound that trusts its key: what DANE needs.

The zone is C{test}; C{bogus.test} below it is delegated securely, and signed by a key that its parent does not know.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Self

import dns.dnssec
import dns.name
import dns.rdatatype
import dns.zone
from cryptography.hazmat.primitives.asymmetric import ec

from tests.end_to_end.dnsservers import _NSD, _UNBOUND, _Server
from tests.network import LOOPBACK

_ZONE = "$ORIGIN {name}.\n$TTL 60\n@ SOA ns.test. hostmaster.test. 1 3600 600 86400 60\n@ NS ns.test.\n"
_DAY = 86400


class Key:
    """A key that signs a zone all by itself."""

    def __init__(self) -> None:
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.public = dns.dnssec.make_dnskey(self.private.public_key(), dns.dnssec.Algorithm.ECDSAP256SHA256, 257)

    def ds(self, name: str) -> str:
        """The DS record for the zone above."""
        return dns.dnssec.make_ds(name, self.public, "SHA256").to_text()

    def signed(self, name: str, records: str) -> str:
        """A zone with these records."""
        zone = dns.zone.from_text(_ZONE.format(name=name) + records, origin=f"{name}.", relativize=False, check_origin=False)
        dns.dnssec.sign_zone(zone, keys=[(self.private, self.public)], inception=time.time() - _DAY, lifetime=2 * _DAY)
        return zone.to_text(relativize=False)


class SignedAuthority(_Server):
    """NSD with both zones.

    @ivar key: the one of C{test}.
    """

    def __init__(self) -> None:
        super().__init__("nsd")
        self.key = Key()
        self._below = Key()

    def write(self, records: str, bogus: str = "") -> None:
        """The records of C{test} and of C{bogus.test}; NSD has to be started for them."""
        ours = f"ns A {LOOPBACK}\nbogus NS ns.test.\nbogus DS {Key().ds('bogus.test.')}\n"
        (self.directory / "test.zone").write_text(self.key.signed("test", ours + records))
        (self.directory / "bogus.zone").write_text(self._below.signed("bogus.test", bogus))

    def __enter__(self) -> Self:
        zones = (("test", "test.zone"), ("bogus.test", "bogus.zone"), ("plain", "plain.zone"))
        Path(self.directory / "plain.zone").touch()
        more = "".join(f"zone:\n  name: {name}\n  zonefile: {file}\n" for name, file in zones[:2])
        self._start(self._configuration(_NSD, more))
        return self


class Validator(_Server):
    """Unbound, which believes what C{test}'s key has signed."""

    def __init__(self, authority: SignedAuthority) -> None:
        super().__init__("unbound")
        self._authority = authority

    def __enter__(self) -> Self:
        template = _UNBOUND.replace('"iterator"', '"validator iterator"').replace(
            "remote-control:", f'  trust-anchor: "test. DNSKEY {self._authority.key.public.to_text()}"\n  cache-max-negative-ttl: 1\nremote-control:'
        )
        more = "".join(
            f'stub-zone:\n  name: "{name}"\n  stub-addr: {LOOPBACK}@{self._authority.port}\n' for name in ("test.", "bogus.test.")
        )
        self._start(self._configuration(template, more))
        return self
