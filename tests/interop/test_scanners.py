"""What people point at mail servers: nmap's SMTP scripts find no relay and do no harm, sslscan and testssl find nothing weak."""

from __future__ import annotations

import json
import os
import re
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.relay import Relay, article
from tests.network import LOOPBACK, free_port

#: Anonymous doors where nobody may relay, by what is special about them.
CLOSED: dict[str, dict[str, Any]] = {
    "as configured": {},
    "patient": {"max_protocol_errors": "unlimited"},
    "strict": {"max_protocol_errors": "unlimited", "lenient_syntax_enabled": False, "require_ehlo_domain": True},
    "with a login": {"max_protocol_errors": "unlimited", "auth_mechanism": ["Tls", "BasicAuth"]},
}
#: AEAD with forward secrecy: what TLS 1.2 has that is not weak.
_GOOD_CIPHER = re.compile(
    r"ECDHE-(?:ECDSA|RSA)-(?:AES\d+-GCM-SHA\d+|CHACHA20-POLY1305|AES\d+-CCM8?)|TLS_(?:AES_\d+_GCM|CHACHA20_POLY1305)_SHA\d+"
)


@pytest.fixture(scope="module")
def relay() -> Iterator[Relay]:
    """A relay with the doors above, and one that is open, to see that the scripts would find it."""
    configuration, ports = article("127.0.0.1:1")
    connectors = configuration["receive_connectors"]
    for name, change in CLOSED.items():
        ports[name] = free_port()
        groups = ["AnonymousUsers", "ExchangeUsers"]
        connectors[name] = {"bindings": [f"{LOOPBACK}:{ports[name]}"], "permission_groups": groups, "tarpit_interval": "0s", **change}
    ports["open"] = free_port()
    rights = {"Anonymous Logon": ["Accept-Any-Recipient"]}
    connectors["open"] = {**connectors["patient"], "bindings": [f"{LOOPBACK}:{ports['open']}"], "extended_rights": rights}
    with Relay(configuration, ports) as running:
        yield running


def nmap(program: Callable[[str], str], port: int, *scripts: str) -> str:
    """What nmap's scripts print for a port, whatever service it takes it for."""
    command = [program("nmap"), "-Pn", "-n", "-p", str(port), "--script", ",".join(f"+{script}" for script in scripts), LOOPBACK]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return done.stdout


def test_nmap_would_find_an_open_relay(relay: Relay, program: Callable[[str], str]) -> None:
    """Without this, "no relay" would tell nothing."""
    assert "Server is an open relay" in nmap(program, relay.ports["open"], "smtp-open-relay")


@pytest.mark.parametrize("name", CLOSED)
def test_nmap_finds_no_open_relay(relay: Relay, program: Callable[[str], str], name: str) -> None:
    """All sixteen of its tests fail; with the usual limit of protocol errors it does not even get so far."""
    found = nmap(program, relay.ports[name], "smtp-open-relay")
    if name == "as configured":
        assert re.search(r"smtp-open-relay: .*(failed to receive data: connection closed|doesn't seem to be an open relay)", found), found
    else:
        assert "smtp-open-relay: Server doesn't seem to be an open relay, all tests failed" in found


def test_nmap_finds_no_open_relay_on_submission(relay: Relay, program: Callable[[str], str]) -> None:
    """Nothing without a login."""
    assert "Server isn't an open relay, authentication needed" in nmap(program, relay.ports["submission"], "smtp-open-relay")


@pytest.mark.parametrize("name", ["as configured", "submission"])
def test_nmaps_other_scripts_do_no_harm(relay: Relay, program: Callable[[str], str], name: str) -> None:
    """They end, find no account and no hole, and the relay lives."""
    scripts = ("smtp-commands", "smtp-enum-users", "smtp-strangeport", "smtp-ntlm-info", "smtp-vuln-cve2010-4344", "smtp-vuln-cve2011-1720")
    found = nmap(program, relay.ports[name], *scripts)
    assert "STARTTLS" in found
    assert re.search(r"Couldn't find any accounts|authentication needed", found), found
    assert "NTLM" not in found
    assert "  VULNERABLE" not in found
    with relay.dialogue() as session:
        assert session.command("NOOP").startswith("250")


@pytest.mark.parametrize(("port", "options"), [("submissions", []), ("submission", ["--starttls-smtp"]), ("relay", ["--starttls-smtp"])])
def test_sslscan_finds_nothing_weak(relay: Relay, program: Callable[[str], str], port: str, options: list[str]) -> None:
    """The default profile: TLS 1.2 and 1.3 only, forward secrecy and AEAD only, and none of the old holes."""
    command = [program("sslscan"), "--xml=-", "--show-sigs", *options, f"{LOOPBACK}:{relay.ports[port]}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    found = ElementTree.fromstring(done.stdout)
    offered = {f"{one.get('type')} {one.get('version')}" for one in found.iter("protocol") if one.get("enabled") == "1"}
    assert offered == {"tls 1.2", "tls 1.3"}
    ciphers = [one.get("cipher", "") for one in found.iter("cipher")]
    assert ciphers
    assert [cipher for cipher in ciphers if not _GOOD_CIPHER.fullmatch(cipher)] == []
    assert {one.get("strength") for one in found.iter("cipher")} <= {"strong", "acceptable"}
    assert not [one for one in found.iter("heartbleed") if one.get("vulnerable") != "0"]
    assert not [one for one in found.iter("compression") if one.get("supported") != "0"]
    assert [one.get("secure") for one in found.iter("renegotiation") if one.get("supported") == "1"] in ([], ["1"])
    assert found.findtext(".//signature-algorithm", "").endswith("SHA256")


#: testssl waits for answers to what nobody should answer: on this machine they come at once.
_IMPATIENT = {"MAX_WAITSOCK": "3", "CCS_MAX_WAITSOCK": "2", "HEARTBLEED_MAX_WAITSOCK": "2", "HEADER_MAXSLEEP": "2"}


@pytest.mark.slow
def test_testssl_finds_nothing_weak(relay: Relay, program: Callable[[str], str], tmp_path: Path) -> None:
    """testssl.sh at both kinds of port: protocols, ciphers and known holes; what it says of the self-signed certificate does not count."""
    options = ["--quiet", "--color", "0", "--ip", LOOPBACK, "-p", "-s", "-U", "--warnings", "off"]
    running = {}
    for port, how in (("submissions", []), ("submission", ["--starttls", "smtp"])):
        report = tmp_path / port
        command = [program("testssl"), *options, "--jsonfile", str(report), *how, f"localhost:{relay.ports[port]}"]
        running[report] = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **_IMPATIENT})
    try:
        for scan in running.values():
            scan.wait(500)
    finally:
        for scan in running.values():
            scan.kill()
            scan.wait()
    for report in running:
        findings = json.loads(report.read_text())
        assert len(findings) > 20
        ours = [one for one in findings if one["id"] not in ("engine_problem", "service", "scanTime")]  # about testssl itself
        assert [(one["id"], one["finding"]) for one in ours if one["severity"] not in ("OK", "INFO")] == [], report.name
