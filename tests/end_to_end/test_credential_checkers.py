"""Logins judged by the real Dovecot, by PAM and by the real slapd, through the real daemon."""

from __future__ import annotations

import smtplib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.end_to_end.accounts import BASE, GROUPS, PEOPLE, SERVICE, Program, Slapd, dovecot, pam_stack, silent_server, tried
from tests.end_to_end.relay import Relay, article
from tests.end_to_end.sink import Sink
from tests.network import LOOPBACK, PATIENCE, eventually, unverified
from tests.programs import in_ci

GOOD, WRONG, NOBODY_KNOWS, BAD_RESPONSE = 235, 535, 454, 501


def login(relay: Relay, user: str, password: str, send_as: str = "", port: str = "submission") -> int:
    """The reply to AUTH; with C{send_as}, the reply to MAIL FROM after a good one."""
    with smtplib.SMTP(LOOPBACK, relay.ports[port], timeout=PATIENCE) as client:
        client.starttls(context=unverified())
        client.ehlo()
        client.user, client.password = user, password
        try:
            code, _ = client.auth("PLAIN", lambda challenge=None: f"\0{user}\0{password}")
        except smtplib.SMTPAuthenticationError as error:
            return error.smtp_code
        return client.mail(send_as)[0] if send_as else code


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that other users may enter; pytest's own are closed to them."""
    with tempfile.TemporaryDirectory(prefix="accounts-") as made:
        directory = Path(made).resolve()
        directory.chmod(0o755)
        yield directory


def relay_with(*checkers: str, environment: dict[str, str] | None = None, next_hop: str = "127.0.0.1:1", **connector: Any) -> Relay:
    """The article's relay, with these credential checkers."""
    configuration, ports = article(next_hop)
    configuration["credential_checkers"] = list(checkers)
    configuration["server"]["logon_lockout_threshold"] = 0
    configuration["receive_connectors"]["Client Frontend"] |= {"max_logon_failures": 0} | connector
    return Relay(configuration, ports, environment=environment)


def test_dovecot(place: Path, program: Program) -> None:
    """Good and bad logins, a lost server and its return, and the addresses that Dovecot is told."""
    (place / "passwd").write_text("cengiz@akkaya.local:geheim::::::\nscanner:papier::::::user=Scanner-7\n")
    server = dovecot(place, program)
    with server, relay_with(f"dovecot:{place}/auth-client:domain=akkaya.local") as relay:
        assert login(relay, "Cengiz@akkaya.local", "geheim", send_as="cengiz@akkaya.local") == 250
        assert login(relay, "cengiz@akkaya.local", "geheim", send_as="boss@akkaya.local") == 550
        assert login(relay, "cengiz@akkaya.local", "falsch") == WRONG
        assert login(relay, "nobody@akkaya.local", "geheim") == WRONG
        assert login(relay, "cengiz@other.test", "geheim") == WRONG
        assert login(relay, "cengiz@akkaya.local", "a\tb") == WRONG
        assert login(relay, "scanner", "papier", send_as="scanner-7@akkaya.local") == 250
        assert f"(cengiz@akkaya.local,{LOOPBACK}): Password mismatch" in server.log.read_text()
        relay.add_user("local@akkaya.local", "hier")
        server.stop()
        assert login(relay, "cengiz@akkaya.local", "geheim") == NOBODY_KNOWS
        assert login(relay, "local@akkaya.local", "hier") == GOOD
        server.start()
        eventually(lambda: login(relay, "cengiz@akkaya.local", "geheim") == GOOD, "Dovecot is asked again")
        assert "geheim" not in relay.output()


def test_pam(place: Path, program: Program) -> None:
    """PAM's yes, no, and trouble; names of all kinds; refusals hold nobody up."""
    environment = pam_stack(place, "smtp", {"cengiz": "geheim", "root": "wurzel"}, program)
    with relay_with("pam:smtp:domain=akkaya.local", environment=environment) as relay:
        for name in ("cengiz", "CENGIZ@akkaya.local", "AKKAYA\\cengiz"):
            assert login(relay, name, "geheim", send_as="cengiz@akkaya.local") == 250
        for name, password in (("cengiz", "falsch"), ("cengiz@other.test", "geheim"), ("-x", "geheim"), ("../cengiz", "geheim")):
            assert login(relay, name, password) == WRONG, name
        assert login(relay, "cengiz", "") == BAD_RESPONSE
        assert "geheim" not in relay.output()
        assert relay.relayctl("check").returncode == 0


def test_pam_in_trouble(place: Path, program: Program) -> None:
    """A service whose module is missing says neither yes nor no."""
    environment = pam_stack(place, "smtp", {"cengiz": "geheim"}, program)
    with relay_with("pam:broken:domain=akkaya.local", environment=environment) as relay:
        assert login(relay, "cengiz", "geheim") == NOBODY_KNOWS


