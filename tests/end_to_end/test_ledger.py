"""Who uses the real relay: seen by relayctl beside the daemon and without it, over kills, and what a change would break."""

from __future__ import annotations

import json
import smtplib
import sqlite3
from typing import Any

import pytest

from tests.end_to_end.site import Site
from tests.network import LOOPBACK, PATIENCE, eventually, unverified

PASSWORD = "Correct-Horse-1"


def ledger(site: Site, *arguments: str) -> list[dict[str, Any]]:
    """What C{relayctl ledger} lists."""
    found: list[dict[str, Any]] = site.relay.listed("ledger", *arguments)
    return found


def use(site: Site) -> None:
    """A device by its address, a stranger that is refused, a user with TLS."""
    with site.relay.dialogue(source="127.0.0.2") as session:
        session.command("EHLO scanner")
        assert session.message("a@devices.example", ["user@akkaya.local"], b"Subject: 1\r\n\r\nx\r\n").startswith("250")
        assert session.message("a@devices.example", ["user@akkaya.local"], b"Subject: 2\r\n\r\nx\r\n").startswith("250")
    with site.relay.dialogue() as session:
        session.command("EHLO stranger")
        session.command("MAIL FROM:<a@outside.example>")
        assert session.command("RCPT TO:<b@elsewhere.example>").startswith("550")
    site.relay.add_user("eren@akkaya.local", PASSWORD)
    with smtplib.SMTP(LOOPBACK, site.relay.ports["submission"], "laptop.akkaya.local", timeout=PATIENCE) as client:
        client.starttls(context=unverified())
        client.login("eren@akkaya.local", PASSWORD)
        client.sendmail("eren@akkaya.local", ["user@akkaya.local"], "Subject: 3\r\n\r\nx\r\n")


@pytest.fixture
def used(site: Site) -> Site:
    use(site)
    eventually(lambda: len(ledger(site)) >= 3 or None, "sessions have ended")
    return site


def by_connector(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["connector"]: row for row in rows}


def test_who_uses_the_relay(used: Site) -> None:
    rows = by_connector(ledger(used))
    device, stranger, user = rows["IP_Relay"], rows["Default Frontend"], rows["Client Frontend"]
    assert (device["client"], device["helo"], device["sender_domain"]) == ("127.0.0.2", "scanner", "devices.example")
    assert (device["messages"], device["sessions"], device["refusals"], device["tls"]) == (2, 1, 0, "")
    assert (device["recipient_domains"], device["range"]) == (["akkaya.local"], "127.0.0.2")
    assert (stranger["helo"], stranger["sender_domain"], stranger["messages"]) == ("stranger", "outside.example", 0)
    assert stranger["refusals"] == 1
    assert (user["user"], user["tls"][:5], user["helo"]) == ("eren@akkaya.local", "TLSv1", "laptop.akkaya.local")
    assert [row["connector"] for row in ledger(used, "--user", "eren@akkaya.local")] == ["Client Frontend"]
    assert [row["connector"] for row in ledger(used, "--client", "127.0.0.2/31")] == ["IP_Relay"]
    assert ledger(used, "--since", "2999-01-01") == []
    totals = {row["identity"]: row for row in ledger(used, "--by", "range")}
    assert totals["127.0.0.2"]["messages"] == 2


def test_it_is_the_same_without_a_daemon_and_after_a_kill(used: Site) -> None:
    before = ledger(used)
    used.relay.kill()
    assert ledger(used) == before
    with pytest.raises(AssertionError):
        used.relay.listed("message", "list")
    used.relay.start()
    use_again = used.relay.dialogue(source="127.0.0.2")
    with use_again as session:
        session.command("EHLO scanner")
        session.message("a@devices.example", ["user@akkaya.local"], b"Subject: 4\r\n\r\nx\r\n")
    used.relay.stop()
    assert by_connector(ledger(used))["IP_Relay"]["messages"] == 3


def test_what_nobody_uses(used: Site) -> None:
    used.relay.add_user("nobody@akkaya.local", PASSWORD)
    unused = ledger(used, "--unused-since", "1h")
    assert ("user", "nobody@akkaya.local") in {(row["kind"], row["identity"]) for row in unused}
    assert ("user", "eren@akkaya.local") not in {(row["kind"], row["identity"]) for row in unused}
    assert all(row["connector"] != "IP_Relay" for row in unused)


@pytest.mark.parametrize("running", [True, False], ids=["daemon", "file"])
def test_what_breaks_if(used: Site, running: bool) -> None:
    if not running:
        used.relay.stop()

    def broken(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
        found = used.relay.relayctl("ledger", *arguments, "--json")
        return found.returncode, json.loads(found.stdout or "[]"), found.stderr

    code, [device], _ = broken("--without-range", "127.0.0.2")
    assert (code, device["client"], device["helo"]) == (1, "127.0.0.2", "scanner")
    assert (device["old_connector"], device["new_connector"]) == ("IP_Relay", "Default Frontend")
    code, affected, _ = broken("--without-connector", "Client Frontend")
    assert (code, {(row["user"], row["effect"]) for row in affected if row["user"]}) == (1, {("eren@akkaya.local", "refused")})
    code, affected, _ = broken("--require-login", "IP_Relay")
    assert (code, [(row["client"], row["effect"]) for row in affected]) == (1, [("127.0.0.2", "refused")]), affected
    code, affected, said = broken("--minimum-tls", "TLSv1.2")
    assert (code, affected) == (0, []), said
    code, _, said = broken("--without-range", "198.51.100.0/24")
    assert code == 1
    assert "no entry of remote_ip_ranges" in said


def test_a_damaged_ledger_is_set_aside(used: Site) -> None:
    used.relay.stop()
    file = used.relay.state / "ledger.sqlite"
    file.write_bytes(b"this is no database" * 500)
    used.relay.start()
    with used.relay.dialogue(source="127.0.0.2") as session:
        session.command("EHLO scanner")
    eventually(lambda: by_connector(ledger(used)).get("IP_Relay"), "the new ledger has a row")
    assert (used.relay.state / "ledger.sqlite.damaged").read_bytes().startswith(b"this is no database")
    assert "the ledger begins anew" in used.relay.output()
    with sqlite3.connect(file) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
