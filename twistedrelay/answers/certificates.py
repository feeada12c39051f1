"""The certificate store in Exchange's terms: what is in it, who shows it, and how something comes into it.

It decides how certificates read: the property names are Get-ExchangeCertificate's in snake_case.  It works on the files, whether a relay
runs or not; a running one looks at them once a minute.

Sources: Get-ExchangeCertificate, Import-ExchangeCertificate, New-ExchangeCertificate.
"""

from __future__ import annotations

from typing import Any

from twistedrelay.config.schema import Config
from twistedrelay.tls.contexts import chosen
from twistedrelay.tls.imports import PasswordNeeded, read_import
from twistedrelay.tls.names import fits
from twistedrelay.tls.pem import CertificateError, KeyPair
from twistedrelay.tls.store import CertificateStore

__all__ = ["CertificateError", "Certificates", "PasswordNeeded", "services_mask"]

#: Exchange's letters for services, each at its place.
_LETTERS = (("IMAP", "I"), ("POP", "P"), ("UM", "U"), ("IIS", "W"), ("SMTP", "S"), ("Federation", "F"), ("UMCallRouter", "C"))

Row = dict[str, Any]


def services_mask(services: list[str]) -> str:
    """C{IP.WS..}: a letter for each service at its place, a dot where it is not served."""
    return "".join(letter if name in services else "." for name, letter in _LETTERS)


class Certificates:
    """The store of a configuration.

    @ivar problems: what is wrong with files that should be in it.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._store = CertificateStore(config.certificates, config.server.state_directory)
        self.problems = self._store.load()

    def rows(self) -> list[Row]:
        """All certificates."""
        return [self._row(pair) for pair in self._store.pairs()]

    def row(self, name: str) -> Row | None:
        """The certificate of a thumbprint (or how it begins), of C{<I>issuer<S>subject}, or for a host; None where there is none."""
        pair = self._store.find(name) or self._store.for_fqdn(name) or self._by_part(name)
        return None if pair is None else self._row(pair)

    def import_file(self, certificate: str, private_key: str, password: str | None, *, keep: bool) -> Row:
        """Put a certificate with its key into the store.

        @param keep: false: say only what would be kept.
        @raise PasswordNeeded: without the right password.
        @raise CertificateError: it cannot be used or kept, or it is there already.
        """
        pair = read_import(certificate, private_key, password)
        known = self._store.find(pair.info.thumbprint)
        if known is not None:
            raise CertificateError(f"the certificate {pair.info.thumbprint} is in the store already: {known.info.file}")
        if pair.info.not_after < self._store.now():
            raise CertificateError(f"the certificate {pair.info.thumbprint} is no longer valid: it ended on {pair.info.not_after:%Y-%m-%d}")
        return self._row(self._store.add(pair) if keep else pair)

    def make_self_signed(self, fqdn: str, *, renew: bool, keep: bool) -> Row | None:
        """Make a self-signed certificate.

        @param renew: in place of one that is valid still.
        @param keep: false: say only whether it would be made.
        @raise CertificateError: it cannot be made, or there is one.
        """
        file = self._store.self_signed_file(fqdn)
        known = next((pair for pair in self._store.pairs() if pair.info.file == file), None)
        if known is not None and self._store.is_valid(known) and not renew:
            ends = f"{known.info.not_after:%Y-%m-%d}"
            thumbprint = known.info.thumbprint
            raise CertificateError(f"there is a self-signed certificate for {fqdn} already, {thumbprint}, valid until {ends} (see --renew)")
        return self._row(self._store.make_self_signed(fqdn)) if keep else None

    def _by_part(self, name: str) -> KeyPair | None:
        """A certificate whose thumbprint begins so, or one for that host that is not valid or not for SMTP."""
        start, host = name.upper(), name.lower()
        begins = [pair for pair in self._store.pairs() if len(start) >= 4 and pair.info.thumbprint.startswith(start)]
        if len(begins) == 1:
            return begins[0]
        return next((pair for pair in self._store.pairs() if any(fits(known, host) for known in pair.info.names)), None)

    def _row(self, pair: KeyPair) -> Row:
        info = pair.info
        return {
            "thumbprint": info.thumbprint,
            "services": list(info.services),
            "subject": info.subject,
            "issuer": info.issuer,
            "certificate_domains": list(info.names),
            "not_before": info.not_before.isoformat(),
            "not_after": info.not_after.isoformat(),
            "status": "Valid" if self._store.is_valid(pair) else "DateInvalid",
            "is_self_signed": info.self_signed,
            "serial_number": f"{pair.certificate.serial_number:X}",
            "receive_connectors": self._users(pair),
            "tls_certificate_name": info.tls_certificate_name,
            "file": info.file,
        }

    def _users(self, pair: KeyPair) -> list[str]:
        """The enabled connectors that show it."""
        found = []
        for name, connector in self._config.receive_connectors.items():
            if connector.enabled and "Tls" in connector.auth_mechanism:
                shown = chosen(connector, self._store)
                if shown is not None and shown.info.thumbprint == pair.info.thumbprint:
                    found.append(name)
        return found
