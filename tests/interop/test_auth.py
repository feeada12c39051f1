"""Every login mechanism: real clients against the real daemon, wrong secrets, and no secret in any log."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
import subprocess
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from tests.end_to_end.relay import Relay
from tests.end_to_end.sink import Sink
from tests.interop import saslclient
from tests.interop.accounts import (
    MACHINE,
    PASSWORD,
    PLAIN_PASSWORD,
    PLAIN_USER,
    USER,
    Issuer,
    certificate,
    relay_with_logins,
)
from tests.network import LOOPBACK, PATIENCE, Dialogue, eventually, unverified

CONTENT = "Subject: Test email\r\n\r\nTesting\r\n"
Program = Callable[[str], str]


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def outside() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


@pytest.fixture(scope="module")
def relay(issuer: Issuer, authority: trustme.CA, outside: Sink) -> Iterator[Relay]:
    with relay_with_logins(issuer, authority, outside.hop, outside.hop) as relay:
        relay.add_user(USER, PASSWORD)
        yield relay


class Session:
    """A session on the submission port, under TLS."""

    def __init__(self, relay: Relay, context: ssl.SSLContext | None = None) -> None:
        self._dialogue = Dialogue(relay.ports["submission"])
        self._dialogue.command("EHLO client.example")
        said = self._dialogue.command("STARTTLS")
        assert said.startswith("220"), said
        self.tls = self._dialogue._socket = (context or unverified()).wrap_socket(self._dialogue._socket, server_hostname="localhost")
        self.say = self._dialogue.command
        self.hello = self.say("EHLO client.example")

    @property
    def mechanisms(self) -> list[str]:
        """What is offered."""
        return next(line for line in self.hello.splitlines() if line[4:].startswith("AUTH")).split()[1:]

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._dialogue.close()


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def logins(relay: Relay, mechanism: str, user: str = USER) -> int:
    return relay.output().count(f"login user={user} mechanism={mechanism} ")


@pytest.fixture
def logged_in(relay: Relay) -> Callable[[str, str], None]:
    """Waits until the log tells of another login."""
    counts: dict[tuple[str, str], int] = {}
    for name in ("PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "XOAUTH2", "OAUTHBEARER", "EXTERNAL"):
        for user in (USER, PLAIN_USER, MACHINE):
            counts[name, user] = logins(relay, name, user)

    def wait(mechanism: str, user: str) -> None:
        eventually(lambda: logins(relay, mechanism, user) > counts[mechanism, user], f"a login by {mechanism}")

    return wait


def test_what_is_offered(relay: Relay) -> None:
    with relay.dialogue("submission") as clear:
        assert "AUTH" not in clear.command("EHLO client.example")
        for name in ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS", "CRAM-MD5", "EXTERNAL", "XOAUTH2", "OAUTHBEARER"):
            assert clear.command(f"AUTH {name}").startswith(("538", "421"))
    with Session(relay) as session:
        assert session.mechanisms == ["LOGIN", "PLAIN", "SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER"]
        assert session.say("AUTH EXTERNAL =").startswith("504")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5", "OAUTHBEARER"])
@pytest.mark.parametrize("port", ["submission", "submissions"])
def test_curl(relay: Relay, issuer: Issuer, program: Program, logged_in: Callable[[str, str], None], mechanism: str, port: str) -> None:
    mail = relay.directory / "mail"
    mail.write_text(CONTENT)
    user, password = (PLAIN_USER, PLAIN_PASSWORD) if mechanism == "CRAM-MD5" else (USER, PASSWORD)
    bearer = ["--oauth2-bearer", issuer.token(), "--user", f"{user}:"]
    secret = bearer if "OAUTH" in mechanism else ["--user", f"{user}:{password}"]
    scheme = "smtps" if port == "submissions" else "smtp"
    options = ["-sS", "--insecure", "--ssl-reqd", "--login-options", f"AUTH={mechanism}", "--max-time", "60", "-T", str(mail)]
    url = f"{scheme}://{LOOPBACK}:{relay.ports[port]}/client.example"
    done = run(program("curl"), *options, *secret, "--url", url, "--mail-from", user, "--mail-rcpt", "cengiz@gmail.com")
    assert done.returncode == 0, done.stderr
    logged_in(mechanism, user)


def test_curl_with_a_bad_token(relay: Relay, issuer: Issuer, program: Program) -> None:
    mail = relay.directory / "mail"
    mail.write_text(CONTENT)
    options = ["-sS", "--insecure", "--ssl-reqd", "--login-options", "AUTH=OAUTHBEARER", "--max-time", "60", "-T", str(mail)]
    secret = ["--oauth2-bearer", issuer.token(exp=int(time.time()) - 3600), "--user", f"{USER}:"]
    url = f"smtp://{LOOPBACK}:{relay.ports['submission']}/client.example"
    done = run(program("curl"), *options, *secret, "--url", url, "--mail-from", USER, "--mail-rcpt", "cengiz@gmail.com")
    assert done.returncode == 67, done.stderr  # CURLE_LOGIN_DENIED


@pytest.mark.parametrize("name", [USER, MACHINE])
def test_curl_with_a_certificate(
    relay: Relay, authority: trustme.CA, program: Program, logged_in: Callable[[str, str], None], name: str
) -> None:
    """The certificate names a user, or somebody with rights of its own."""
    mail = relay.directory / "mail"
    mail.write_text(CONTENT)
    shown, key = certificate(authority, relay.directory, name)
    options = ["-sS", "--insecure", "--ssl-reqd", "--login-options", "AUTH=EXTERNAL", "--max-time", "60", "-T", str(mail)]
    url = f"smtp://{LOOPBACK}:{relay.ports['submission']}/client.example"
    login = ["--cert", shown, "--key", key, "--user", f"{name}:"]
    done = run(program("curl"), *options, *login, "--url", url, "--mail-from", name, "--mail-rcpt", "cengiz@gmail.com")
    assert done.returncode == 0, done.stderr
    logged_in("EXTERNAL", name)


def test_certificates_that_do_not_do(relay: Relay, authority: trustme.CA) -> None:
    """Of another authority: EXTERNAL is not offered.  Of a stranger, or for another user: refused."""
    for issued, user, offered, code in (
        (trustme.CA().issue_cert(USER), "", False, "504"),
        (authority.issue_cert("stranger@akkaya.local"), "", True, "535"),
        (authority.issue_cert(USER), MACHINE, True, "535"),
        (authority.issue_cert(USER), USER, True, "235"),
    ):
        context = unverified()
        issued.configure_cert(context)
        with Session(relay, context) as session:
            assert ("EXTERNAL" in session.mechanisms) is offered
            assert session.say(f"AUTH EXTERNAL {b64encode(user.encode()).decode() or '='}").startswith(code)


def test_smtplib(relay: Relay, logged_in: Callable[[str, str], None]) -> None:
    """It prefers CRAM-MD5."""
    import smtplib

    with smtplib.SMTP(LOOPBACK, relay.ports["submission"], timeout=PATIENCE) as client:
        client.starttls(context=unverified())
        client.login(PLAIN_USER, PLAIN_PASSWORD)
        client.sendmail(PLAIN_USER, ["cengiz@gmail.com"], CONTENT)
    logged_in("CRAM-MD5", PLAIN_USER)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "CRAM-MD5"])
def test_swaks(relay: Relay, program: Program, logged_in: Callable[[str, str], None], mechanism: str) -> None:
    command = [program("swaks"), "--server", LOOPBACK, "--port", str(relay.ports["submission"]), "-tls", "--auth", mechanism]
    command += ["--auth-user", PLAIN_USER, "--auth-password", PLAIN_PASSWORD, "--from", PLAIN_USER, "--to", "cengiz@gmail.com"]
    done = run(*command, "--timeout", "60s")
    assert done.returncode == 0, done.stdout + done.stderr
    logged_in(mechanism, PLAIN_USER)
    assert run(*command[:-6], "--auth-password", "wrong", *command[-4:]).returncode == 28  # none succeeded


@pytest.mark.parametrize("mechanism", ["plain", "scram-sha-256", "xoauth2", "oauthbearer"])
def test_msmtp(relay: Relay, issuer: Issuer, program: Program, logged_in: Callable[[str, str], None], mechanism: str) -> None:
    secret = issuer.token() if "oauth" in mechanism else PASSWORD
    settings = relay.directory / "msmtprc"
    for given, status in ((secret, 0), ("wrong", 77)):  # EX_NOPERM
        settings.write_text(
            f"account default\nhost {LOOPBACK}\nport {relay.ports['submission']}\ntls on\ntls_starttls on\ntls_certcheck off\n"
            f'auth {mechanism}\nuser {USER}\npasswordeval "cat {relay.directory / "secret"}"\nfrom {USER}\n'
        )
        settings.chmod(0o600)
        (relay.directory / "secret").write_text(given + "\n")
        command = [program("msmtp"), "-C", str(settings), "cengiz@gmail.com"]
        done = subprocess.run(command, input=CONTENT, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == status, done.stderr
    logged_in(mechanism.upper(), USER)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"])
def test_gsasl(relay: Relay, program: Program, logged_in: Callable[[str, str], None], mechanism: str) -> None:
    """GNU SASL's own client: channel binding by tls-exporter."""
    command = [program("gsasl"), "--smtp", f"--connect={LOOPBACK}:{relay.ports['submission']}", "--x509-ca-file=", "--quiet"]
    command += [f"--mechanism={mechanism}", f"--authentication-id={USER}"]
    if mechanism == "SCRAM-SHA-256":
        command.append("--no-cb")
    if mechanism == "PLAIN":
        command.append("--authorization-id=")
    done = subprocess.run([*command, f"--password={PASSWORD}"], input="", capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    logged_in(mechanism, USER)
    done = subprocess.run([*command, "--password=wrong"], input="", capture_output=True, text=True, check=False, timeout=PATIENCE)
    assert done.returncode != 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_channel_binding_to_the_certificate(relay: Relay, version: ssl.TLSVersion) -> None:
    """tls-server-end-point in both versions; a binding to another channel is refused, and tls-exporter where it is not safe."""
    context = unverified()
    context.minimum_version = context.maximum_version = version
    header = "p=tls-server-end-point,,"
    with Session(relay, context) as session:
        assert saslclient.scram(session.say, USER, PASSWORD, header, b"another channel").startswith("535")
        assert saslclient.scram(session.say, USER, PASSWORD, "p=tls-exporter,,", b"another channel").startswith("535")
        assert saslclient.scram(session.say, USER, PASSWORD, header, saslclient.end_point(session.tls)).startswith("235")


def test_a_downgrade_is_seen(relay: Relay) -> None:
    """A client that knows of channel bindings was told that we do not."""
    with Session(relay) as session:
        assert saslclient.scram(session.say, USER, PASSWORD, "y,,").startswith("535")
        assert saslclient.scram(session.say, USER, PASSWORD, "n,,").startswith("235")


def test_users_that_do_not_exist_look_as_if(relay: Relay) -> None:
    """SCRAM's first challenge is of one kind for all names, and the same each time."""
    with Session(relay) as session:

        def salt(name: str) -> str:
            from base64 import b64decode

            said = session.say("AUTH SCRAM-SHA-256 " + b64encode(f"n,,n={name},r=x".encode()).decode())
            assert said.startswith("334"), said
            assert session.say("*").startswith("501")
            session.say("RSET")
            return b64decode(said[4:]).decode().partition(",")[2]

        # Five protocol errors end a session.
        known, unknown = salt(USER), salt("nobody@akkaya.local")
        assert unknown == salt("nobody")
        assert unknown != known
        assert len(unknown) == len(known)


def segment(values: dict[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def bad_tokens(issuer: Issuer) -> dict[str, str]:
    """Tokens that must not do."""
    now = int(time.time())
    claims = {"iss": "https://login.example", "aud": "relay.akkaya.local", "exp": now + 600, "email": USER, "scope": "smtp.send"}
    public = issuer.key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    forged = f"{segment({'alg': 'HS256', 'typ': 'JWT', 'kid': 'first'})}.{segment(claims)}"  # PyJWT itself would not
    signature = urlsafe_b64encode(hmac.digest(public, forged.encode(), "sha256")).decode().rstrip("=")
    other = Issuer()
    return {
        "expired": issuer.token(exp=now - 3600),
        "for another audience": issuer.token(aud="another"),
        "of another issuer": issuer.token(iss="https://evil.example"),
        "without the scope": issuer.token(scope="openid profile"),
        "for another user": issuer.token("boss@akkaya.local"),
        "of a stranger": issuer.token("stranger@gmail.com"),
        "unsigned": jwt.encode(claims, "", algorithm="none", headers={"kid": "first"}),
        "HS256 with the public key": f"{forged}.{signature}",
        "another key under our kid": jwt.encode(claims, other.key, algorithm="RS256", headers={"kid": "first"}),
        "an unknown kid": jwt.encode(claims, issuer.key, algorithm="RS256", headers={"kid": "../../first"}),
        "another RSA algorithm": jwt.encode(claims, issuer.key, algorithm="RS512", headers={"kid": "first"}),
        "no token": "abc",
    }


def test_bad_tokens(relay: Relay, issuer: Issuer) -> None:
    for mechanism in (saslclient.xoauth2, saslclient.oauthbearer):
        for what, token in bad_tokens(issuer).items():
            with Session(relay) as session:
                assert mechanism(session.say, USER, token).startswith("535"), what
    with Session(relay) as session:
        assert saslclient.oauthbearer(session.say, USER, issuer.token()).startswith("235")


def test_no_secret_is_in_any_log(relay: Relay, issuer: Issuer) -> None:
    """Every mechanism, right and wrong, whole and cut short; then look for what must not be there, in every spelling of it."""
    secrets = {
        "right": PASSWORD,
        "plain": PLAIN_PASSWORD,
        "wrong": "wr0ng-guess-8837",
        "token": issuer.token(),
        "bad": issuer.token(aud="x"),
    }
    for name, mechanism in saslclient.MECHANISMS.items():
        for user in (USER, PLAIN_USER, "nobody@akkaya.local"):
            for secret in secrets.values():
                with Session(relay) as session:
                    assert mechanism(session.say, user, secret)[:3] in ("235", "535", "501"), name
    blob = b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
    for lines in (
        [f"AUTH PLAIN {blob}!"],
        ["AUTH LOGIN", b64encode(USER.encode()).decode(), b64encode(PASSWORD.encode()).decode()[:-1]],
        ["AUTH NONSENSE " + blob, blob, PASSWORD],
        [f"AUTH  PLAIN {blob}"],
    ):
        with Session(relay) as session:
            for line in lines:
                session.say(line)
    with relay.dialogue("submission") as clear:
        clear.command("EHLO x")
        clear.command(f"AUTH PLAIN {blob}")
    eventually(lambda: "AUTH" in relay.output(), "the log tells of them")
    time.sleep(1.0)  # lines are gathered for a moment
    logs = [path for path in relay.directory.rglob("*") if path.is_file() and (path.suffix == ".log" or "log" in path.parent.name.lower())]
    assert relay.log in logs
    texts = {path.name: path.read_bytes() for path in logs}
    for name, secret in secrets.items():
        octets = secret.encode()
        forms = [octets, b64encode(octets), b64encode(octets)[:-4], octets.hex().encode(), hashlib.md5(octets).hexdigest().encode()]
        forms += [hashlib.sha256(octets).hexdigest().encode(), b64encode(f"\0{USER}\0{secret}".encode())[30:-4]]
        forms += [b64encode(f"\0{PLAIN_USER}\0{secret}".encode())[32:-4], repr(secret)[1:-1].encode()]
        if len(secret) > 100:
            forms += [secret.split(".")[2].encode(), secret.split(".")[1].encode()]
        for form in forms:
            for file, text in texts.items():
                assert len(form) < 6 or form not in text, (name, file, form)
    for word in (b"$argon2id$", b"SCRAM-SHA-256$", b",p=", b"auth=Bearer"):
        assert not any(word in text for text in texts.values()), word


def test_guessing_is_locked_out(issuer: Issuer, authority: trustme.CA, outside: Sink) -> None:
    """After the threshold even the right password is not looked at, is told so by 454, and once in the log; a token still does."""
    relay = relay_with_logins(issuer, authority, outside.hop, outside.hop)
    relay.configuration["server"] |= {"logon_lockout_threshold": 3, "logon_lockout_interval": "2s"}
    relay.write()
    with relay:
        relay.add_user(USER, PASSWORD)
        with Session(relay) as session:
            for mechanism in (saslclient.plain, saslclient.login, saslclient.scram):
                assert mechanism(session.say, USER, "wrong").startswith("535")
            for mechanism in (saslclient.plain, saslclient.login, saslclient.scram):
                assert mechanism(session.say, USER, PASSWORD) == (
                    "454 4.7.0 Too many failed logons, try again later (logon_lockout_threshold)"
                )
            assert saslclient.plain(session.say, "another@akkaya.local", "x").startswith("535")
            assert saslclient.oauthbearer(session.say, USER, issuer.token()).startswith("235")
        with Session(relay) as session:
            eventually(lambda: saslclient.plain(session.say, USER, PASSWORD).startswith("235"), "the lock ends")
        eventually(lambda: "logons locked" in relay.output(), "the log tells of it")
        assert relay.output().count("logons locked") == 1
        assert f"logons locked user={USER} source=127.0.0.0/24 seconds=2 limit=logon_lockout_threshold" in relay.output()
