"""Mail addresses: the grammar, and the value that all rooms use.

Decides what is an address, and when two are the same.  It never decides whose address it is, and never rewrites a local part.

Sources: RFC 5321 sections 4.1.2 (Mailbox), 4.1.3 (literals), 4.5.1 (postmaster) and 4.5.3.1 (lengths), RFC 6531 section 3.3.
One deviation: an underscore is taken in a domain, because the names of Windows machines and of many devices hold it.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

import attrs

LOCAL_LIMIT = 64
SRS_LIMIT = 250  #: octets of a local part that holds another address (L{twistedrelay.values.srs}): many systems make them
DOMAIN_LIMIT = 255

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_ATEXT_UTF8 = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\U0010ffff-]"
# qtextSMTP and quoted-pairSMTP; a control character is in neither.
_QUOTED = r'"(?:[ !#-\[\]-~]|\\[ -~])*"'
_QUOTED_UTF8 = r'"(?:[ !#-\[\]-~\x80-\U0010ffff]|\\[ -~])*"'
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_DOMAIN = rf"{_LABEL}(?:\.{_LABEL})*"
_LITERAL = r"\[[!-Z^-~]+\]"

_HOST = re.compile(_DOMAIN)
_MAILBOX = re.compile(rf"({_ATEXT}+(?:\.{_ATEXT}+)*|{_QUOTED})@({_DOMAIN}\.?|{_LITERAL})")
_MAILBOX_UTF8 = re.compile(rf"({_ATEXT_UTF8}+(?:\.{_ATEXT_UTF8}+)*|{_QUOTED_UTF8})@([^@\[\]\s\"]+|{_LITERAL})")
_DOT_STRING = re.compile(rf"{_ATEXT_UTF8}+(?:\.{_ATEXT_UTF8}+)*")
_TO_ESCAPE = re.compile(r'[\\"]')
_ESCAPED = re.compile(r"\\(.)")
_LONG = re.compile(r'"?SRS[01][-+=]', re.IGNORECASE)


class AddressError(ValueError):
    """The text is no mail address; C{str()} says what is wrong with it."""


@attrs.frozen(slots=True)
class Address:
    """One mail address, or the null path.

    Two addresses are equal when local part (case counts) and domain (case does not) are.

    @ivar text: as it is written on the wire between the angle brackets: C{"User@Example.org"}, C{""} for the null path,
        C{"postmaster"} for the bare one (RFC 5321 section 4.5.1).
    @ivar local: the local part as written, quotes kept.
    @ivar domain: for comparison: lower case, A-labels, no final dot; a literal keeps its brackets (C{"[192.0.2.1]"},
        C{"[ipv6:2001:db8::1]"}); C{""} for the null path and bare postmaster.
    """

    text: str = attrs.field(eq=False)
    local: str
    domain: str

    @property
    def is_null(self) -> bool:
        """The null return path C{<>}."""
        return not self.text

    @property
    def is_postmaster(self) -> bool:
        """postmaster in any case, with or without a domain."""
        return self.local.lower() == "postmaster"

    def __str__(self) -> str:
        return self.text


NULL = Address("", "", "")


def parse_address(text: str, *, utf8: bool = False, final_dot: bool = False) -> Address:
    """An address from C{local@domain} without brackets or source route.

    @param utf8: allow RFC 6531 local parts and U-labels.
    @param final_dot: allow (and drop) one dot behind the domain.
    @raise AddressError: it is none.
    """
    if not text.isascii():
        return _parse_utf8(text, utf8=utf8, final_dot=final_dot)
    found = _MAILBOX.fullmatch(text)
    if found is None:
        raise AddressError("there is no @ with a domain behind it" if "@" not in text else "not of the form local@domain")
    local, domain = found.groups()
    if len(local) > LOCAL_LIMIT:
        _check_long(local)
    if domain[-1] == ".":
        if not final_dot:
            raise AddressError("the domain ends in a dot")
        domain, text = domain[:-1], text[:-1]
    if len(domain) > DOMAIN_LIMIT:
        raise AddressError(f"the domain is longer than {DOMAIN_LIMIT} octets")
    return Address(text, local, _literal(domain) if domain[0] == "[" else domain.lower())


def parse_path(text: str) -> Address:
    """What may stand between the angle brackets of MAIL or RCPT: as L{parse_address}, and also the null path and bare postmaster.

    @raise AddressError: it is none.
    """
    if not text:
        return NULL
    if text.lower() == "postmaster":
        return Address(text, text, "")
    return parse_address(text, utf8=True)


def parse_domain(text: str) -> str:
    """A domain or an address literal in ASCII, in the form of L{Address.domain}.

    @raise AddressError: it is neither.
    """
    if text.startswith("[") and text.endswith("]"):
        return _literal(text)
    if len(text) > DOMAIN_LIMIT or _HOST.fullmatch(text) is None:
        raise AddressError("not a domain name")
    return text.lower()


def _parse_utf8(text: str, *, utf8: bool, final_dot: bool) -> Address:
    if not utf8:
        raise AddressError("characters beyond ASCII")
    found = _MAILBOX_UTF8.fullmatch(text)
    # isprintable() also refuses control and format characters, odd spaces and lone surrogates beyond ASCII.
    if found is None or not text.isprintable():
        raise AddressError("not of the form local@domain")
    local, domain = found.groups()
    if len(local.encode()) > LOCAL_LIMIT:
        _check_long(local)
    if domain[-1] == ".":
        if not final_dot:
            raise AddressError("the domain ends in a dot")
        domain, text = domain[:-1], text[:-1]
    if len(domain.encode()) > DOMAIN_LIMIT:
        raise AddressError(f"the domain is longer than {DOMAIN_LIMIT} octets")
    return Address(text, local, parse_domain(domain if domain.isascii() else _a_labels(domain)))


def _check_long(local: str) -> None:
    """RFC 5321 section 4.5.3.1 asks to impose no limit that can be avoided: an SRS address may be longer than others."""
    if _LONG.match(local) is None:
        raise AddressError(f"the local part is longer than {LOCAL_LIMIT} octets")
    if len(local.encode()) > SRS_LIMIT:
        raise AddressError(f"the local part is longer than {SRS_LIMIT} octets")


def is_dot_string(local: str) -> bool:
    """Whether a local part needs no quotes (RFC 5321 section 4.1.2, RFC 6531)."""
    return _DOT_STRING.fullmatch(local) is not None


def quoted(local: str) -> str:
    """A local part as a quoted string."""
    return '"' + _TO_ESCAPE.sub(r"\\\g<0>", local) + '"'


def unquoted(local: str) -> str:
    """What a quoted local part means; one without quotes means itself."""
    return _ESCAPED.sub(r"\1", local[1:-1]) if local.startswith('"') else local


def _a_labels(domain: str) -> str:
    import idna  # rarely needed, and its tables are large

    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise AddressError(f"not an internationalised domain name: {error}") from None


def _literal(domain: str) -> str:
    inside = domain[1:-1].lower()
    try:
        if not inside.startswith("ipv6:"):
            return f"[{IPv4Address(inside)}]"
        if "%" not in inside:  # a zone means something on one machine only
            return f"[ipv6:{IPv6Address(inside[5:])}]"
    except AddressValueError:
        pass
    raise AddressError("not an address literal such as [192.0.2.1] or [IPv6:2001:db8::1]")
