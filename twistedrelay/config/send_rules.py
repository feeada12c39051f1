"""What the values of a send connector and of the transport service must be together.

Each function takes a validated object and yields C{(path below the object, what is wrong and what is allowed)}.

Source: Set-SendConnector.
"""

from __future__ import annotations

from ipaddress import ip_address

from twistedrelay.config.domains import sender_space
from twistedrelay.config.rules import Findings, fqdn
from twistedrelay.config.sending import SendConnector
from twistedrelay.config.tls_rules import send_tls
from twistedrelay.config.units import AddressSpace


def send_connector(item: SendConnector) -> Findings:
    """Rules for one of C{send_connectors}."""
    patterns = set()
    for index, text in enumerate(item.address_spaces):
        try:
            pattern = AddressSpace.parse(text).pattern
        except ValueError as error:
            yield ("address_spaces", index), str(error)
            continue
        if pattern in patterns:
            yield ("address_spaces", index), f"{pattern!r} is given twice"
        patterns.add(pattern)
    yield from _senders(item)
    yield from fqdn(item.fqdn, "fqdn")
    if "smart_hosts" in item.model_fields_set and not item.smart_hosts:
        yield ("smart_hosts",), "is empty; leave the key out to route by MX"
    kinds = {hop.kind for hop in item.smart_hosts}
    if len(item.smart_hosts) > 1 and (len(kinds) > 1 or any(hop.path for hop in item.smart_hosts)):
        yield ("smart_hosts",), "several smart hosts must be of one kind and on the network; a maildir: or a socket stands alone"
    if "maildir" in kinds and (item.require_tls or item.implicit_tls or item.smart_host_auth_mechanism != "None"):
        yield ("smart_hosts",), "a maildir: has neither TLS nor a login"
    yield from _ways(item)
    yield from _sources(item)
    yield from _helo(item)
    yield from _send_tls(item)
    yield from send_tls(item)
    yield from _send_login(item)


def _senders(item: SendConnector) -> Findings:
    seen = set()
    for index, text in enumerate(item.sender_address_spaces):
        try:
            space = sender_space(text)
        except ValueError as error:
            yield ("sender_address_spaces", index), str(error)
            continue
        if space in seen:
            yield ("sender_address_spaces", index), f"{space!r} is given twice"
        seen.add(space)


def _ways(item: SendConnector) -> Findings:
    """What belongs to smart hosts, and what to MX."""
    if len(item.smart_hosts) < 2 and "smart_host_selection" in item.model_fields_set:
        yield ("smart_host_selection",), "is only used with several smart_hosts; leave it out"
    if item.smart_hosts and item.private_targets_enabled:
        yield ("private_targets_enabled",), "is only used without smart_hosts, which may have any address; leave it out"
    if item.smart_hosts and item.error_policies != "Default":
        text = f"{item.error_policies} is only used without smart_hosts: mail waits where a smart host is not found; leave it out"
        yield ("error_policies",), text


def _sources(item: SendConnector) -> Findings:
    families = set()
    for index, text in enumerate(item.source_ip_address):
        path = ("source_ip_address", index)
        try:
            address = ip_address(text)
        except ValueError:
            yield path, f"{text!r} is no IP address; allowed: an address of this host, at most one of each family"
            continue
        if address.is_unspecified or address.is_multicast:
            yield path, f"{text!r} is no address of a host; leave the key out to let the system choose"
        elif address.version in families:
            yield path, f"{text!r} is the second IPv{address.version} address; allowed: at most one of each family"
        families.add(address.version)
    if item.source_ip_address and any(hop.path for hop in item.smart_hosts):
        yield ("source_ip_address",), "is only used on the network, not for a maildir: or a socket; leave it out"


def _helo(item: SendConnector) -> Findings:
    """HELO knows no extensions: no TLS by STARTTLS, no login, no LMTP."""
    if not item.force_helo:
        return
    if item.require_tls and not item.implicit_tls:
        yield ("force_helo",), "must be false where require_tls is true: STARTTLS needs EHLO"
    if item.smart_host_auth_mechanism != "None":
        yield ("force_helo",), f"must be false with smart_host_auth_mechanism: {item.smart_host_auth_mechanism}, which needs EHLO"
    if any(hop.kind != "smtp" for hop in item.smart_hosts):
        yield ("force_helo",), "is only used with SMTP, not with lmtp: or maildir:; leave it out"


def _send_tls(item: SendConnector) -> Findings:
    if item.require_tls and item.ignore_starttls:
        yield ("ignore_starttls",), "must be false where require_tls is true"
    if item.implicit_tls:
        if item.ignore_starttls:
            yield ("ignore_starttls",), "has no meaning where implicit_tls is true; leave it out"
        if not item.smart_hosts:
            yield ("implicit_tls",), "needs smart_hosts: the servers behind MX records speak STARTTLS only"
    if item.tls_auth_level is not None and not item.require_tls:
        yield ("tls_auth_level",), "needs require_tls: true"
    if item.tls_auth_level == "DomainValidation":
        if item.smart_hosts and not item.tls_domain:
            yield ("tls_auth_level",), "DomainValidation with smart_hosts needs tls_domain: the name in the smart host's certificate"
    elif item.tls_domain:
        yield ("tls_domain",), "is only used with tls_auth_level: DomainValidation"
    yield from fqdn(item.tls_domain, "tls_domain")


def _send_login(item: SendConnector) -> Findings:
    if item.smart_host_auth_mechanism == "None":
        if item.authentication_credential is not None:
            yield ("authentication_credential",), "is only used with smart_host_auth_mechanism: BasicAuthRequireTLS (or BasicAuth)"
        return
    path = ("smart_host_auth_mechanism",)
    if not item.smart_hosts:
        yield path, f"{item.smart_host_auth_mechanism} needs smart_hosts"
    if item.authentication_credential is None:
        yield path, f"{item.smart_host_auth_mechanism} needs authentication_credential: {{username: ..., password_file: ...}}"
    elif not item.authentication_credential.username or not item.authentication_credential.password_file:
        yield ("authentication_credential",), "needs a username and a password_file that are not empty"
    if item.smart_host_auth_mechanism == "BasicAuthRequireTLS" and item.ignore_starttls and not item.implicit_tls:
        yield path, "BasicAuthRequireTLS needs TLS, which ignore_starttls: true takes away"
