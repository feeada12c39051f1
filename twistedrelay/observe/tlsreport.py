"""Results of TLS for the daily reports that domains ask for, handed to tlsrpt-collectd (of tlsrpt-reporter), as Postfix does it.

Each result is a datagram to a UNIX socket: a JSON object with the names and numbers of libtlsrpt.  Nothing waits for it: what the socket
does not take is lost, and a warning says so when that begins and when it ends.  Reports are counted, written and sent by that program.

Sources: RFC 8460 section 4; libtlsrpt 0.5 and tlsrpt-reporter 0.6 (datagrams, failure codes).
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from twistedrelay.interfaces import IEventSink
from twistedrelay.values.events import Event, ServiceEvent, TLSResult

LONGEST = 65_000  #: octets of a datagram

_VERSION = "1"  #: of the datagrams

_DATAGRAMS = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
_POLICIES = {"tlsa": 1, "sts": 2, "no-policy-found": 9}
_FAILURES = {
    "starttls-not-supported": 201,
    "certificate-host-mismatch": 202,
    "certificate-not-trusted": 203,
    "certificate-expired": 204,
    "validation-failure": 205,
    "sts-policy-fetch-error": 301,
    "sts-policy-invalid": 302,
    "sts-webpki-invalid": 303,
    "tlsa-invalid": 304,
    "dnssec-invalid": 305,
    "dane-required": 306,
}


@implementer(IEventSink)
class TLSReports:
    """See the module.

    @param path: the collector's socket; it may come and go.
    @param tell: takes the warnings.
    """

    def __init__(self, path: str, tell: Callable[[Event], None]) -> None:
        self._path = path
        self._tell = tell
        self._lost = 0

    def change(self, path: str) -> None:
        """The collector listens elsewhere from now on; C{""}: nowhere."""
        self._path = path

    def emit(self, event: Event) -> None:
        """Take an event."""
        if not isinstance(event, TLSResult) or not self._path:
            return
        try:
            with socket.socket(socket.AF_UNIX, _DATAGRAMS) as sending:
                sending.sendto(datagram(event), self._path)
        except OSError as error:
            self._lost += 1
            if self._lost == 1:
                self._tell(ServiceEvent("warn", f"results of TLS are lost: {self._path}: {error.strerror or error}"))
        else:
            if self._lost:
                self._tell(ServiceEvent("info", f"results of TLS are taken again; {self._lost} were lost"))
                self._lost = 0


def datagram(result: TLSResult) -> bytes:
    """The datagram of a result."""
    found = result.assessment
    policy: dict[str, Any] = {"policy-type": _POLICIES[found.kind], "policy-domain": found.policy_domain or found.domain}
    if found.strings:
        policy["policy-string"] = list(found.strings)
    if found.patterns:
        policy["mx-host"] = list(found.patterns)
    if result.failure:
        details = {"c": _FAILURES[result.failure], "n": result.host, "r": result.address, "f": result.detail[:200]}
        policy["failure-details"] = [{key: value for key, value in details.items() if value}]
    policy |= {"t": int(bool(result.failure)), "f": int(bool(result.failure))}
    octets = _encoded(result, policy)
    if len(octets) > LONGEST:  # a policy far beyond the usual
        policy.pop("policy-string", None)
        policy.pop("mx-host", None)
        octets = _encoded(result, policy)
    return octets


def _encoded(result: TLSResult, policy: dict[str, Any]) -> bytes:
    tree = {"dpv": _VERSION, "d": result.assessment.domain, "pr": result.assessment.record, "policies": [policy]}
    return json.dumps(tree, separators=(",", ":")).encode("ascii")
