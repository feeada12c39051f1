"""Send connectors: which one mail leaves by, and how it logs in to a smart host."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.end_to_end.authority import server_context
from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Login, Sink
from tests.network import LOOPBACK, eventually, free_port

USER, PASSWORD = "relay@partner.test", "s3cret pass"
PARTNER = "smtp.partner.test"


@pytest.fixture
def files(tmp_path: Path) -> tuple[trustme.CA, Path, Path]:
    """An authority, its certificate's file, and a password file."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    (tmp_path / "password").write_text(PASSWORD + "\n")
    return authority, tmp_path / "authority.pem", tmp_path / "password"


@pytest.fixture
def sinks() -> Iterator[ExitStack]:
    """Stops all sinks that enter it."""
    with ExitStack() as stack:
        yield stack


def partner(sinks: ExitStack, **options: Any) -> Sink:
    """A smart host that wants a login."""
    sink = sinks.enter_context(Sink(**options))
    sink.accounts = {USER: PASSWORD}
    return sink


def with_login(domain: str, hop: str, password: Path, **more: Any) -> dict[str, Any]:
    """A connector for a domain, as a relay of an organization logs in to its provider."""
    return {
        "address_spaces": [domain],
        "smart_hosts": [hop],
        "smart_host_auth_mechanism": "BasicAuthRequireTLS",
        "authentication_credential": {"username": USER, "password_file": str(password)},
        **more,
    }


VERIFIED = {"require_tls": True, "tls_auth_level": "DomainValidation", "tls_domain": PARTNER}


def test_login_over_verified_tls(files: tuple[trustme.CA, Path, Path], sinks: ExitStack) -> None:
    """PLAIN, LOGIN and implicit TLS, a trusted authority by C{SSL_CERT_FILE}; without TLS only where that was configured."""
    authority, trusted, password = files
    good = server_context(authority, PARTNER)
    plain, login = partner(sinks, tls=good), partner(sinks, tls=good)
    login.mechanisms = ["LOGIN"]
    implicit = partner(sinks, tls=server_context(authority, LOOPBACK), implicit_tls=True)
    clear = partner(sinks)
    configuration, ports = article(sinks.enter_context(Sink()).hop)
    configuration["send_connectors"] = {
        "Plain": with_login("plain.test", plain.hop, password, **VERIFIED),
        "Login": with_login("login.test", login.hop, password, **VERIFIED),
        "Implicit": with_login("implicit.test", implicit.hop, password, implicit_tls=True),
        "Clear": with_login("clear.test", clear.hop, password, smart_host_auth_mechanism="BasicAuth"),
    }
    with Relay(configuration, ports, environment={"SSL_CERT_FILE": str(trusted)}) as relay:
        for name in ("plain", "login", "implicit", "clear"):
            relay.submit([f"user@{name}.test"])
        for sink in (plain, login, implicit, clear):
            eventually(lambda sink=sink: sink.delivered, "it arrives")  # type: ignore[misc]
        eventually(relay.is_empty, "nothing waits any more")
        assert PASSWORD not in relay.output()
    assert plain.logins == [Login("PLAIN", USER, PASSWORD, True)]
    assert login.logins == [Login("LOGIN", USER, PASSWORD, True)]
    assert implicit.logins == [Login("PLAIN", USER, PASSWORD, True)]
    assert clear.logins == [Login("PLAIN", USER, PASSWORD, False)]
    assert all(sink.delivered[0].secure for sink in (plain, login, implicit))


def test_whom_a_password_is_not_sent_to(files: tuple[trustme.CA, Path, Path], sinks: ExitStack) -> None:
    """A certificate of another name or of an unknown authority, and no TLS at all: mail waits, says why, and nothing goes in clear text."""
    authority, trusted, password = files
    other_name = partner(sinks, tls=server_context(authority, "smtp.elsewhere.test"))
    other_authority = partner(sinks, tls=server_context(trustme.CA(), PARTNER))
    without_tls = partner(sinks)
    encrypted = sinks.enter_context(Sink(tls=server_context(trustme.CA(), "anything.test")))
    configuration, ports = article(sinks.enter_context(Sink()).hop)
    configuration["send_connectors"] = {
        "Name": with_login("name.test", other_name.hop, password, **VERIFIED),
        "Authority": with_login("authority.test", other_authority.hop, password, require_tls=True, tls_auth_level="CertificateValidation"),
        "Without": with_login("without.test", without_tls.hop, password),
        "Encrypted": {"address_spaces": ["encrypted.test"], "smart_hosts": [encrypted.hop], "require_tls": True},
    }
    with Relay(configuration, ports, environment={"SSL_CERT_FILE": str(trusted)}) as relay:
        for name in ("name", "authority", "without", "encrypted"):
            relay.submit([f"user@{name}.test"])
        eventually(lambda: encrypted.delivered, "encryption alone verifies nothing")
        assert encrypted.delivered[0].secure
        eventually(lambda: len(relay.queues(status="Retry", message_count=1)) == 3, "three wait")
        errors = {row["next_hop_connector"]: row["last_error"] for row in relay.queues(message_count=1)}
        assert f"certificate is not for {PARTNER}" in errors["Name"]
        assert "certificate cannot be trusted" in errors["Authority"]
        assert "TLS is required" in errors["Without"]
        assert all(error.startswith("4") for error in errors.values())
    for sink in (other_name, other_authority, without_tls):
        assert (sink.logins, sink.delivered) == ([], [])
        assert not any(command.startswith(("AUTH", "MAIL")) for command in sink.commands)


