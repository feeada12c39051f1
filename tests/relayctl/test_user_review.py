"""C{relayctl user review}."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path

from tests.relayctl.conftest import Relayctl
from twistedrelay.config.users import UsersFile
from twistedrelay.observe.login_store import FILE, LoginStore, Uses


def prepared(config_file: Path, days_ago: float, began_days_ago: float = 400) -> None:
    """An account that logged in some days ago, and one that never did."""
    users = UsersFile(str(config_file.parent / "state/users"))
    for name in ("scanner@akkaya.local", "never@akkaya.local"):
        users.add(name, "geheim")
    now = time.time()
    last = now - days_ago * 86400
    used = {("source", "192.0.2.7"): (last, 3), ("mechanism", "PLAIN"): (last, 3), ("connector", "Client Frontend"): (last, 3)}
    store = LoginStore(str(config_file.parent / "state" / FILE))
    store.write([], 5, now - began_days_ago * 86400)
    store.write([("scanner@akkaya.local", Uses("scanner@akkaya.local", last, last, 3, used), False)], 0, now)
    store.close()


def test_the_table(relayctl: Relayctl, config_file: Path) -> None:
    prepared(config_file, days_ago=120)
    result = relayctl("user", "review")
    assert result.exit_code == 0, result.output
    title, _, scanner, never = result.stdout.splitlines()
    assert title.split() == ["Address", "Source", "AgeDays", "LastLogin", "Logins", "SourceAddresses", "Failures", "Remarks"]
    assert scanner.startswith("scanner@akkaya.local  users file")
    assert scanner.endswith("{not used for 120 days}")
    assert "{192.0.2.7}" in scanner
    assert never.endswith("{never logged in}")
    assert result.stderr == "5 failed logins had names that are no account's.\n"


def test_unused_accounts_in_the_machine_formats(relayctl: Relayctl, config_file: Path) -> None:
    prepared(config_file, days_ago=120)
    [row] = json.loads(relayctl("user", "review", "--unused-since", "90d", "--json").stdout)
    assert (row["address"], row["logins"], row["source_addresses"]) == ("scanner@akkaya.local", 3, ["192.0.2.7"])
    [again] = csv.DictReader(io.StringIO(relayctl("user", "review", "--unused-since", "90d", "--csv").stdout))
    assert (again["address"], again["mechanisms"], again["unused_days"]) == ("scanner@akkaya.local", "PLAIN", "120")
    assert relayctl("user", "review", "--unused-since", "200d", "--json").stdout == "[]\n"


def test_a_short_record_is_said(relayctl: Relayctl, config_file: Path) -> None:
    assert "No login is recorded yet" in relayctl("user", "review").stderr
    prepared(config_file, days_ago=1, began_days_ago=10)
    assert "Logins are recorded only since" in relayctl("user", "review", "--unused-since", "90d").stderr


def test_mistakes(relayctl: Relayctl, config_file: Path) -> None:
    wrong = relayctl("user", "review", "--unused-since", "90")
    assert wrong.exit_code == 2
    assert "a number needs its unit" in wrong.stderr
    (config_file.parent / "state" / FILE).write_text("x" * 5000)
    broken = relayctl("user", "review")
    assert broken.exit_code == 1
    assert "the record of logins cannot be read" in broken.stderr
