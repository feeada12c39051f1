"""Tests for L{twistedrelay.config.load}: good files, defaults, relative paths, checks, and every error at once."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from twistedrelay.config.load import ConfigError, load, load_with_places
from twistedrelay.config.problems import Problem
from twistedrelay.config.schema import Config
from twistedrelay.config.units import NextHopValue

if TYPE_CHECKING:
    from conftest import Files

SAMPLES = sorted((Path(__file__).parents[2] / "etc").glob("*.yaml"))


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_samples_load(sample: Path) -> None:
    assert load(sample).receive_connectors


def test_the_sample_has_the_five_connectors_of_the_article() -> None:
    config = load(next(path for path in SAMPLES if path.name == "relay.yaml"))
    table = {
        name: ("{" + ", ".join(map(str, item.bindings)) + "}", item.enabled, item.implicit_tls)
        for name, item in config.receive_connectors.items()
    }
    assert table == {
        "Default EXCSERVER": ("{0.0.0.0:2525, [::]:2525}", False, False),
        "Client Proxy EXCSERVER": ("{[::]:465, 0.0.0.0:465}", True, True),
        "Default Frontend EXCSERVER": ("{[::]:25, 0.0.0.0:25}", True, False),
        "Outbound Proxy Frontend EXCSERVER": ("{[::]:717, 0.0.0.0:717}", False, False),
        "Client Frontend EXCSERVER": ("{[::]:587, 0.0.0.0:587}", True, False),
    }
    assert config.server.name == "EXCSERVER"


def test_the_quickstart_stays_in_its_directory() -> None:
    sample = next(path for path in SAMPLES if path.name == "quickstart.yaml")
    config = load(sample)
    home = str(sample.parents[1] / ".quickstart")
    assert config.server.state_directory == home
    hops = [domain.next_hop for domain in config.accepted_domains.values()] + config.send_connectors["Internet"].smart_hosts
    assert hops
    assert all(hop is not None and hop.kind == "maildir" and hop.path.startswith(home + "/") for hop in hops)
    bindings = [binding for item in config.receive_connectors.values() for binding in item.bindings]
    assert {binding.host for binding in bindings} == {"127.0.0.1"}
    assert {binding.port for binding in bindings} == {2525, 5587, 4465}


def test_defaults(files: Files) -> None:
    config = files.load("""
        receive_connectors:
          A: {bindings: ["0.0.0.0:25"], permission_groups: [AnonymousUsers]}
        send_connectors:
          B: {address_spaces: ["*"]}
    """)
    state = str(files.directory / "state")
    assert config.server.postmaster == "postmaster@relay.akkaya.local"
    assert config.server.control_socket == f"{state}/control/control.sock"
    assert config.users == f"{state}/users"
    connector = config.receive_connectors["A"]
    assert connector.fqdn == config.send_connectors["B"].fqdn == "relay.akkaya.local"
    assert [entry.range.text for entry in connector.remote_ip_ranges] == ["0.0.0.0-255.255.255.255", "::/0"]
    assert connector.auth_mechanism == ["Tls"]
    assert (connector.max_message_size, connector.max_recipients_per_message) == (37748736, 200)
    assert (connector.max_inbound_connection, connector.max_inbound_connection_per_source) == (5000, 20)
    assert (connector.message_rate_limit, connector.max_protocol_errors, connector.max_logon_failures) == (None, 5, 3)
    assert (connector.tarpit_interval, connector.connection_timeout, connector.connection_inactivity_timeout) == (5.0, 600.0, 300.0)
    assert config.transport.message_expiration_timeout == 172800.0


def test_the_postmaster_is_of_the_first_accepted_domain_that_is_one(files: Files) -> None:
    config = files.load("""
        accepted_domains:
          "*.first.example": {domain_type: ExternalRelay}
          Second.Example.: {next_hop: mailbox}
    """)
    assert list(config.accepted_domains) == ["*.first.example", "second.example"]
    assert config.server.postmaster == "postmaster@second.example"


def test_everything_written_is_read(files: Files) -> None:
    config = files.load("""
        receive_connectors:
          IP_Relay:
            enabled: false
            comment: no
            bindings: ["[::]:2525"]
            fqdn: mail.example.org
            remote_ip_ranges: [192.168.1.55, {range: 10.1.2.0/28, owner: "scanners, building B", expires: 2027-06-30}]
            permission_groups: [AnonymousUsers]
            extended_rights: {NT AUTHORITY\\Anonymous Logon: [Accept-Any-Recipient], user@example.org: [Accept-Any-Sender]}
            banner: 220 hello
            message_rate_limit: unlimited
            max_message_size: 25 MB
            tarpit_interval: 00:00:00
            connection_timeout: 1h
        certificates:
          - {certificate: tls/mail.pem, private_key: /etc/ssl/mail.key}
        credential_checkers: ["memory:a:b"]
        users: ../accounts
        transport: {message_expiration_timeout: 2d, shutdown_timeout: 0s, max_outbound_connections: unlimited}
    """)
    connector = config.receive_connectors["IP_Relay"]
    assert (connector.enabled, connector.comment, connector.fqdn, connector.banner) == (False, "no", "mail.example.org", "220 hello")
    first, second = connector.remote_ip_ranges
    assert (first.range.text, first.owner, first.expires) == ("192.168.1.55", "", None)
    assert (second.range.size, second.owner, second.expires) == (16, "scanners, building B", datetime.date(2027, 6, 30))
    assert connector.extended_rights == {"Anonymous Logon": ["Accept-Any-Recipient"], "user@example.org": ["Accept-Any-Sender"]}
    assert (connector.max_message_size, connector.tarpit_interval, connector.connection_timeout) == (26214400, 0.0, 3600.0)
    assert config.certificates[0].certificate == str(files.directory / "tls/mail.pem")
    assert config.certificates[0].private_key == "/etc/ssl/mail.key"
    assert config.users == str(files.directory.parent / "accounts")
    assert config.transport.max_outbound_connections is None
    assert config.transport.shutdown_timeout == 0.0


def test_relative_paths_count_from_the_file_that_holds_them(files: Files) -> None:
    files.write(
        """
        accepted_domains:
          a.example: {next_hop: "maildir:mail/a"}
          b.example: {next_hop: "lmtp:unix:sock"}
          c.example: {next_hop: "mailbox.example"}
        send_connectors:
          Out:
            address_spaces: ["*"]
            smart_hosts: ["smtp.example:587"]
            require_tls: true
            smart_host_auth_mechanism: BasicAuthRequireTLS
            authentication_credential: {username: relay, password_file: out.secret}
        """,
        "parts/one.yaml",
    )
    config = files.load("include: [parts/one.yaml]")
    parts = files.directory / "parts"
    hops = [item.next_hop for item in config.accepted_domains.values()]
    assert hops == [
        NextHopValue("maildir", path=str(parts / "mail/a")),
        NextHopValue("lmtp", path=str(parts / "sock")),
        NextHopValue("smtp", "mailbox.example", 25),
    ]
    credential = config.send_connectors["Out"].authentication_credential
    assert credential is not None
    assert credential.password_file == str(parts / "out.secret")


def test_all_errors_at_once(files: Files) -> None:
    problems = files.problems("""\
        accepted_domains:
          akkaya.local: {domain_type: Authoritative}
          "*": {}
        receive_connectors:
          A:
            bindings: ["0.0.0.0:99999"]
            permission_groups: [AnonymousUsers]
            max_message_size: 1KB
          B:
            bindings: ["0.0.0.0:25"]
            colour: red
        transport:
          message_expiration_timeout: 1s
    """)
    assert problems == [
        (
            'relay.yaml:3: accepted_domains."akkaya.local": next_hop is required for an Authoritative domain: where its mailboxes are, '
            "such as 'mailbox.example.org:25'"
        ),
        (
            "relay.yaml:4: accepted_domains.\"*\": the accepted domain '*' would make this an open relay; allowed: domain, or *.domain for "
            "its subdomains"
        ),
        "relay.yaml:7: receive_connectors.A.bindings[0]: '0.0.0.0:99999' has the port '99999'; allowed port: 0 to 65535",
        "relay.yaml:9: receive_connectors.A.max_message_size: '1KB' is out of range; allowed: 64KB to 2147483647",
        "relay.yaml:10: receive_connectors.B.permission_groups: the key 'permission_groups' is required",
        problems[5],
        "relay.yaml:14: transport.message_expiration_timeout: '1s' is out of range; allowed: 5s to 90d",
    ]
    assert problems[5].startswith("relay.yaml:12: receive_connectors.B.colour: unknown key 'colour'; allowed: enabled, comment, bindings")


def test_a_list_item_is_reported_in_its_own_line(files: Files) -> None:
    assert files.problems("""\
        receive_connectors:
          A:
            bindings:
              - 0.0.0.0:25
              - 0.0.0.0:26x
            permission_groups: [AnonymousUsers]
            remote_ip_ranges:
              - 10.0.0.0/8
              - range: 10.0.0.300
                expires: soon
              - {owner: nobody}
    """) == [
        "relay.yaml:6: receive_connectors.A.bindings[1]: '0.0.0.0:26x' has the port '26x'; allowed port: 0 to 65535",
        (
            "relay.yaml:10: receive_connectors.A.remote_ip_ranges[1].range: '10.0.0.300' is no IP address; allowed: 192.0.2.1, "
            "192.0.2.0/24, 192.0.2.1-192.0.2.9 and the same in IPv6"
        ),
        "relay.yaml:11: receive_connectors.A.remote_ip_ranges[1].expires: 'soon' is no day; allowed: yyyy-mm-dd, such as 2027-06-30",
        "relay.yaml:12: receive_connectors.A.remote_ip_ranges[2].range: the key 'range' is required",
    ]


def test_wrong_kinds_of_value(files: Files) -> None:
    assert files.problems("""\
        receive_connectors:
          A:
            bindings: 0.0.0.0:25
            permission_groups: [AnonymousUsers, [ExchangeUsers]]
            fqdn: [a]
            extended_rights: Accept-Any-Recipient
            tarpit_interval: {a: b}
          B: [1]
        send_connectors: [Internet]
        certificates: {a: b}
        users: [a]
    """) == [
        "relay.yaml:4: receive_connectors.A.bindings: must be a list, such as [0.0.0.0:25]",
        (
            "relay.yaml:5: receive_connectors.A.permission_groups[1]: must be one of None, AnonymousUsers, ExchangeUsers, ExchangeServers, "
            "ExchangeLegacyServers, Partners, Custom"
        ),
        "relay.yaml:6: receive_connectors.A.fqdn: must be one text, not a list or a mapping",
        "relay.yaml:7: receive_connectors.A.extended_rights: must be a mapping (lines of 'key: value' below it)",
        (
            "relay.yaml:8: receive_connectors.A.tarpit_interval: a mapping is no text; a duration is allowed: 10m, 5s, 1h, 2d, hh:mm:ss or "
            "dd.hh:mm:ss"
        ),
        "relay.yaml:9: receive_connectors.B: must be a mapping with keys such as enabled, comment, bindings",
        "relay.yaml:10: send_connectors: must be a mapping from names to objects",
        "relay.yaml:11: certificates: must be a list, such as certificates: [...]",
        "relay.yaml:12: users: must be one text, not a list or a mapping",
    ]


def test_the_server_is_required(files: Files) -> None:
    assert files.problems("accepted_domains:\n", server="") == [
        "relay.yaml:1: server: the key 'server' is required; it needs name, fqdn and state_directory"
    ]
    assert files.problems("server:\n  name: x\n  fqdn:\n", server="") == [
        "relay.yaml:1: server.state_directory: the key 'state_directory' is required",
        "relay.yaml:3: server.fqdn: the key 'fqdn' has no value; give it one or leave the key out",
    ]


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^/.*/absent\.yaml: cannot be read: No such file or directory$"):
        load(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_checks_get_their_places(files: Files) -> None:
    seen: list[Config] = []

    def check(config: Config) -> list[Problem]:
        seen.append(config)
        return [
            Problem(("receive_connectors", "A", "bindings", 0), "taken"),
            Problem(path=("accepted_domains", "akkaya.local"), text="odd"),
            Problem(("transport", "shutdown_timeout"), "a default has the place of what is round it"),
        ]

    file = files.write("""\
        server: {name: EXC, fqdn: relay.akkaya.local, state_directory: state}
        accepted_domains:
          AKKAYA.local: {next_hop: x}
        receive_connectors:
          A:
            bindings: ["0.0.0.0:25"]
            permission_groups: [AnonymousUsers]
    """)
    with pytest.raises(ConfigError) as caught:
        load(file, [check])
    assert [(problem.line, problem.text) for problem in caught.value.problems] == [
        (1, "a default has the place of what is round it"),
        (3, "odd"),
        (6, "taken"),
    ]
    assert str(caught.value).startswith(f"{file}:1: transport.shutdown_timeout: a default")
    assert list(seen[0].receive_connectors) == ["A"]


def test_checks_run_on_the_sound_objects_beside_other_errors(files: Files) -> None:
    names: list[str] = []

    def check(config: Config) -> list[Problem]:
        names.extend(config.receive_connectors)
        return [Problem(("receive_connectors", "Good"), "found too")]

    file = files.write("""\
        server: {name: EXC, fqdn: relay.akkaya.local, state_directory: state}
        receive_connectors:
          Bad: {bindings: ["x"], permission_groups: [AnonymousUsers]}
          Good: {bindings: ["0.0.0.0:25"], permission_groups: [AnonymousUsers]}
    """)
    with pytest.raises(ConfigError) as caught:
        load(file, [check])
    assert [problem.line for problem in caught.value.problems] == [3, 4]
    assert names == ["Good"]


def test_load_with_places(files: Files) -> None:
    files.write("send_connectors:\n  Out:\n    address_spaces: ['*']\n", "more.yaml")
    file = files.write("server: {name: EXC, fqdn: relay.akkaya.local, state_directory: state}\ninclude: [more.yaml]\n")
    loaded = load_with_places(file)
    assert loaded.files == (str(file), str(files.directory / "more.yaml"))
    assert str(loaded.places.find(("send_connectors", "Out"))) == f"{files.directory}/more.yaml:2"


def test_checks_see_no_connector_that_has_a_wrong_key(files: Files) -> None:
    seen: list[list[str]] = []

    def check(config: Config) -> list[Problem]:
        seen.append(list(config.receive_connectors))
        return []

    line = "  {}: {{bindings: ['0.0.0.0:25'], permission_groups: [AnonymousUsers]{}}}\n"
    text = "server: {name: EXC, fqdn: relay.akkaya.local, state_directory: state}\nreceive_connectors:\n"
    with pytest.raises(ConfigError):
        load(files.write(text + line.format("a", "") + line.format("b", ", remote_ip_range: [192.0.2.1]")), [check])
    assert seen == [["a"]]
