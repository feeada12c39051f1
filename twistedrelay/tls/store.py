"""The certificate store: the certificates of the configuration, and those kept in the state directory.

In C{certificates/} there are the imported ones and the self-signed ones that were made here, in C{acme/} those that an authority gave.
Decides which certificate a name or a host means.  C{load}, C{refresh} and C{self_signed} read and write files and belong in a thread; all
else only looks at what they left.  A file that became unusable is reported once and its last good version stays in use; as two files are
not replaced in one step, it has one more look to become good again first.

Sources: Set-ReceiveConnector (TlsCertificateName, the choice by Fqdn), Get-ExchangeCertificate.
"""

from __future__ import annotations

import datetime
import os
import threading
from collections.abc import Callable, Iterable, Sequence

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from twistedrelay.config.replace import stamp_of
from twistedrelay.config.schema import Certificate
from twistedrelay.tls.names import certificate_name, comparable, fits, thumbprint
from twistedrelay.tls.pem import CertificateError, CertificateInfo, KeyPair, read_pair
from twistedrelay.tls.selfsigned import write_pair, write_self_signed

__all__ = ["CertificateError", "CertificateInfo", "CertificateStore", "KeyPair"]

_Slot = tuple[str, str]  #: the file of a certificate and that of its key


def _utc_now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)


