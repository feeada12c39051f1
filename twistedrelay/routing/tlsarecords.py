"""What a mail host publishes for DANE: its TLSA records, and whether they can be believed and used.

Records count only where the answers on the way to them were signed, the host's address included: hosts whose zone is not signed are not
asked, since name servers that do not know TLSA would only cost mail.  The records are looked for at the name that aliases lead to, then
at the host's own.  An answer that cannot be had is not the same as none: it may be suppressed.  A record that is malformed is one that
cannot be used, and says nothing against those beside it.

Source: RFC 7672 sections 2.1 and 2.2, RFC 6698 section 4.1 (malformed records).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from twistedrelay.interfaces import INames
from twistedrelay.tls.dane import usable
from twistedrelay.values.route import TLSA

MOST = 32  #: records of one host that are looked at


# dnspython throws a whole answer away for one malformed TLSA record in it, and has no public way not to look into them.
dns.rdata._rdata_classes[dns.rdataclass.IN, dns.rdatatype.TLSA] = dns.rdata.GenericRdata


@attrs.frozen(slots=True)
class Published:
    """The signed TLSA records of a host.

    @ivar base: the name that they belong to.
    @ivar records: those that can be used.
    @ivar strings: all, as TLS reports quote them.
    """

    base: str = ""
    records: tuple[TLSA, ...] = ()
    strings: tuple[str, ...] = ()

    @property
    def exists(self) -> bool:
        """Whether there are any, so that TLS is a must."""
        return bool(self.strings)


NONE = Published()


async def published(names: INames, host: str, kind: str, port: int) -> Published:
    """Look up the records of a host.  L{twistedrelay.interfaces.ResolutionError} where the DNS does not answer, or what it says is forged.

    @param kind: C{"A"} or C{"AAAA"}: a type of address that it has.
    """
    for base in await _bases(names, host, kind):
        rrset, authenticated, _ = await names.query(f"_{port}._tcp.{base}", "TLSA")
        if rrset and authenticated:
            octets = [record.data for record in list(rrset)[:MOST]]
            found = [TLSA(one[0], one[1], one[2], one[3:]) for one in octets if len(one) >= 3]
            return Published(base, usable(found), tuple(_text(one) for one in octets))
    return NONE


async def _bases(names: INames, host: str, kind: str) -> Iterable[str]:
    """The names whose records count, in the order to ask for them."""
    rrset, authenticated, _ = await names.query(host, kind)
    if not rrset:
        return []
    canonical = _plain(rrset.name)
    if authenticated:
        return dict.fromkeys((canonical, host))
    if canonical != host:  # an alias in a signed zone to a host in another: the alias' own records count
        _, alias_authenticated, _ = await names.query(host, "CNAME")
        if alias_authenticated:
            return [host]
    return []


def _plain(name: Any) -> str:
    text: str = name.to_text(omit_final_dot=True)
    return text.lower()


def _text(octets: bytes) -> str:
    """A record as in a zone file."""
    return " ".join([*map(str, octets[:3]), octets[3:259].hex()]).strip() or "empty"
