"""Certificates of connectors: over, over soon, or believed by nobody.

Reads the files of the store: not on the reactor's thread.

Sources: RFC 8314 section 3 (clients that log in check certificates), RFC 7435 (other mail servers mostly do not).
"""

from __future__ import annotations

import datetime
import os

from twistedrelay.answers.audit.case import Case, Findings
from twistedrelay.answers.audit.doors import has_logins
from twistedrelay.answers.audit.finding import Finding, Severity, command
from twistedrelay.config.problems import Path
from twistedrelay.tls.contexts import chosen
from twistedrelay.tls.pem import KeyPair
from twistedrelay.tls.store import CertificateStore

#: Days before the end, and how bad it is by then.
_STEPS = ((0, Severity.HIGH), (7, Severity.HIGH), (14, Severity.MEDIUM), (30, Severity.LOW))


def certificate_findings(case: Case) -> Findings:
    """Each certificate once, at the first connector that shows it."""
    config = case.config
    now = datetime.datetime.fromtimestamp(case.facts.now, datetime.UTC)
    store = CertificateStore(config.certificates, config.server.state_directory, lambda: now)
    store.load()
    seen: set[str] = set()
    for name, connector in case.enabled:
        if "Tls" not in connector.auth_mechanism:
            continue
        path: Path = ("receive_connectors", name)
        pair = chosen(connector, store)
        own = pair is None or store.made_here(pair)
        if name in case.far and (own or (pair is not None and pair.info.self_signed)) and not (own and config.acme is not None):
            reason = f"its certificate for {connector.fqdn} is self-signed: "
            reason += "clients that check certificates refuse it, the others can be deceived"
            cure = command("certificate", "import", f"{connector.fqdn}.pem")
            severity = Severity.MEDIUM if has_logins(connector) else Severity.INFO
            yield case.finding("self-signed", severity, path, reason, cure)
        if pair is not None and not own:
            yield from _once(case, path, pair, store, seen)
    for name, sending in config.send_connectors.items():
        if sending.enabled and sending.tls_certificate_name:
            pair = store.find(sending.tls_certificate_name)
            if pair is not None:
                yield from _once(case, ("send_connectors", name, "tls_certificate_name"), pair, store, seen)


def _once(case: Case, path: Path, pair: KeyPair, store: CertificateStore, seen: set[str]) -> Findings:
    if pair.info.thumbprint in seen:
        return
    seen.add(pair.info.thumbprint)
    found = _ending(case, path, pair, store)
    if found is not None:
        yield found


def _ending(case: Case, path: Path, pair: KeyPair, store: CertificateStore) -> Finding | None:
    info = pair.info
    left = (info.not_after - store.now()) / datetime.timedelta(days=1)
    by_itself = store.from_acme(pair)
    severity = next((severity for days, severity in _STEPS if left <= days), None)
    names = ", ".join(info.names) or info.subject
    if info.not_before > store.now():
        code, severity = "certificate-not-yet", Severity.HIGH
        text = f"is good only from {info.not_before:%Y-%m-%d}: clients that check it refuse until then, or the clock is wrong"
    elif severity is None or (by_itself and left > 7):  # ACME renews in time
        return None
    elif left < 0:
        code, text = "certificate-expired", f"ended on {info.not_after:%Y-%m-%d}: clients that check it refuse"
    else:
        code, text = "certificate-expires", f"ends on {info.not_after:%Y-%m-%d}, in {int(left)} days"
    imported = os.path.dirname(info.file) == store.directory  # its successor comes by another file
    renewed = f"{(info.names or (info.thumbprint,))[0]}.pem" if imported else info.file
    reason = f"the certificate {info.thumbprint} ({names}) {text}; {'import a newer one' if imported else f'renew {info.file}'}"
    return case.finding(
        code,
        severity,
        path,
        reason,
        command("certificate", "show", info.thumbprint) if by_itself else command("certificate", "import", renewed),
    )