def test_a_refused_login_waits_for_the_right_password(files: tuple[trustme.CA, Path, Path], sinks: ExitStack) -> None:
    """535 is our own trouble: nothing is returned; with the password file corrected the mail goes out, without a restart."""
    authority, trusted, password = files
    password.write_text("wr0ng pass\n")
    sink = partner(sinks, tls=server_context(authority, PARTNER))
    mailbox = sinks.enter_context(Sink())
    configuration, ports = article(mailbox.hop)
    configuration["send_connectors"] = {"Partner": with_login("partner.test", sink.hop, password, **VERIFIED)}
    with Relay(configuration, ports, environment={"SSL_CERT_FILE": str(trusted)}) as relay:
        relay.submit(["user@partner.test"])
        [row] = eventually(lambda: relay.queues(status="Retry"), "it waits")
        assert row["last_error"].startswith("454 4.7.0")
        assert "535 5.7.8 wrong password" in row["last_error"]
        password.write_text(PASSWORD + "\n")
        eventually(lambda: sink.delivered, "it arrives")
        eventually(relay.is_empty, "nothing waits any more")
        assert "wr0ng pass" not in relay.output()
    assert mailbox.delivered == []


def test_the_way_out(sinks: ExitStack) -> None:
    """Accepted domains before connectors; of these the most specific address space, then the cost; of smart hosts the first that lives."""
    names = ("mailbox", "branch", "shared", "exact", "below", "cheap", "rest")
    at = {name: sinks.enter_context(Sink()) for name in names}
    configuration, ports = article(at["mailbox"].hop)
    configuration["accepted_domains"] |= {
        "*.branch.test": {"next_hop": at["branch"].hop},
        "shared.test": {"domain_type": "InternalRelay", "next_hop": at["shared"].hop},
        "elsewhere.test": {"domain_type": "InternalRelay"},
    }
    configuration["send_connectors"] = {
        "Rest": {"address_spaces": ["*"], "smart_hosts": [f"{LOOPBACK}:{free_port()}", at["rest"].hop]},
        "Below": {"address_spaces": ["*.partner.test"], "smart_hosts": [at["below"].hop]},
        "Exact": {"address_spaces": ["mail.partner.test;20"], "smart_hosts": [at["exact"].hop]},
        "A dear one": {"address_spaces": ["two.test;10"], "smart_hosts": [at["rest"].hop]},
        "Cheap": {"address_spaces": ["two.test;5"], "smart_hosts": [at["cheap"].hop]},
        "Switched off": {"enabled": False, "address_spaces": ["two.test;1"], "smart_hosts": [at["rest"].hop]},
    }
    wanted = {
        "user@akkaya.local": "mailbox",
        "user@a.branch.test": "branch",
        "user@A.B.Branch.Test": "branch",
        "user@branch.test": "rest",
        "user@shared.test": "shared",
        "user@elsewhere.test": "rest",
        "user@mail.partner.test": "exact",
        "user@other.partner.test": "below",
        "user@partner.test": "below",
        "user@two.test": "cheap",
        "user@example.test": "rest",
    }
    with Relay(configuration, ports) as relay:
        with relay.dialogue() as stranger:
            stranger.command("EHLO client")
            stranger.command("MAIL FROM:<a@client.example>")
            for ours in ("user@a.branch.test", "user@shared.test", "user@elsewhere.test"):
                assert stranger.command(f"RCPT TO:<{ours}>").startswith("250")
            assert stranger.command("RCPT TO:<user@branch.test>").startswith("550 5.7.54")
        relay.submit(list(wanted))
        eventually(lambda: sum(len(message.recipients) for sink in at.values() for message in sink.delivered) == len(wanted), "all arrive")
        eventually(relay.is_empty, "nothing waits any more")
    went = {recipient: name for name, sink in at.items() for message in sink.delivered for recipient in message.recipients}
    assert {who.lower(): name for who, name in went.items()} == {who.lower(): name for who, name in wanted.items()}
