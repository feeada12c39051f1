"""The Sender Rewriting Scheme: a foreign return path inside an address of our own, and back.

A receiver checks by SPF that we may send for the domain of the return path, which we may not for other people's.  So their address
travels inside one of ours: C{SRS0=<hash>=<day>=<domain>=<local part>@<our domain>}; what another forwarder made, C{SRS0=...@forwarder},
becomes C{SRS1=<hash>=<forwarder>==...@<our domain>}, so that an address does not grow by each hop.  A bounce that comes back is for the
address inside.

That is no open relay: the hash is an HMAC of all that follows it, and an C{SRS0} counts for three weeks only.  Hash and comparison ignore
case, since some systems change it.  Nothing is stored, and nothing is said here about who is a foreigner.

The hash has 40 bits, more than is usual: at the pace of refused recipients nobody guesses one.

Source: Shevek, "The Sender Rewriting Scheme" (2004).
"""

from __future__ import annotations

import base64
import hmac
import re

import attrs

from twistedrelay.values.address import Address, AddressError, is_dot_string, parse_address, quoted, unquoted

MAX_AGE = 21  #: days for which an address is good
MIN_SECRET = 16  #: octets
MAX_LENGTH = 254  #: octets of an address that fits a path (RFC 5321 section 4.5.3.1.3)

_HASH_LENGTH = 8
_DAY = 86400
_DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_CYCLE = len(_DIGITS) ** 2  # days until a stamp comes again

# ASCII: else a Kelvin sign would be a K, though neither the hash nor the stamp holds one.
_FLAGS = re.IGNORECASE | re.ASCII | re.DOTALL
_ANY = re.compile(r"SRS[01][-+=]", _FLAGS)
_FIRST = re.compile(r"SRS0[-+=]", _FLAGS)
_FORWARDED = re.compile(r"SRS1[-+=][^=]*=(?P<domain>[^=]+)=(?P<opaque>[-+=].*)", _FLAGS)
_SRS0 = re.compile(r"SRS0=(?P<hash>[A-Z2-7]{8})=(?P<rest>(?P<stamp>[A-Z2-7]{2})=(?P<domain>[^=]+)=(?P<local>.*))", _FLAGS)
_SRS1 = re.compile(r"SRS1=(?P<hash>[A-Z2-7]{8})=(?P<rest>(?P<domain>[^=]+)=(?P<opaque>[-+=].*))", _FLAGS)


class SRSError(ValueError):
    """It looks like an SRS address, but is none that we made, or too old; C{str()} says which."""


def is_srs(address: Address) -> bool:
    """Whether the local part looks like one of SRS, be it ours or not."""
    return _ANY.match(unquoted(address.local)) is not None


@attrs.frozen(slots=True)
class SRS:
    """Makes and reads SRS addresses.

    @ivar secrets: the first one makes addresses, all of them read them; none are shown.
    """

    secrets: tuple[bytes, ...] = attrs.field(repr=False)

    def encode(self, sender: Address, domain: str, now: float) -> Address:
        """A return path in a domain of ours that leads back to a sender; the sender itself where no address can hold that."""
        local = unquoted(sender.local)
        if (known := _FORWARDED.fullmatch(local)) is not None:
            kind, rest = 1, f"{known['domain']}={known['opaque']}"  # the first forwarder stays the one that is asked
        elif _FIRST.match(local) is not None:
            kind, rest = 1, f"{sender.domain}={local[4:]}"
        else:
            kind, rest = 0, f"{_stamp(now)}={sender.domain}={local}"
        made = f"SRS{kind}={self._hash(rest, self.secrets[0])}={rest}"
        text = f"{made if is_dot_string(made) else quoted(made)}@{domain}"
        if len(text.encode()) > MAX_LENGTH:
            return sender
        try:
            return parse_address(text, utf8=True)
        except AddressError:
            return sender

    def decode(self, address: Address, now: float) -> Address:
        """The address inside one that L{encode} made.

        @raise SRSError: it is none, or too old.
        """
        local = unquoted(address.local)
        found = _SRS0.fullmatch(local)
        if found is not None:
            self._verify(found)
            if (_day(now) + 1 - _number(found["stamp"])) % _CYCLE > MAX_AGE + 1:  # one from tomorrow is of a clock beside ours
                raise SRSError("an SRS address that is too old")
            inside = found["local"]
        else:
            found = _SRS1.fullmatch(local)
            if found is None:
                raise SRSError("not an SRS address of this relay")
            self._verify(found)
            inside = f"SRS0{found['opaque']}"
        try:
            return parse_address(f"{inside if is_dot_string(inside) else quoted(inside)}@{found['domain']}", utf8=True)
        except AddressError as error:
            raise SRSError(f"an SRS address with no address inside: {error}") from None

    def _verify(self, found: re.Match[str]) -> None:
        given = found["hash"].upper()
        matches = [hmac.compare_digest(self._hash(found["rest"], secret), given) for secret in self.secrets]
        if not any(matches):
            raise SRSError("an SRS address with a hash that is not ours")

    def _hash(self, rest: str, secret: bytes) -> str:
        digest = hmac.digest(secret, rest.encode("utf-8", "surrogatepass").lower(), "sha256")
        return base64.b32encode(digest[:5]).decode("ascii")[:_HASH_LENGTH]


def _day(now: float) -> int:
    return int(now // _DAY) % _CYCLE


def _stamp(now: float) -> str:
    high, low = divmod(_day(now), len(_DIGITS))
    return _DIGITS[high] + _DIGITS[low]


def _number(stamp: str) -> int:
    return _DIGITS.index(stamp[0].upper()) * len(_DIGITS) + _DIGITS.index(stamp[1].upper())
