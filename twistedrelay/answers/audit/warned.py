"""The warnings of C{relayctl check} as findings: the same words, with a severity and a cure.

What is a warning is decided there and nowhere else; here only how bad it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from twistedrelay.answers.audit.case import Case, Findings
from twistedrelay.answers.audit.finding import Severity, command
from twistedrelay.answers.audit.ranges import no_relaying, take_out
from twistedrelay.answers.check import warnings
from twistedrelay.config.load import Loaded
from twistedrelay.config.problems import Path, Problem

#: By the code of a doubt: how bad it is, and what a connector is to be set to.
_DOUBTS: Mapping[str, tuple[Severity, tuple[str, ...]]] = {
    "relay-wide": (Severity.HIGH, ()),
    "clear-text-auth": (Severity.HIGH, ("--auth-mechanism", "Tls,BasicAuth,BasicAuthRequireTLS")),
    "weak-tls": (Severity.MEDIUM, ("--unset", "tls_minimum_version", "--unset", "tls_cipher_profile")),
    "weak-ciphers": (Severity.MEDIUM, ("--unset", "tls_cipher_profile")),
    "bare-linefeed": (Severity.MEDIUM, ("--unset", "bare_linefeed_rejection_enabled")),
    "cram-md5": (Severity.LOW, ("--remove-auth-mechanism", "CramMd5")),
    "no-effect": (Severity.INFO, ("--unset", "message_rate_source")),
    "nobody-may-send": (Severity.INFO, ("--permission-groups", "AnonymousUsers")),
    "large-headers": (Severity.LOW, ("--unset", "max_header_size")),
    "proxy-wide": (Severity.HIGH, ("--unset", "proxy_protocol_from")),
    "xclient-wide": (Severity.HIGH, ("--unset", "xclient_from")),
    "range-expired": (Severity.LOW, ()),
}

#: By section and key of all other warnings.
_KEYS: Mapping[tuple[str, str], tuple[str, Severity]] = {
    ("receive_connectors", "linked_send_connector"): ("no-way-out", Severity.MEDIUM),
    ("send_connectors", "source_ip_address"): ("source-address", Severity.MEDIUM),
    ("send_connectors", "smtp_dane"): ("dane-dns", Severity.MEDIUM),
    ("certificates", ""): ("certificate-unusable", Severity.MEDIUM),
    ("credential_checkers", ""): ("checker-unusable", Severity.MEDIUM),
    ("users", ""): ("users-unusable", Severity.HIGH),
}


def warning_findings(case: Case, loaded: Loaded) -> Findings:
    """All warnings, but for those that the audit has more to say about."""
    for problem in warnings(loaded):
        path = problem.path
        about_certificate = len(path) == 2 and path[0] == "receive_connectors"  # certificates are looked at by their days
        if about_certificate or (path[0] == "send_connectors" and path[-1] == "tls_certificate_name"):
            continue
        if problem.code == "relay-wide" and path[1] in case.open_relays:
            continue
        code, severity = _kind(problem)
        yield case.finding(code, severity, path, problem.text, _cure(case, problem))


def _kind(problem: Problem) -> tuple[str, Severity]:
    if problem.code:
        return problem.code, _DOUBTS.get(problem.code, (Severity.MEDIUM, ()))[0]
    key = next((str(step) for step in problem.path[2:3]), "")
    return _KEYS.get((str(problem.path[0]), key), ("warning", Severity.MEDIUM))


def _cure(case: Case, problem: Problem) -> str:
    path: Path = problem.path
    if path[0] == "receive_connectors":
        name = str(path[1])
        if problem.code == "relay-wide":
            return no_relaying(name, case.config.receive_connectors[name])
        if problem.code == "range-expired":
            over = problem.text.partition(" ")[0]
            entries = case.config.receive_connectors[name].remote_ip_ranges
            return next((take_out(case, name, entry) for entry in entries if str(entry.range) == over), "")
        options = _DOUBTS.get(problem.code, (Severity.MEDIUM, ()))[1]
        if options:
            return command("connector", "set", name, *options)
        return command("connector", "show", name)
    if path[0] == "send_connectors":
        key = str(path[2]) if len(path) > 2 else ""
        return (
            command("send-connector", "set", path[1], "--unset", key)
            if key == "source_ip_address"
            else command("send-connector", "show", path[1])
        )
    return command("certificate", "list") if path[0] == "certificates" else command("check")
