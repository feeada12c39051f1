"""The certificate store: the certificates of the configuration and the self-signed ones that were made here.

Decides which certificate a name or a host means.  C{load}, C{refresh} and C{self_signed} read and write files and belong in a thread; all
else only looks at what they left.  A file that became unusable is reported and its last good version stays in use.

Sources: Set-ReceiveConnector (TlsCertificateName, the choice by Fqdn), Get-ExchangeCertificate.
"""

from __future__ import annotations

import datetime
import os
import threading
from collections.abc import Callable, Iterable, Sequence

from twistedrelay.config.replace import stamp_of
from twistedrelay.config.schema import Certificate
from twistedrelay.tls.names import certificate_name, comparable, fits, thumbprint
from twistedrelay.tls.pem import CertificateError, CertificateInfo, KeyPair, read_pair
from twistedrelay.tls.selfsigned import write_self_signed

__all__ = ["CertificateError", "CertificateInfo", "CertificateStore", "KeyPair"]


def _utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class CertificateStore:
    """All certificates, found by name, thumbprint or host.

    @param certificates: those of the configuration.
    @param state_directory: self-signed ones are kept in C{certificates/} below it.
    @param now: the clock.
    """

    def __init__(self, certificates: Sequence[Certificate], state_directory: str, now: Callable[[], datetime.datetime] = _utc_now) -> None:
        self._directory = os.path.join(state_directory, "certificates")
        self._now = now
        self._files = [(item.certificate, item.private_key, tuple(item.services)) for item in certificates]
        self._stamps: dict[tuple[str, str], object] = {}
        self._pairs: dict[tuple[str, str], KeyPair] = {}
        self._lock = threading.Lock()

    def load(self) -> list[str]:
        """Read all files; says which of them cannot be used."""
        return self.refresh()[1]

    def refresh(self) -> tuple[bool, list[str]]:
        """Read the files that are new or changed.

        @return: whether another certificate is in use now, and what is wrong with the files that were read.
        """
        with self._lock:
            pairs, problems = dict(self._pairs), []
            for certificate, key, services in [*self._files, *_own_files(self._directory)]:
                slot = (certificate, key)
                stamp = (_stamp(certificate), _stamp(key))
                if self._stamps.get(slot) == stamp:
                    continue
                self._stamps[slot] = stamp
                try:
                    pairs[slot] = read_pair(certificate, key, services)
                except CertificateError as error:
                    kept = "; its last good version stays in use" if slot in pairs else ""
                    problems.append(f"{error}{kept}")
            changed = pairs != self._pairs
            self._pairs = pairs  # replaced, never changed: readers are on other threads
            return changed, problems

    def list(self) -> list[CertificateInfo]:
        """All certificates, those of the configuration first."""
        return [pair.info for pair in self._pairs.values()]

    def find(self, name: str) -> KeyPair | None:
        """The certificate of a C{tls_certificate_name}: C{<I>issuer<S>subject} or a thumbprint.  Of several the newest valid one."""
        pairs = self._pairs.values()
        if digest := thumbprint(name):
            return next((pair for pair in pairs if pair.info.thumbprint == digest), None)
        wanted = certificate_name(name)
        return self._best(pair for pair in pairs if (comparable(pair.info.issuer), comparable(pair.info.subject)) == wanted)

    def for_fqdn(self, fqdn: str) -> KeyPair | None:
        """The certificate for a host, valid now and enabled for SMTP.

        Where there are several: a configured one before one made here, one that an authority signed, one with the very name before a
        wildcard, the newest.
        """
        host, now = fqdn.lower().rstrip("."), self._now()

        def preference(pair: KeyPair) -> tuple[bool, bool, bool, datetime.datetime]:
            return not self.made_here(pair), not pair.info.self_signed, host in pair.info.names, pair.info.not_before

        fitting = (
            pair
            for pair in self._pairs.values()
            if "SMTP" in pair.info.services and pair.info.valid_at(now) and any(fits(name, host) for name in pair.info.names)
        )
        return max(fitting, key=preference, default=None)

    def self_signed(self, fqdn: str) -> KeyPair:
        """The self-signed certificate for a host; made where there is none or it is no longer valid.  L{CertificateError} likewise."""
        host = fqdn.lower().rstrip(".")
        file = os.path.join(self._directory, f"{host}.pem")
        if host in ("", ".", "..") or "/" in host:
            raise CertificateError(f"{fqdn!r} is no host name")
        with self._lock:
            pair = self._pairs.get((file, file))
        if pair is None or not pair.info.valid_at(self._now()):
            try:
                write_self_signed(file, host, self._now())
            except (OSError, ValueError) as error:
                raise CertificateError(f"{file}: cannot be written: {getattr(error, 'strerror', None) or error}") from None
            _, problems = self.refresh()
            pair = self._pairs.get((file, file))
            if pair is None:
                raise CertificateError("; ".join(problems) or f"{file}: cannot be read")
        return pair

    def is_valid(self, pair: KeyPair) -> bool:
        """Whether it is valid now."""
        return pair.info.valid_at(self._now())

    def made_here(self, pair: KeyPair) -> bool:
        """Whether it is one of the self-signed ones of the state directory."""
        return os.path.dirname(pair.info.file) == self._directory

    def _best(self, pairs: Iterable[KeyPair]) -> KeyPair | None:
        """The newest, valid ones first."""
        now = self._now()
        return max(pairs, key=lambda pair: (pair.info.valid_at(now), pair.info.not_before), default=None)


def _own_files(directory: str) -> list[tuple[str, str, tuple[str, ...]]]:
    """The self-signed ones: certificate and key in one file."""
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(".pem") and not name.startswith("."))
    except OSError:
        return []  # not made yet
    return [(file, file, ("SMTP",)) for file in (os.path.join(directory, name) for name in names)]


def _stamp(file: str) -> object:
    try:
        return stamp_of(file)
    except OSError as error:
        return error.errno
