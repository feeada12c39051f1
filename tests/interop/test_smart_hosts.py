"""Logging in at smart hosts by every mechanism: at another relay of ours, and at a real Dovecot."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import attrs
import pytest
import trustme

from tests.end_to_end.accounts import Server, dovecot_command
from tests.end_to_end.authority import server_context
from tests.end_to_end.relay import Configuration, Relay, article
from tests.end_to_end.sink import Sink
from tests.end_to_end.tokenserver import TokenServer
from tests.interop.accounts import AUDIENCE, ISSUER, PASSWORD, PLAIN_PASSWORD, PLAIN_USER, USER, Issuer
from tests.network import LOOPBACK, answers, eventually, free_port

Program = Callable[[str], str]
HOST = "smarthost.test"

#: Connectors of the smart host: what each offers, by whom and how a client should log in.
OFFERS: dict[str, tuple[Configuration, str, str]] = {
    "plain": ({"auth_mechanism": ["Tls", "BasicAuth", "BasicAuthRequireTLS"]}, USER, "PLAIN"),
    "scram": ({"auth_mechanism": ["Tls", "ScramSha256", "BasicAuth", "BasicAuthRequireTLS"]}, USER, "SCRAM-SHA-256-PLUS"),
    "oldtls": ({"auth_mechanism": ["Tls", "ScramSha256"], "tls_maximum_version": "TLSv1.2"}, USER, "SCRAM-SHA-256-PLUS"),
    "implicit": ({"auth_mechanism": ["Tls", "ScramSha256"], "implicit_tls": True}, USER, "SCRAM-SHA-256-PLUS"),
    "clear": ({"auth_mechanism": ["ScramSha256"]}, USER, "SCRAM-SHA-256"),
    "cram": ({"auth_mechanism": ["Tls", "CramMd5", "BasicAuth", "BasicAuthRequireTLS"]}, PLAIN_USER, "CRAM-MD5"),
    "token": ({"auth_mechanism": ["Tls", "XOAuth2", "BasicAuth", "BasicAuthRequireTLS"]}, USER, "OAUTHBEARER"),
}


@attrs.frozen
class Trust:
    """An authority, and the files that a relay needs of it."""

    authority: trustme.CA
    directory: Path

    @property
    def file(self) -> str:
        """Its certificate."""
        return str(self.directory / "ca.pem")

    def certificate(self) -> tuple[str, str]:
        """The smart host's certificate and key."""
        issued = self.authority.issue_cert(HOST)
        issued.cert_chain_pems[0].write_to_path(str(self.directory / "host.pem"))
        issued.private_key_pem.write_to_path(str(self.directory / "host.key"))
        return str(self.directory / "host.pem"), str(self.directory / "host.key")

    def secret(self, text: str) -> str:
        """A file with a secret."""
        file = self.directory / f"secret-{len(text)}"
        file.write_text(text + "\n", encoding="utf-8")
        return str(file)


@pytest.fixture
def trust() -> Iterator[Trust]:
    """A L{Trust} in a directory that everybody may read."""
    directory = Path(tempfile.mkdtemp(prefix="smarthost-"))
    directory.chmod(0o755)
    made = Trust(trustme.CA(), directory)
    made.authority.cert_pem.write_to_path(made.file)
    yield made
    shutil.rmtree(directory, ignore_errors=True)


def sending(domain: str, hop: str, credential: Configuration, **more: Any) -> Configuration:
    """A send connector that logs in under verified TLS, unless C{more} says otherwise."""
    tls = {"require_tls": True, "tls_auth_level": "DomainValidation", "tls_domain": HOST}
    mechanism = {"smart_host_auth_mechanism": "XOAuth2" if "oauth" in credential else "BasicAuthRequireTLS"}
    return {"address_spaces": [domain], "smart_hosts": [hop], "authentication_credential": credential, **tls, **mechanism, **more}


