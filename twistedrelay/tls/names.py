"""Names in certificates: X.500 names as Exchange prints them, C{TlsCertificateName}, and which host names a certificate is for.

Exchange prints a name from its last part to its first, as C{CN=mail.example.org, O=Example, C=NL}.

Sources: Get-ExchangeCertificate, TlsCertificateName; RFC 4514 (names), RFC 6125 section 6.4.3 (wildcards).
"""

from __future__ import annotations

import re

from cryptography import x509
from cryptography.x509.oid import NameOID

_SHORT = {
    NameOID.COMMON_NAME: "CN",
    NameOID.LOCALITY_NAME: "L",
    NameOID.STATE_OR_PROVINCE_NAME: "S",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.COUNTRY_NAME: "C",
    NameOID.STREET_ADDRESS: "STREET",
    NameOID.DOMAIN_COMPONENT: "DC",
    NameOID.EMAIL_ADDRESS: "E",
    NameOID.SERIAL_NUMBER: "SERIALNUMBER",
    NameOID.TITLE: "T",
    NameOID.GIVEN_NAME: "G",
    NameOID.SURNAME: "SN",
}
_TAGGED = re.compile(r"\s*<I>(?P<issuer>.+?)<S>(?P<subject>.+?)\s*", re.IGNORECASE | re.DOTALL)


def x500(name: x509.Name) -> str:
    """A name as Exchange prints it."""
    return ", ".join(" + ".join(map(_attribute, group)) for group in reversed(list(name.rdns)))


def _attribute(pair: x509.NameAttribute[str | bytes]) -> str:
    return f"{_SHORT.get(pair.oid, 'OID.' + pair.oid.dotted_string)}={_quoted(pair.value)}"


def _quoted(value: str | bytes) -> str:
    text = value if isinstance(value, str) else "#" + value.hex().upper()
    if re.search(r'[,+="\n<>#;]|^\s|\s$', text) and isinstance(value, str):
        return '"' + text.replace('"', '""') + '"'
    return text


def comparable(name: str) -> str:
    """An X.500 name for comparison: letter case and blanks round C{,}, C{+} and C{=} do not count, C{ST} is C{S}."""
    text = re.sub(r"\s*([,+=])\s*", r"\1", name.strip()).casefold()
    return re.sub(r"(^|[,+])st=", r"\1s=", text)


def certificate_name(text: str) -> tuple[str, str] | None:
    """Comparable issuer and subject of C{<I>issuer<S>subject}, in either letter case; None where it is something else."""
    match = _TAGGED.fullmatch(text)
    return (comparable(match["issuer"]), comparable(match["subject"])) if match else None


def thumbprint(text: str) -> str | None:
    """A thumbprint in upper case without blanks and colons; None where it is something else."""
    plain = re.sub(r"[\s:]", "", text).upper()
    return plain if re.fullmatch(r"[0-9A-F]{40}", plain) else None


def host_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names of a certificate in lower case: its subject alternative names, or its common name where it has none."""
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return tuple(str(pair.value).lower() for pair in common)
    return tuple(name.lower() for name in extension.value.get_values_for_type(x509.DNSName))


def fits(pattern: str, host: str) -> bool:
    """Whether a name of a certificate is for a host; C{*.} stands for exactly one label."""
    if pattern.startswith("*."):
        _, dot, parent = host.partition(".")
        return bool(dot) and parent == pattern[2:]
    return pattern == host
