"""Which domains mail is taken for from anybody, and where mail goes: entries that are too broad, lead nowhere, or bounce to strangers.

Sources: Set-AcceptedDomain, Set-SendConnector (AddressSpaces); RFC 5321 sections 4.5.1 (postmaster) and 6.1 (reports to forged senders).
"""

from __future__ import annotations

import re

from twistedrelay.answers.audit.case import Case, Findings
from twistedrelay.answers.audit.finding import Severity, command
from twistedrelay.config.domains import DomainIndex
from twistedrelay.config.schema import Config, SendConnector
from twistedrelay.config.units import AddressSpace
from twistedrelay.policy.rights import Rights, principal_at_connect, rights_of

#: Domains below which others have theirs, by the customs of registries (co.uk, com.tr).
_SHARED = re.compile(r"(?:ac|co|com|edu|gen|gob|gov|mil|ne|net|nom|or|org)\.[a-z]{2}")


def domain_findings(case: Case) -> Findings:
    """All of them."""
    strangers = [name for name, item in case.wide if Rights.SUBMIT in rights_of(item, principal_at_connect(item))]
    for domain in case.config.accepted_domains:
        yield from _broad(case, domain)
        yield from _outside(case, domain, bool(strangers))
    if strangers:
        yield from _backscatter(case, strangers[0])
    yield from _spaces(case)
    yield from _postmaster(case)


def _broad(case: Case, domain: str) -> Findings:
    path = ("accepted_domains", domain)
    cure = command("domain", "remove", domain)
    parent = domain.removeprefix("*.")
    if "." not in parent or _SHARED.fullmatch(parent):
        what = f"all of .{parent}" if domain != parent else f"{parent}, below which everybody can have a name,"
        reason = f"{what} counts as our own: anybody may send to everybody there through this relay"
        yield case.finding("accepted-domain-wide", Severity.HIGH if domain != parent else Severity.LOW, path, reason, cure)
    elif domain != parent:
        reason = f"any name below {parent} counts as our own, also those that do not exist; list the subdomains that do"
        yield case.finding("accepted-domain-wildcard", Severity.INFO, path, reason, cure)


def _outside(case: Case, domain: str, strangers: bool) -> Findings:
    item = case.config.accepted_domains[domain]
    if item.domain_type == "ExternalRelay" and strangers:
        reason = "ExternalRelay: mail from anybody is taken for it and sent on to servers that are not ours, which blame us for spam"
        yield case.finding(
            "external-relay", Severity.LOW, ("accepted_domains", domain, "domain_type"), reason, command("domain", "remove", domain)
        )
    if item.domain_type != "Authoritative" and item.next_hop is None and not _has_way(case.config, domain.removeprefix("*.")):
        reason = (
            f"{item.domain_type} without a next_hop, and no send connector has it in its address_spaces: mail for it is taken, and waits"
        )
        yield case.finding("no-way-out", Severity.MEDIUM, ("accepted_domains", domain), reason, command("send-connector", "list"))


def _backscatter(case: Case, connector: str) -> Findings:
    for domain, item in case.config.accepted_domains.items():
        if item.domain_type == "Authoritative" and item.recipients is None:
            inside = item.next_hop is not None and item.next_hop.kind == "maildir"
            reason = f"every address of it is taken from strangers ({connector}), also those that do not exist" + (
                ": a dictionary attack fills the maildir"
                if inside
                else ", and the reports about those go to forged senders, which gets a relay listed"
            )
            cure = command("domain", "set", domain, "--recipients-call-ahead", "true") if not inside else ""
            path = ("accepted_domains", domain)
            yield case.finding("backscatter", Severity.LOW if inside else Severity.MEDIUM, path, reason, cure)


def _spaces(case: Case) -> Findings:
    accepted = DomainIndex(case.config.accepted_domains)
    for name, connector in case.config.send_connectors.items():
        if not connector.enabled:
            continue
        for index, text in enumerate(connector.address_spaces):
            pattern = AddressSpace.parse(text).pattern
            item = accepted.find(pattern) if pattern != "*" and not pattern.startswith("*.") else None
            if item is not None and item.next_hop is not None:
                reason = f"the address space {text} has no effect: the accepted domain {pattern} has a next_hop, which goes before"
                cure = command("send-connector", "set", name, "--remove-address-spaces", text)
                yield case.finding("address-space-unused", Severity.LOW, ("send_connectors", name, "address_spaces", index), reason, cure)
        path = ("send_connectors", name)
        if connector.private_targets_enabled and not connector.smart_hosts:
            reason = "private_targets_enabled: whoever may send can make this relay connect to hosts inside, by an MX that points there"
            cure = command("send-connector", "set", name, "--private-targets-enabled", "false")
            yield case.finding("private-targets", Severity.MEDIUM, (*path, "private_targets_enabled"), reason, cure)
        if connector.smart_host_auth_mechanism == "BasicAuth" and not connector.require_tls and not connector.implicit_tls:
            reason = "BasicAuth without TLS being required: who comes between can have the password of the smart host in clear text"
            cure = command("send-connector", "set", name, "--smart-host-auth-mechanism", "BasicAuthRequireTLS")
            yield case.finding("clear-text-login", Severity.HIGH, (*path, "smart_host_auth_mechanism"), reason, cure)
    if not any(_everything(connector) for connector in case.config.send_connectors.values()):
        reason = "no send connector has the address space *: mail to other domains is taken from those who may relay, and waits"
        yield case.finding("no-way-out", Severity.INFO, ("send_connectors",), reason, "", case.config.server.name)


def _everything(connector: SendConnector) -> bool:
    return connector.enabled and any(AddressSpace.parse(text).pattern == "*" for text in connector.address_spaces)


def _has_way(config: Config, domain: str) -> bool:
    """Whether a send connector is for a domain, for some sender."""
    for connector in config.send_connectors.values():
        for text in connector.address_spaces if connector.enabled else ():
            pattern = AddressSpace.parse(text).pattern
            below = pattern.removeprefix("*.")
            if pattern == "*" or domain == below or (pattern != below and domain.endswith(f".{below}")):
                return True
    return False


def _postmaster(case: Case) -> Findings:
    config = case.config
    domain = config.server.postmaster.rpartition("@")[2].lower()
    item = DomainIndex(config.accepted_domains).find(domain)
    if (item is not None and item.next_hop is not None) or _has_way(config, domain):
        return
    reason = f"{config.server.postmaster} has no way: {domain} is no accepted domain with a next_hop, and no send connector is for it: "
    reason += "reports to people who could help are lost"
    yield case.finding("postmaster", Severity.MEDIUM, ("server", "postmaster"), reason, command("domain", "list"))