@pytest.fixture
def slapd(place: Path, program: Program) -> Iterator[Slapd]:
    """A running directory."""
    with Slapd(place, program) as server:
        yield server


def ldap_file(place: Path, **keys: Any) -> str:
    """The description of a checker with these settings."""
    if not in_ci():
        pytest.importorskip("ldap")
    (place / "password").write_text("look me up\n")
    file = place / "ldap.yaml"
    file.write_text(yaml.safe_dump({"tls_ca_file": "ca.pem", **keys}))
    return f"ldap:{file}"


def searching(slapd: Slapd, **keys: Any) -> dict[str, Any]:
    """Settings for search and bind."""
    return {
        "urls": [slapd.url],
        "bind_dn": SERVICE,
        "password_file": "password",
        "base": PEOPLE,
        "filter": "(|(uid={user})(mail={login}))",
        "group_base": GROUPS,
        **keys,
    }


HOSTILE = ("*", "*)(uid=*", "cengiz)(|(uid=*", "cengiz\\2a", "c*", "uid=cengiz", "cengiz,ou=people", "cengiz)(&)")


def test_ldap_search_and_bind(place: Path, slapd: Slapd) -> None:
    """The entry found is the one that must bind; what it says is who the login is and what it may do."""
    checker = ldap_file(place, **searching(slapd, domain="akkaya.local"))
    granted = {"group:mail relay": ["Accept-Any-Sender"], "group:admins": ["Bypass-Message-Size-Limit"]}
    with relay_with(checker, extended_rights=granted) as relay:
        assert login(relay, "cengiz@akkaya.local", "geheim", send_as="anybody@example.org") == 250
        assert login(relay, "scanner", "papier", send_as="scanner@akkaya.local") == 250
        assert login(relay, "scanner", "papier", send_as="cengiz@akkaya.local") == 550
        assert login(relay, "half", "mailless", send_as="half@akkaya.local") == 250
        for name in HOSTILE:
            assert login(relay, name, "geheim") == WRONG, name
        assert login(relay, "cengiz", "falsch") == WRONG
        assert login(relay, "cengiz", "") == BAD_RESPONSE
        assert login(relay, "nobody", "geheim") == WRONG
        permissions = [line for line in relay.output().splitlines() if "permissions cengiz@akkaya.local" in line]
        assert permissions
        assert all("SMTPAcceptAnySender" in line and "BypassMessageSizeLimit" not in line for line in permissions)
        slapd.stop()
        assert login(relay, "cengiz", "geheim") == NOBODY_KNOWS
        slapd.start()
        assert login(relay, "cengiz", "geheim") == GOOD
        for secret in ("geheim", "papier", "look me up", "mailless"):
            assert secret not in relay.output()


def test_ldap_logins_bind_by_themselves(place: Path, slapd: Slapd) -> None:
    """A DN made of the name; the entry is read as the login itself; groups come from a search."""
    checker = ldap_file(place, urls=[slapd.url], bind_dn_template=f"uid={{user}},{PEOPLE}", domain="akkaya.local")
    with relay_with(checker) as relay:
        assert login(relay, "Cengiz", "geheim", send_as="info@akkaya.local") == 250
        assert login(relay, "cengiz", "geheim", send_as="boss@akkaya.local") == 550
        for name in HOSTILE:
            assert login(relay, name, "geheim") == WRONG, name
        assert login(relay, "cengiz", "") == BAD_RESPONSE


def test_ldap_groups_by_search(place: Path, slapd: Slapd) -> None:
    """Groups that list their members."""
    settings = searching(slapd, domain="akkaya.local", group_filter="(&(objectClass=groupOfNames)(member={dn}))")
    with relay_with(ldap_file(place, **settings), extended_rights={"group:Mail Relay": ["Accept-Any-Sender"]}) as relay:
        assert login(relay, "cengiz", "geheim", send_as="anybody@example.org") == 250
        assert login(relay, "scanner", "papier", send_as="anybody@example.org") == 550


def test_ldap_in_trouble(place: Path, slapd: Slapd) -> None:
    """A wrong service password, a server that nobody certifies, one that is silent, and a good one behind those."""
    (place / "wrong").write_text("not this\n")
    with relay_with(ldap_file(place, **searching(slapd, password_file="wrong"))) as relay:
        assert login(relay, "cengiz", "geheim") == NOBODY_KNOWS
        eventually(lambda: f"refuses {SERVICE}" in relay.output(), "the log says which account")
    with relay_with(ldap_file(place, **searching(slapd, base=f"ou=nowhere,{BASE}"))) as relay:
        assert login(relay, "cengiz", "geheim") == NOBODY_KNOWS
    with relay_with(ldap_file(place, **searching(slapd, tls_ca_file="key.pem"))) as relay:
        assert login(relay, "cengiz", "geheim") == NOBODY_KNOWS
    with silent_server() as listening:
        silent = listening.getsockname()[1]
        urls = [f"ldap://{LOOPBACK}:1", f"ldap://{LOOPBACK}:{silent}", slapd.url.replace(LOOPBACK, "localhost"), slapd.url]
        with relay_with(ldap_file(place, **searching(slapd, urls=urls, timeout="2s"))) as relay:
            assert login(relay, "cengiz", "geheim") == GOOD
            assert tried(listening) == 1
            assert login(relay, "scanner", "papier") == GOOD
            assert tried(listening) == 0, "servers that failed are asked last"
            assert f"ldap://{LOOPBACK}:{silent}" in relay.output()
            assert "ldap://localhost" in relay.output(), "its certificate is not for that name"