def test_another_relay_of_ours(trust: Trust) -> None:
    """Each mechanism, with channel binding of both kinds, and no password or token in any log."""
    issuer = Issuer()
    with ExitStack() as stack:
        outside, mailbox = stack.enter_context(Sink()), stack.enter_context(Sink())
        tokens = stack.enter_context(TokenServer(server_context(trust.authority, "localhost")))
        tokens.make_token = issuer.token
        smart_host = stack.enter_context(_smart_host(trust, issuer, outside))
        configuration, ports = article(mailbox.hop)
        configuration["send_connectors"] = {}
        for name, (_, user, _) in OFFERS.items():
            secret = trust.secret(PASSWORD if user == USER else PLAIN_PASSWORD)
            credential: Configuration = {"username": user, "password_file": secret}
            more: Configuration = {}
            if name == "token":
                oauth = {"client_id": tokens.client_id, "client_secret_file": trust.secret(tokens.client_secret), "token_url": tokens.url()}
                credential = {"username": user, "oauth": {"grant_type": "client_credentials", "ca_file": trust.file, **oauth}}
            elif name == "clear":
                more = {"require_tls": False, "smart_host_auth_mechanism": "BasicAuth"}
            elif name == "implicit":
                more = {"implicit_tls": True}
            connector = sending(f"{name}.test", f"{LOOPBACK}:{smart_host.ports[name]}", credential, **more)
            if name == "clear":
                del connector["tls_auth_level"], connector["tls_domain"]
            configuration["send_connectors"][name] = connector
        with Relay(configuration, ports, environment={"SSL_CERT_FILE": trust.file}) as relay:
            for name, (_, user, _) in OFFERS.items():
                relay.submit([f"someone@{name}.test"], sender=user)
            eventually(lambda: len(outside.delivered) == len(OFFERS), "all arrive")
            eventually(relay.is_empty, "nothing waits")
            outputs = relay.output() + smart_host.output()
        for name, (_, user, mechanism) in OFFERS.items():
            lines = [line for line in smart_host.output().splitlines() if f"login user={user} mechanism={mechanism} " in line]
            assert any(f"connector={name}" in line for line in lines), (name, smart_host.output()[-4000:])
        assert not any(secret in outputs for secret in (PASSWORD, PLAIN_PASSWORD, *tokens.access_tokens))


def _smart_host(trust: Trust, issuer: Issuer, outside: Sink) -> Relay:
    configuration, _ = article(outside.hop, outside.hop)
    certificate, key = trust.certificate()
    directory = trust.directory
    (directory / "keys.json").write_text(issuer.jwks())
    (directory / "plain").write_text(f"{PLAIN_USER}:{PLAIN_PASSWORD}\n")
    ports = {name: free_port() for name in OFFERS}
    ports["relay"] = ports["plain"]
    common = {"permission_groups": ["ExchangeUsers"], "fqdn": HOST, "max_inbound_connection_percentage_per_source": 100}
    configuration["receive_connectors"] = {
        name: {"bindings": [f"{LOOPBACK}:{ports[name]}"], **offer, **common} for name, (offer, _, _) in OFFERS.items()
    }
    configuration["certificates"] = [{"certificate": certificate, "private_key": key}]
    configuration["credential_checkers"] = [f"file:{directory / 'plain'}"]
    configuration["oauth_providers"] = [{"issuer": ISSUER, "audience": AUDIENCE, "keys_file": str(directory / "keys.json")}]
    relay = Relay(configuration, ports)
    relay.state.mkdir()
    relay.add_user(USER, PASSWORD)
    return relay


_DOVECOT = """\
protocols = submission
base_dir = {base}/run
state_dir = {base}/state
log_path = /dev/stderr
ssl = required
ssl_cert = <{certificate}
ssl_key = <{key}
hostname = smarthost.test
default_internal_user = nobody
default_internal_group = nogroup
default_login_user = nobody
auth_mechanisms = {mechanism}
auth_failure_delay = 0
mail_location = maildir:{base}/mail
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {base}/passwd
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={base}
}}
service submission-login {{
  inet_listener submission {{
    address = 127.0.0.1
    port = {port}
  }}
}}
submission_relay_host = 127.0.0.1
submission_relay_port = {sink}
"""


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "CRAM-MD5", "PLAIN", "LOGIN"])
def test_dovecot(trust: Trust, program: Program, mechanism: str) -> None:
    """A real submission server; a wrong password waits for the right one."""
    program("submission-login")
    base, port = trust.directory, free_port()
    certificate, key = trust.certificate()
    (base / "passwd").write_text(f"{USER}:{PASSWORD}\n", encoding="utf-8")
    (base / "mail").mkdir()
    (base / "mail").chmod(0o777)
    file = base / "dovecot.conf"
    command = dovecot_command(file)
    with Sink() as outside, Sink() as mailbox:
        text = _DOVECOT.format(base=base, certificate=certificate, key=key, mechanism=mechanism.lower(), port=port, sink=outside.port)
        file.write_text(text)
        configuration, ports = article(mailbox.hop)
        secret = Path(trust.secret("not the password"))
        credential = {"username": USER, "password_file": str(secret)}
        configuration["send_connectors"] = {"Dovecot": sending("*", f"{LOOPBACK}:{port}", credential)}
        with (
            Server(command, lambda: answers(port), base / "log"),
            Relay(configuration, ports, environment={"SSL_CERT_FILE": trust.file}) as relay,
        ):
            relay.submit(["someone@example.test"])
            [row] = eventually(lambda: [row for row in relay.queues(status="Retry") if row["last_error"]], "it waits")
            assert row["last_error"].startswith("454 4.7.0 Login refused by the server: 535"), row["last_error"]
            secret.write_text(PASSWORD + "\n", encoding="utf-8")
            eventually(lambda: outside.delivered, f"it arrives: {(base / 'log').read_text()}")
            eventually(relay.is_empty, "nothing waits")
            assert PASSWORD not in relay.output()
        assert mailbox.delivered == []
        assert "method=" + mechanism in (base / "log").read_text()
