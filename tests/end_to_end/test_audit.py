"""The audit of the real daemon: what does not start, what the log hears, and the self-test over real connections."""

from __future__ import annotations

import json

from tests.end_to_end.relay import Relay, article
from tests.network import PATIENCE, eventually, free_port
from twistedrelay.control.client import ControlClient

ANYBODY = {"Anonymous Logon": ["Accept-Any-Recipient"]}
OPEN = {"bindings": [], "permission_groups": ["AnonymousUsers"], "extended_rights": ANYBODY}


def open_relay() -> dict[str, object]:
    return {**OPEN, "bindings": [f"0.0.0.0:{free_port()}"]}


def test_an_open_relay_does_not_start() -> None:
    configuration, ports = article("maildir:mail")
    configuration["receive_connectors"]["Everybody"] = open_relay()
    relay = Relay(configuration, ports)
    try:
        relay.launch()
        assert relay.process is not None
        assert relay.process.wait(PATIENCE) == 1
        relay.process = None
        assert "this is an open relay" in relay.output()
        assert f"{relay.file}:" in relay.output()
        for arguments in (["check"], ["audit"]):
            done = relay.relayctl(*arguments)
            assert done.returncode == 1
            assert "an open relay: sessions without a login" in done.stdout + done.stderr
        configuration["receive_connectors"]["Everybody"]["i_know_this_is_an_open_relay"] = True
        relay.write()
        relay.start()
        eventually(lambda: "audit: Critical open-relay: EXCSERVER\\Everybody" in relay.output(), "the log hears of it")
    finally:
        relay.close(check=False)


def test_the_self_test_finds_an_open_connector() -> None:
    configuration, ports = article("maildir:mail", "maildir:out")
    with Relay(configuration, ports) as relay:
        done = relay.relayctl("audit", "--probe", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        codes = [row["code"] for row in json.loads(done.stdout)]
        assert codes.count("probe") == 3
        assert "probe-relayed" not in codes
        assert relay.is_empty()
        clients = {row["client"] for row in json.loads(relay.relayctl("ledger", "--json").stdout)}
        assert clients <= {"127.0.0.1"}, "who waited for it to listen, and not the self-test"
    configuration["receive_connectors"]["Default Frontend"]["extended_rights"] = ANYBODY
    with Relay(configuration, ports) as relay:
        done = relay.relayctl("audit", "--probe")
        assert done.returncode == 1
        assert "Critical (1)\n  EXCSERVER\\Default Frontend  probe-relayed" in done.stdout
        assert "from 127.0.0.99, over a connection" in done.stdout
        assert relay.relayctl("audit", "--probe", "--fail-on", "never").returncode == 0
        assert relay.is_empty()


def test_a_running_relay_is_audited(tmp_path: object) -> None:
    configuration, ports = article("maildir:mail", "127.0.0.1:1")
    configuration["audit_exceptions"] = [{"code": "file-readable", "reason": "a test"}]
    with Relay(configuration, ports) as relay:
        relay.state.chmod(0o777)
        users = relay.state / "users"
        users.write_text("")
        users.chmod(0o644)
        told = ControlClient(str(relay.state / "control/control.sock")).get("/v1/audit", {"resolve": "true"})
        assert (told["live"], told["resolved"], told["probed"]) == (True, True, False)
        findings = {row["code"]: row for row in told["findings"]}
        assert findings["smart-host-unreachable"]["object"] == "EXCSERVER\\Internet"
        assert findings["file-writable"]["object"] == str(relay.state)
        assert findings["file-readable"]["accepted"] == "a test"
        assert relay.relayctl("audit", "--csv").stdout.startswith("code,severity,object,place,reason,cure,accepted\n")
        relay.file.write_text(relay.file.read_text() + "\nusers: other\n")
        assert "file-differs" in relay.relayctl("audit", "--severity", "Low").stdout