def test_ldap_referrals_are_not_followed(place: Path, program: Program) -> None:
    """A server that the directory names and nobody configured gets no connection, and no password."""
    with silent_server() as elsewhere, Slapd(place, program, f"ldap://{LOOPBACK}:{elsewhere.getsockname()[1]}") as slapd:
        own = {"urls": [slapd.url], "bind_dn_template": f"uid={{user}},{PEOPLE}", "domain": "akkaya.local"}
        for settings in (searching(slapd, domain="akkaya.local"), own):
            with relay_with(ldap_file(place, **settings)) as relay:
                assert login(relay, "away", "geheim") in (WRONG, NOBODY_KNOWS)
                assert login(relay, "scanner", "papier") == GOOD
        with pytest.raises(BlockingIOError):
            elsewhere.accept()


def test_a_bad_ldap_file_is_a_finding(place: Path) -> None:
    """With the file and the line."""
    checker = ldap_file(place, urls=["http://x"], fliter="(uid={user})", tls_ca_file="password")
    relay = relay_with(checker)
    found = relay.relayctl("check")
    assert found.returncode == 1
    assert "ldap.yaml:1: fliter: the key 'fliter' is unknown; did you mean 'filter'?" in found.stdout.replace(f"{place}/", "")
    assert "'http://x' is no server" in found.stdout
    relay.close()


def test_swaks_logs_in_by_each_and_the_review_shows_it(place: Path, slapd: Slapd, program: Program) -> None:
    """Four sources of accounts at once; a real client sends a message by each; the review lists them, also while nothing runs."""
    (place / "passwd").write_text("dora@akkaya.local:dovecot-secret::::::\n")
    environment = pam_stack(place, "smtp", {"paul": "pam-secret"}, program)
    checkers = (
        f"dovecot:{place}/auth-client",
        "pam:smtp:domain=akkaya.local",
        ldap_file(place, **searching(slapd)),
    )
    secrets = {"dora": "dovecot-secret", "paul": "pam-secret", "cengiz": "geheim", "local": "hier"}
    with Sink() as mailbox, dovecot(place, program), relay_with(*checkers, environment=environment, next_hop=mailbox.hop) as relay:
        relay.add_user("local@akkaya.local", "hier", "--send-as", "printer@akkaya.local")
        relay.add_user("unused@akkaya.local", "nie")
        for user, password in secrets.items():
            address = f"{user}@akkaya.local"
            command = [program("swaks"), "--server", LOOPBACK, "--port", str(relay.ports["submission"]), "-tls", "--auth", "PLAIN"]
            command += ["--auth-user", address, "--auth-password", password, "--from", address, "--to", "user@akkaya.local"]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE)
            assert done.returncode == 0, done.stdout
        eventually(lambda: len(mailbox.delivered) == 4, "all arrive")
        assert [message.sender for message in mailbox.delivered] == [f"{user}@akkaya.local" for user in secrets]
        assert login(relay, "local", "falsch") == login(relay, "guess@akkaya.local", "falsch") == WRONG

        def reviewed() -> dict[str, Any]:
            return {row["address"]: row for row in relay.listed("user", "review")}

        eventually(lambda: len(reviewed()) == 5 and reviewed()["local@akkaya.local"]["failures"], "the record is written", 30)
        rows = reviewed()
        assert {address: row["source"] for address, row in rows.items()} == {
            "local@akkaya.local": "users file",
            "unused@akkaya.local": "users file",
            "dora@akkaya.local": "external",
            "paul@akkaya.local": "external",
            "cengiz@akkaya.local": "external",
        }
        row = rows["local@akkaya.local"]
        assert (row["logins"], row["failures"], row["source_addresses"]) == (1, 1, [LOOPBACK])
        assert (row["connectors"], row["mechanisms"], row["age_days"]) == (["Client Frontend"], ["PLAIN"], 0)
        assert (row["send_as"], row["last_failure_address"]) == (["printer@akkaya.local"], LOOPBACK)
        assert rows["unused@akkaya.local"]["remarks"] == ["never logged in"]
        assert login(relay, "dora@akkaya.local", "dovecot-secret") == GOOD
        relay.stop()
        assert reviewed()["dora@akkaya.local"]["logins"] == 2, "the last logins are written at the end"
        assert not any(secret in path.read_bytes() for path in relay.state.glob("logins*") for secret in map(str.encode, secrets.values()))
