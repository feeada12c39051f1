"""Next hops and smart hosts that do not answer, where they were tried."""

from __future__ import annotations

from twistedrelay.answers.audit.case import Case, Findings
from twistedrelay.answers.audit.finding import Severity, command
from twistedrelay.values.printable import host_port


def way_findings(case: Case) -> Findings:
    """Each at the object that names it."""
    config = case.config
    for domain, item in config.accepted_domains.items():
        if item.next_hop is not None:
            where = item.next_hop.path or host_port(item.next_hop.host, item.next_hop.port)
            if where in case.facts.unreachable:
                reason = f"the next hop {where} does not answer: {case.facts.unreachable[where]}; mail for it waits"
                yield case.finding(
                    "next-hop-unreachable", Severity.HIGH, ("accepted_domains", domain, "next_hop"), reason, command("queue", "list")
                )
    for name, connector in config.send_connectors.items():
        hosts = [hop.path or host_port(hop.host, hop.port) for hop in connector.smart_hosts] if connector.enabled else []
        silent = [host for host in hosts if host in case.facts.unreachable]
        for host in silent:
            alone = len(silent) == len(hosts)
            reason = f"the smart host {host} does not answer: {case.facts.unreachable[host]}" + ("; mail waits" if alone else "; others do")
            severity = Severity.HIGH if alone else Severity.MEDIUM
            path = ("send_connectors", name, "smart_hosts", hosts.index(host))
            yield case.finding("smart-host-unreachable", severity, path, reason, command("queue", "list"))
