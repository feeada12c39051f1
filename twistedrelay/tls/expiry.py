"""Says in time that certificates end: at the start, 30, 14, 7 and 1 days before, and once a day when they are over.

Looked at are the certificates that connectors show, and those for clients that ask for another name; not those that a newer one
replaces, and not, before they are late, those that ACME renews by itself.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

from twistedrelay.tls.pem import CertificateInfo, KeyPair
from twistedrelay.tls.store import CertificateStore
from twistedrelay.values.events import ServiceEvent

#: Days before the end at which something is said.
STEPS = (30, 14, 7, 1)

_DAY = datetime.timedelta(days=1)


class Expiry:
    """What was said about each certificate.

    @param store: all certificates.
    """

    def __init__(self, store: CertificateStore) -> None:
        self._store = store
        self._said: dict[str, object] = {}  # by thumbprint: the step, or the day after the end

    def notices(self, users: Sequence[tuple[KeyPair, Sequence[str]]]) -> list[ServiceEvent]:
        """What has to be said now.

        @param users: the certificates in use, with the connectors that show them.
        """
        found, said, now = [], {}, self._store.now()
        shown = {pair for pair, _ in users}
        for pair, connectors in [*users, *((pair, ()) for pair in self._others() if pair not in shown)]:
            info = pair.info
            step = self._step(pair, now)
            if step is None:
                continue
            if self._said.get(info.thumbprint) != step:
                level = "warn" if step in STEPS[:2] else "error"
                found.append(ServiceEvent(level, _text(info, connectors, now), "certificate_expiry"))
            said[info.thumbprint] = step
        self._said = said
        return found

    def _step(self, pair: KeyPair, now: datetime.datetime) -> object:
        """The last step that was passed; None before the first one."""
        info = pair.info
        left = info.not_after - now
        if left < datetime.timedelta():
            return ("over", -left // _DAY)
        life = info.not_after - info.not_before
        # ACME renews when a third of the life is left.
        steps = [step for step in STEPS if step * _DAY < life / 4] if self._store.from_acme(pair) else STEPS
        return min((step for step in steps if left <= step * _DAY), default=None)

    def _others(self) -> list[KeyPair]:
        """Certificates for clients that ask for another name: the last ones for their names."""
        pairs = [pair for pair in self._store.pairs() if "SMTP" in pair.info.services and not self._store.made_here(pair)]
        return [pair for pair in pairs if not any(_replaces(other.info, pair.info) for other in pairs)]


def _replaces(other: CertificateInfo, info: CertificateInfo) -> bool:
    return other.not_after > info.not_after and set(other.names) >= set(info.names)


def _text(info: CertificateInfo, connectors: Sequence[str], now: datetime.datetime) -> str:
    left = info.not_after - now
    where = f", shown by {', '.join(connectors)}," if connectors else ""
    names = ", ".join(info.names) or info.subject
    if left < datetime.timedelta():
        when = f"ended on {info.not_after:%Y-%m-%d}: clients that check it refuse"
    else:
        rest = f"{left // _DAY} days" if left >= 2 * _DAY else f"{left // datetime.timedelta(hours=1)} hours"
        when = f"ends on {info.not_after:%Y-%m-%d}, in {rest}"
    return f"the certificate {info.thumbprint} ({names}){where} {when}; renew {info.file}"
