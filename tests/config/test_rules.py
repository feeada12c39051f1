"""Tests for L{twistedrelay.config.rules}, through files: each broken rule is one error in the right line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Files


def receive(files: Files, lines: str) -> list[str]:
    """Problems of a connector whose other lines start in line 5, without the path of the connector."""
    body = "".join(f"    {line}\n" for line in lines.splitlines())
    defaults = "" if "bindings:" in lines else "    bindings: ['0.0.0.0:25']\n"
    defaults += "" if "permission_groups:" in lines else "    permission_groups: [AnonymousUsers]\n"
    problems = files.problems(f"receive_connectors:\n  A:\n{body}{defaults}")
    return [problem.replace("relay.yaml:", "").replace("receive_connectors.A.", "") for problem in problems]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("bindings: []", "4: bindings: is empty; allowed: at least one IP address:port"),
        ("permission_groups: []", "4: permission_groups: is empty; allowed: [None], or a list such as [AnonymousUsers]"),
        ("permission_groups: [None, Partners]", "4: permission_groups: None stands alone; leave it or the others out"),
        ("remote_ip_ranges: []",
         "4: remote_ip_ranges: is empty, so nobody could connect; leave the key out for all addresses, or set enabled: false"),
        ("banner: hello", "4: banner: 'hello' is no banner; it must start with '220 ' and be one line of at most 510 octets"),
        ('banner: "220 a\\r\\n250 b"',
         "4: banner: '220 a\\r\\n250 b' is no banner; it must start with '220 ' and be one line of at most 510 octets"),
        ("fqdn: a b", "4: fqdn: 'a b' is no domain name; allowed: letters, digits and hyphens between dots, such as mail.example.org"),
        ("auth_mechanism: []", "4: auth_mechanism: is empty; allowed: [None], or a list such as [Tls, BasicAuth, BasicAuthRequireTLS]"),
        ("auth_mechanism: [None, Tls]", "4: auth_mechanism: None stands alone; leave it or the others out"),
        ("auth_mechanism: [Tls, BasicAuthRequireTLS]",
         "4: auth_mechanism: BasicAuthRequireTLS needs BasicAuth and Tls beside it: [Tls, BasicAuth, BasicAuthRequireTLS]"),
        ("auth_mechanism: [BasicAuth, BasicAuthRequireTLS]",
         "4: auth_mechanism: BasicAuthRequireTLS needs BasicAuth and Tls beside it: [Tls, BasicAuth, BasicAuthRequireTLS]"),
        ("auth_mechanism: [ExternalAuthoritative]", "4: auth_mechanism: ExternalAuthoritative needs ExchangeServers in permission_groups"),
        ("auth_mechanism: [ExternalAuthoritative, BasicAuth]\npermission_groups: [ExchangeServers]",
         "4: auth_mechanism: ExternalAuthoritative stands alone or beside Tls"),
        ("implicit_tls: true\nauth_mechanism: [BasicAuth]", "4: implicit_tls: implicit_tls needs Tls in auth_mechanism"),
        ("auth_mechanism: [XOAuth2]", "4: auth_mechanism: XOAuth2 needs Tls beside it: bearer tokens are never taken in clear text"),
        ("smtp_utf8_enabled: true\neight_bit_mime_enabled: false",
         "4: smtp_utf8_enabled: needs eight_bit_mime_enabled (RFC 6531 section 3.1)"),
        ("future_release_enabled: true", "4: future_release_enabled: is for submission, not for port 25 (RFC 4865 section 4.2)"),
        ("protocol: LMTP", "4: protocol: LMTP is not spoken on port 25 (RFC 2033 section 5)"),
        ("require_tls: true\nauth_mechanism: [None]", "4: require_tls: needs Tls in auth_mechanism"),
        ("domain_secure_enabled: true\nauth_mechanism: [None]",
         "4: domain_secure_enabled: needs Tls in auth_mechanism, and no ExternalAuthoritative"),
        ("tls_minimum_version: TLSv1.3\ntls_maximum_version: TLSv1.2",
         "4: tls_minimum_version: TLSv1.3 is above tls_maximum_version, TLSv1.2"),
        ("binary_mime_enabled: true\nchunking_enabled: false",
         "4: binary_mime_enabled: needs chunking_enabled: binary messages come by BDAT only"),
        ("tls_certificate_name: mail.pem",
         ("4: tls_certificate_name: 'mail.pem' is no certificate name; allowed: '<I>issuer<S>subject' or a thumbprint of 40 hex digits "
         "(relayctl certificate list)")),
        ("tls_certificate_name: <i>CN=a<s>CN=b\nauth_mechanism: [BasicAuth]", "4: tls_certificate_name: needs Tls in auth_mechanism"),
        ("auth_mechanism: [Tls, External]",
         "4: auth_mechanism: External needs tls_client_ca_file: who signs the certificates of those that log in"),
        ("tls_minimum_version: TLSv1.1",
         "4: tls_minimum_version: TLSv1.1 needs tls_cipher_profile: Old, which alone has ciphers for it"),
        ("connection_inactivity_timeout: 10m",
         "4: connection_inactivity_timeout: connection_inactivity_timeout (10m) must be less than connection_timeout (10m)"),
        ("connection_timeout: 5m",
         "4: connection_timeout: connection_inactivity_timeout (5m) must be less than connection_timeout (5m)"),
        ("connection_timeout: 2d", "4: connection_timeout: '2d' is out of range; allowed: 1s to 1d"),
        ("max_message_size: 65535", "4: max_message_size: '65535' is out of range; allowed: 64KB to 2147483647"),
        ("max_recipients_per_message: 0", "4: max_recipients_per_message: '0' is out of range; allowed: 1 to 512000"),
        ("max_inbound_connection_per_source: 10001", "4: max_inbound_connection_per_source: '10001' is out of range; allowed: 1 to 10000"),
        ("max_inbound_connection_percentage_per_source: 101",
         "4: max_inbound_connection_percentage_per_source: '101' is out of range; allowed: 1 to 100"),
        ("max_logon_failures: 11", "4: max_logon_failures: '11' is out of range; allowed: 0 to 10"),
        ("message_rate_limit: 0", "4: message_rate_limit: '0' is out of range; allowed: 1 to 2147483647"),
        ("message_rate_limit: many", "4: message_rate_limit: 'many' is no number; allowed: a whole number or unlimited"),
        ("enabled: yes", "4: enabled: 'yes' is neither true nor false; allowed: true, false"),
        ("extended_rights:\n  Anonymous Logon: []",
         '5: extended_rights."Anonymous Logon": gives no right; allowed: a list such as [Accept-Any-Recipient]'),
        ("extended_rights:\n  Anonymus Logon: [x]",
         ("5: extended_rights.\"Anonymus Logon\": the principal 'Anonymus Logon' is unknown; did you mean 'Anonymous Logon'?; allowed: "
         "Anonymous Logon, Authenticated Users, Externally Secured Servers, a user's address or group:NAME")),
        ("extended_rights:\n  Anonymous Logon: [x]\n  NT AUTHORITY\\ANONYMOUS LOGON: [y]",
         '6: extended_rights."NT AUTHORITY\\ANONYMOUS LOGON": the principal \'Anonymous Logon\' is given twice'),
    ],
)  # fmt: skip
def test_receive_connector(files: Files, lines: str, problem: str) -> None:
    assert receive(files, lines) == [problem]


@pytest.mark.parametrize("lines", [
    "banner: 220 relay.example ESMTP",
    "auth_mechanism: [None]",
    "auth_mechanism: [ExternalAuthoritative, Tls]\n    permission_groups: [ExchangeServers]",
    "auth_mechanism: [BasicAuth]",
    "implicit_tls: true",
    "tls_certificate_name: f3d0f3d0f3d0f3d0f3d0f3d0f3d0f3d0f3d0f3d0",
    "max_logon_failures: 0",
    "message_rate_limit: unlimited",
])  # fmt: skip
def test_good_receive_connectors(files: Files, lines: str) -> None:
    groups = "" if "permission_groups" in lines else "    permission_groups: [AnonymousUsers, Custom]\n"
    assert files.load(f"receive_connectors:\n  A:\n    bindings: ['0.0.0.0:25']\n    {lines}\n{groups}").receive_connectors


def send(files: Files, lines: str) -> list[str]:
    spaces = "" if "address_spaces:" in lines else "    address_spaces: ['*']\n"
    body = "".join(f"    {line}\n" for line in lines.splitlines())
    problems = files.problems(f"send_connectors:\n  A:\n{body}{spaces}")
    return [problem.replace("relay.yaml:", "").replace("send_connectors.A.", "") for problem in problems]


HOST = "smart_hosts: [a.example]\n"
CREDENTIAL = "authentication_credential: {username: u, password_file: f}\n"


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ("address_spaces: []",
         ("4: address_spaces: is empty; allowed: a list such as ['*'] "
         "(none is needed where a linked_send_connector names this connector)")),
        ("address_spaces: [a.example]\nsender_address_spaces:\n- A@a.example\n- a@A.example",
         "7: sender_address_spaces[1]: 'a@a.example' is given twice"),
        ("address_spaces: [a.example]\nsender_address_spaces: ['*']",
         ("5: sender_address_spaces[0]: '*' is no sender space; allowed: address, domain or *.domain (with its subdomains); "
         "leave the key out for every sender")),
        (HOST + "smart_host_selection: Failover", "5: smart_host_selection: is only used with several smart_hosts; leave it out"),
        (HOST + "private_targets_enabled: true",
         "5: private_targets_enabled: is only used without smart_hosts, which may have any address; leave it out"),
        (HOST + "error_policies: DowngradeDnsFailures",
         ("5: error_policies: DowngradeDnsFailures is only used without smart_hosts: mail waits where a smart host is not found; "
         "leave it out")),
        ("source_ip_address: here",
         "4: source_ip_address[0]: 'here' is no IP address; allowed: an address of this host, at most one of each family"),
        ("source_ip_address: [192.0.2.1, '2001:db8::1', 192.0.2.2]",
         "4: source_ip_address[2]: '192.0.2.2' is the second IPv4 address; allowed: at most one of each family"),
        ("source_ip_address: 0.0.0.0",
         "4: source_ip_address[0]: '0.0.0.0' is no address of a host; leave the key out to let the system choose"),
        ("smart_hosts: ['maildir:/x']\nsource_ip_address: 192.0.2.1",
         "5: source_ip_address: is only used on the network, not for a maildir: or a socket; leave it out"),
        ("require_tls: true\nforce_helo: true", "5: force_helo: must be false where require_tls is true: STARTTLS needs EHLO"),
        (HOST + "force_helo: true\nsmart_host_auth_mechanism: BasicAuth\n" + CREDENTIAL,
         "5: force_helo: must be false with smart_host_auth_mechanism: BasicAuth, which needs EHLO"),
        ("smart_hosts: ['lmtp:a.example:24']\nforce_helo: true",
         "5: force_helo: is only used with SMTP, not with lmtp: or maildir:; leave it out"),
        ("address_spaces:\n- a.example;7\n- A.example", "6: address_spaces[1]: 'a.example' is given twice"),
        ("address_spaces: ['a.example;101']", "4: address_spaces[0]: 'a.example;101' has the cost '101'; allowed: 1 to 100"),
        ("smart_hosts: []", "4: smart_hosts: is empty; leave the key out to route by MX"),
        ("smart_hosts: ['maildir:/x', a.example]",
         "4: smart_hosts: several smart hosts must be of one kind and on the network; a maildir: or a socket stands alone"),
        ("smart_hosts: ['maildir:/x']\nrequire_tls: true", "4: smart_hosts: a maildir: has neither TLS nor a login"),
        ("require_tls: true\nignore_starttls: true", "5: ignore_starttls: must be false where require_tls is true"),
        ("implicit_tls: true", "4: implicit_tls: needs smart_hosts: the servers behind MX records speak STARTTLS only"),
        (HOST + "implicit_tls: true\nignore_starttls: true", "6: ignore_starttls: has no meaning where implicit_tls is true; leave it out"),
        ("tls_auth_level: EncryptionOnly", "4: tls_auth_level: needs require_tls: true"),
        (HOST + "require_tls: true\ntls_auth_level: DomainValidation",
         "6: tls_auth_level: DomainValidation with smart_hosts needs tls_domain: the name in the smart host's certificate"),
        (HOST + "tls_domain: a.example", "5: tls_domain: is only used with tls_auth_level: DomainValidation"),
        (CREDENTIAL, "4: authentication_credential: is only used with smart_host_auth_mechanism: BasicAuthRequireTLS (or BasicAuth)"),
        ("smart_host_auth_mechanism: BasicAuth\n" + CREDENTIAL, "4: smart_host_auth_mechanism: BasicAuth needs smart_hosts"),
        (HOST + "smart_host_auth_mechanism: BasicAuthRequireTLS",
         "5: smart_host_auth_mechanism: BasicAuthRequireTLS needs authentication_credential: {username: ..., password_file: ...}"),
        (HOST + CREDENTIAL + "smart_host_auth_mechanism: BasicAuthRequireTLS\nignore_starttls: true",
         "6: smart_host_auth_mechanism: BasicAuthRequireTLS needs TLS, which ignore_starttls: true takes away"),
        (HOST + "smart_host_auth_mechanism: BasicAuth\nauthentication_credential: {username: '', password_file: f}",
         "6: authentication_credential: needs a username and a password_file that are not empty"),
    ],
)  # fmt: skip
def test_send_connector(files: Files, lines: str, problem: str) -> None:
    assert send(files, lines) == [problem]


@pytest.mark.parametrize(
    ("server", "problem"),
    [
        ("workers: 4", "workers: 4 workers are not there yet in this version; allowed: 1"),
        ("workers: auto", "workers: 'auto' workers are not there yet in this version; allowed: 1"),
        ("workers: many", "workers: 'many' is no number; allowed: a whole number or auto"),
        ("spool: 'postgresql://u:secret@h/d'", "spool: a PostgreSQL spool is not there yet in this version; allowed: sqlite"),
        ("spool: files", "spool: 'files' is no spool; allowed: sqlite"),
        ("postmaster: postmaster", "postmaster: 'postmaster' is no address; allowed: local@domain, such as postmaster@example.org"),
        ("external_dns_servers: ['dns.example']",
         "external_dns_servers[0]: 'dns.example' is no DNS server; allowed: an IP address, with :port if wanted (IPv6 in brackets then)"),
        ("logon_lockout_interval: 2h",
         "logon_lockout_interval: logon_lockout_interval (2h) must not be more than logon_lockout_max_interval (1h)"),
        ("logon_lockout_max_interval: 10s",
         "logon_lockout_max_interval: logon_lockout_interval (30s) must not be more than logon_lockout_max_interval (10s)"),
    ],
)  # fmt: skip
def test_server(files: Files, server: str, problem: str) -> None:
    text = f"server:\n  name: EXC\n  fqdn: relay.akkaya.local\n  state_directory: s\n  {server}\n"
    assert files.problems("", server=text) == [f"relay.yaml:5: server.{problem}"]


def test_server_names_and_sockets(files: Files) -> None:
    long = "s" * 120
    text = f"server:\n  name: DOMAIN\\EXC\n  fqdn: a b\n  state_directory: /{long}\n"
    assert files.problems("", server=text) == [
        f"relay.yaml:1: server.control_socket: '/{long}/control/control.sock' has 142 octets; a socket's path has 107 at most",
        (
            "relay.yaml:2: server.name: the name 'DOMAIN\\\\EXC' must not hold a backslash or control characters; the server's name is put "
            "in front by itself"
        ),
        "relay.yaml:3: server.fqdn: 'a b' is no domain name; allowed: letters, digits and hyphens between dots, such as mail.example.org",
    ]


def test_good_dns_servers(files: Files) -> None:
    text = "server: {name: E, fqdn: a.example, state_directory: s, external_dns_servers: [127.0.0.1, '127.0.0.1:53', '::1', '[::1]:53']}\n"
    files.write(text)
    from twistedrelay.config.load import load

    assert len(load(files.main).server.external_dns_servers) == 4


def test_accepted_domains(files: Files) -> None:
    assert files.problems("""\
        accepted_domains:
          a.example: {next_hop: b}
          A.Example.: {next_hop: c}
          "a@b": {next_hop: c}
          "*.": {}
          c.example: {domain_type: Relay}
          d.example: {next_hop: "host:port"}
          e.example:
    """) == [
        "relay.yaml:4: accepted_domains.\"A.Example.\": the domain 'A.Example.' is the same as 'a.example' in relay.yaml:3",
        (
            "relay.yaml:5: accepted_domains.\"a@b\": 'a@b' is no domain name; allowed: letters, digits and hyphens between dots, such as "
            "mail.example.org"
        ),
        (
            "relay.yaml:6: accepted_domains.\"*.\": the accepted domain '*' would make this an open relay; allowed: domain, or *.domain "
            "for its subdomains"
        ),
        (
            "relay.yaml:7: accepted_domains.\"c.example\".domain_type: 'Relay' is unknown; allowed: Authoritative, "
            "InternalRelay, ExternalRelay"
        ),
        "relay.yaml:8: accepted_domains.\"d.example\".next_hop: 'host:port' has the port 'port'; allowed port: 0 to 65535",
        (
            'relay.yaml:9: accepted_domains."e.example": next_hop is required for an Authoritative domain: where its mailboxes are, such '
            "as 'mailbox.example.org:25'"
        ),
    ]


def test_certificates(files: Files) -> None:
    text = "certificates:\n  - {certificate: '', private_key: k}\n  - {certificate: c, private_key: k, services: [SMPT]}\n"
    assert files.problems(text) == [
        "relay.yaml:3: certificates[0].certificate: is empty; allowed: a PEM file",
        "relay.yaml:4: certificates[1].services[0]: 'SMPT' is no service; did you mean 'SMTP'?; allowed: SMTP, IMAP, POP, IIS, UM, None",
    ]


def test_names_of_connectors(files: Files) -> None:
    name = "x" * 65
    problems = files.problems(f"send_connectors:\n  {name}: {{address_spaces: ['*']}}\n  'a\\b': {{address_spaces: ['*']}}\n")
    assert problems == [
        f"relay.yaml:3: send_connectors.{name}: the name {name!r} has 65 characters; allowed: 1 to 64",
        (
            "relay.yaml:4: send_connectors.\"a\\b\": the name 'a\\\\b' must not hold a backslash or control characters; the server's name "
            "is put in front by itself"
        ),
    ]