class CertificateStore:
    """All certificates, found by name, thumbprint or host.

    @ivar directory: where imported and self-signed ones are.
    @ivar acme_directory: where those are that ACME got.
    @ivar now: the clock.
    """

    def __init__(self, certificates: Sequence[Certificate], state_directory: str, now: Callable[[], datetime.datetime] = _utc_now) -> None:
        """
        @param certificates: those of the configuration.
        @param now: the clock.
        """
        self.directory = os.path.join(state_directory, "certificates")
        self.acme_directory = os.path.join(state_directory, "acme")
        self.now = now
        self._files = [((item.certificate, item.private_key), tuple(item.services)) for item in certificates]
        self._stamps: dict[_Slot, object] = {}
        self._pairs: dict[_Slot, KeyPair] = {}
        self._wrong: dict[_Slot, str] = {}  # what was wrong at the last look
        self._told: dict[_Slot, str] = {}  # and what was reported
        self._lock = threading.Lock()

    # -- files -----------------------------------------------------------------------------------------------------------

    def load(self) -> list[str]:
        """Read all files; says which of them cannot be used."""
        return self._read(patient=False)[1]

    def refresh(self) -> tuple[bool, list[str]]:
        """Read the files that are new or changed.

        @return: whether another certificate is in use now, and what turned out to be wrong with files.
        """
        return self._read(patient=True)

    def _read(self, patient: bool) -> tuple[bool, list[str]]:
        with self._lock:
            files, problems = list(self._files), []
            for directory in (self.directory, self.acme_directory):
                slot = (directory, "")
                try:
                    files += _pem_files(directory)
                except OSError as error:  # what was read from there stays
                    problems += self._problem(slot, f"{directory}: cannot be read: {error.strerror or error}", False, patient)
                    files += [(known, ("SMTP",)) for known in self._pairs if os.path.dirname(known[0]) == directory]
                else:
                    self._good(slot)
            slots = {slot for slot, _ in files}
            pairs = {slot: pair for slot, pair in self._pairs.items() if slot in slots}
            for slot, services in files:
                stamp = (_stamp(slot[0]), _stamp(slot[1]))
                if self._stamps.get(slot) == stamp and slot in pairs and slot not in self._wrong:
                    continue
                self._stamps[slot] = stamp
                try:
                    pairs[slot] = read_pair(*slot, services)
                except CertificateError as error:
                    problems += self._problem(slot, str(error), slot in pairs, patient)
                else:
                    self._good(slot)
            changed = pairs != self._pairs
            self._pairs = pairs  # replaced, never changed: readers are on other threads
            return changed, problems

    def _problem(self, slot: _Slot, text: str, kept: bool, patient: bool) -> list[str]:
        """What to report of a file that cannot be used: nothing at the first look, nothing twice."""
        again = self._wrong.get(slot) == text
        self._wrong[slot] = text
        if self._told.get(slot) == text or (patient and not again):
            return []
        self._told[slot] = text
        return [f"{text}; its last good version stays in use" if kept else text]

    def _good(self, slot: _Slot) -> None:
        self._wrong.pop(slot, None)
        self._told.pop(slot, None)

    def with_files(self, certificates: Sequence[Certificate]) -> CertificateStore:
        """A store with other files of the configuration, and with what is known of files already."""
        other = CertificateStore(certificates, os.path.dirname(self.directory), self.now)
        with self._lock:
            other._stamps, other._pairs = dict(self._stamps), dict(self._pairs)
            other._wrong, other._told = dict(self._wrong), dict(self._told)
        return other

    def become(self, other: CertificateStore) -> None:
        """Hold what another store holds, which nobody uses any more.  Not while files are read."""
        self._files, self._stamps, self._pairs = other._files, other._stamps, other._pairs
        self._wrong, self._told = other._wrong, other._told

    def self_signed(self, fqdn: str, old_clients: bool = False) -> KeyPair:
        """The self-signed certificate for a host; made where there is none or it is no longer valid.  L{CertificateError} likewise.

        @param old_clients: with an RSA key.
        """
        file = self.self_signed_file(fqdn, old_clients)
        with self._lock:
            pair = self._pairs.get((file, file))
        if pair is None or not pair.info.valid_at(self.now()):
            pair = self.make_self_signed(fqdn, old_clients)
        return pair

    def make_self_signed(self, fqdn: str, old_clients: bool = False) -> KeyPair:
        """A new self-signed certificate for a host, in place of the last one.  L{CertificateError} where it cannot be written."""
        file = self.self_signed_file(fqdn, old_clients)
        try:
            write_self_signed(file, _host(fqdn), self.now(), old_clients)
        except (OSError, ValueError) as error:
            raise CertificateError(f"{file}: cannot be written: {getattr(error, 'strerror', None) or error}") from None
        return self._take(file)

    def add(self, pair: KeyPair) -> KeyPair:
        """Keep a certificate in the state directory, by its thumbprint.  L{CertificateError} where it cannot be written."""
        file = os.path.join(self.directory, f"{pair.info.thumbprint}.pem")
        try:
            write_pair(file, [pair.certificate, *pair.chain], pair.key)
        except OSError as error:
            raise CertificateError(f"{file}: cannot be written: {error.strerror or error}") from None
        return self._take(file)

    def _take(self, file: str) -> KeyPair:
        """Read a file that was just written."""
        with self._lock:
            stamp, pair = _stamp(file), read_pair(file, file, ("SMTP",))
            self._stamps[file, file] = (stamp, stamp)
            self._pairs = {**self._pairs, (file, file): pair}
        return pair

    def self_signed_file(self, fqdn: str, old_clients: bool = False) -> str:
        """Where the self-signed certificate for a host is, or would be.  L{CertificateError} where that is no host name."""
        host = _host(fqdn)
        if host in ("", ".", "..") or "/" in host:
            raise CertificateError(f"{fqdn!r} is no host name")
        return os.path.join(self.directory, f"{host}.rsa.pem" if old_clients else f"{host}.pem")

    # -- certificates ----------------------------------------------------------------------------------------------------

    def list(self) -> list[CertificateInfo]:
        """All certificates, those of the configuration first."""
        return [pair.info for pair in self._pairs.values()]

    def pairs(self) -> Sequence[KeyPair]:
        """The same with their keys."""
        return tuple(self._pairs.values())

    def find(self, name: str) -> KeyPair | None:
        """The certificate of a C{tls_certificate_name}: C{<I>issuer<S>subject} or a thumbprint.  Of several the newest valid one."""
        pairs = self._pairs.values()
        if digest := thumbprint(name):
            return next((pair for pair in pairs if pair.info.thumbprint == digest), None)
        wanted = certificate_name(name)
        return self._best(pair for pair in pairs if (comparable(pair.info.issuer), comparable(pair.info.subject)) == wanted)

    def for_fqdn(self, fqdn: str, old_clients: bool = False) -> KeyPair | None:
        """The certificate for a host, valid now and enabled for SMTP.

        Where there are several: one of the configuration, an imported one, one of ACME, one made here; then one that an authority
        signed, one with the very name before a wildcard, the newest.

        @param old_clients: of those of one origin, the ones with an RSA key first.
        """
        host, now = _host(fqdn), self.now()

        def preference(pair: KeyPair) -> tuple[int, bool, bool, bool, datetime.datetime]:
            names, signed = pair.info.names, not pair.info.self_signed
            return self._rank(pair), not old_clients or is_rsa(pair), signed, host in names, pair.info.not_before

        fitting = (
            pair
            for pair in self._pairs.values()
            if "SMTP" in pair.info.services and pair.info.valid_at(now) and any(fits(name, host) for name in pair.info.names)
        )
        return max(fitting, key=preference, default=None)

    def is_valid(self, pair: KeyPair) -> bool:
        """Whether it is valid now."""
        return pair.info.valid_at(self.now())

    def holds(self, pair: KeyPair) -> bool:
        """Whether it is in the store still, and no newer version of its files."""
        return any(pair is other for other in self._pairs.values())

    def made_here(self, pair: KeyPair) -> bool:
        """Whether it is self-signed and was made here, to be made anew in time; one that was imported is named by its thumbprint."""
        directory, name = os.path.split(pair.info.file)
        return pair.info.self_signed and directory == self.directory and name != f"{pair.info.thumbprint}.pem"

    def from_acme(self, pair: KeyPair) -> bool:
        """Whether ACME got it."""
        return os.path.dirname(pair.info.file) == self.acme_directory

    def _rank(self, pair: KeyPair) -> int:
        if self.made_here(pair):
            return 0
        if self.from_acme(pair):
            return 1
        return 2 if os.path.dirname(pair.info.file) == self.directory else 3

    def _best(self, pairs: Iterable[KeyPair]) -> KeyPair | None:
        """The newest, valid ones first."""
        now = self.now()
        return max(pairs, key=lambda pair: (pair.info.valid_at(now), pair.info.not_before), default=None)


def is_rsa(pair: KeyPair) -> bool:
    """Whether clients from before elliptic curves understand it."""
    return isinstance(pair.key, RSAPrivateKey)


def _host(fqdn: str) -> str:
    return fqdn.lower().rstrip(".")


def _pem_files(directory: str) -> list[tuple[_Slot, tuple[str, ...]]]:
    """The certificates of a directory: each with its key in one file, for SMTP.  L{OSError} where it cannot be read."""
    try:
        names = sorted(name for name in os.listdir(directory) if name.endswith(".pem") and not name.startswith("."))
    except (FileNotFoundError, NotADirectoryError):
        return []  # not made yet
    return [((file, file), ("SMTP",)) for file in (os.path.join(directory, name) for name in names)]


def _stamp(file: str) -> object:
    try:
        return stamp_of(file)
    except OSError as error:
        return error.errno
