"""Tests for L{twistedrelay.answers.users}."""

from __future__ import annotations

import datetime
import pathlib
from typing import Any

import pytest

from twistedrelay.answers.users import RecordError, Review, review
from twistedrelay.config.schema import Config
from twistedrelay.config.users import User
from twistedrelay.observe.login_store import FILE, LoginStore, Uses

DAY = 86400.0
NOW = datetime.datetime(2027, 6, 30, 12, tzinfo=datetime.UTC).timestamp()

CREATED = datetime.date(2027, 1, 1)
SCANNER = User("Scanner@akkaya.local", ("printer@akkaya.local",), CREATED)
BACKUP = User("backup@akkaya.local", (), CREATED)
FRESH = User("fresh@akkaya.local", (), datetime.date(2027, 6, 29))


def uses(address: str, days_ago: float, count: int = 1, sources: int = 1, failures: int = 0) -> Uses:
    """What happened with an account."""
    last = NOW - days_ago * DAY
    used = {("source", f"192.0.2.{number}"): (last, 1) for number in range(sources)}
    used |= {("connector", "Client Frontend"): (last, count), ("mechanism", "PLAIN"): (last, count)}
    return Uses(address, last, last, count, used, failures, last + 60, "203.0.113.9")


class Place:
    """A state directory."""

    def __init__(self, path: pathlib.Path) -> None:
        server = {"name": "EXCSERVER", "fqdn": "relay.akkaya.local", "state_directory": str(path)}
        self.config = Config.model_validate({"server": server})
        self.path = path / FILE

    def record(self, *happened: tuple[str, Uses, bool], began: float = NOW - 400 * DAY, unknown: int = 0) -> None:
        """Write a record that began some time ago."""
        store = LoginStore(str(self.path))
        store.write([], 0, began)
        store.write(happened, unknown, NOW)
        store.close()

    def review(self, *users: User, unused_for: float | None = None) -> Review:
        """The review at L{NOW}."""
        return review(self.config, users, NOW, unused_for)


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Place:
    """No record yet."""
    return Place(tmp_path)


def by_address(found: Review) -> dict[str, dict[str, Any]]:
    return {row["address"]: row for row in found.rows}


def test_a_row(place: Place) -> None:
    place.record(("scanner@akkaya.local", uses("Scanner@akkaya.local", 2, count=7, sources=2, failures=3), False))
    [row] = place.review(SCANNER).rows
    assert row == {
        "address": "Scanner@akkaya.local",
        "source": "users file",
        "created": "2027-01-01",
        "age_days": 180,
        "first_login": "2027-06-28T12:00:00Z",
        "last_login": "2027-06-28T12:00:00Z",
        "unused_days": 2,
        "logins": 7,
        "source_addresses": ["192.0.2.0", "192.0.2.1"],
        "connectors": ["Client Frontend"],
        "mechanisms": ["PLAIN"],
        "failures": 3,
        "last_failure": "2027-06-28T12:01:00Z",
        "last_failure_address": "203.0.113.9",
        "send_as": ["printer@akkaya.local"],
        "remarks": [],
    }


def test_accounts_of_all_kinds(place: Place) -> None:
    place.record(
        ("scanner@akkaya.local", uses("Scanner@akkaya.local", 100), False),
        ("dora@akkaya.local", uses("dora@akkaya.local", 1, sources=6, failures=12), True),
        ("gone@akkaya.local", uses("gone@akkaya.local", 1), False),
        unknown=4,
    )
    found = place.review(SCANNER, BACKUP)
    rows = by_address(found)
    assert {address: (row["source"], row["remarks"]) for address, row in rows.items()} == {
        "Scanner@akkaya.local": ("users file", ["not used for 100 days"]),
        "backup@akkaya.local": ("users file", ["never logged in"]),
        "dora@akkaya.local": ("external", ["used from 6 addresses", "12 failed logins since the last good one"]),
        "gone@akkaya.local": ("removed", ["no longer in the users file"]),
    }
    assert rows["dora@akkaya.local"]["age_days"] == 1
    assert found.unknown_failures == 4


def test_unused_accounts(place: Place) -> None:
    place.record(
        ("scanner@akkaya.local", uses("Scanner@akkaya.local", 100), False),
        ("dora@akkaya.local", uses("dora@akkaya.local", 89), True),
    )
    unknown_age = User("old@akkaya.local")
    found = place.review(SCANNER, BACKUP, FRESH, unknown_age, unused_for=90 * DAY)
    assert list(by_address(found)) == ["Scanner@akkaya.local", "backup@akkaya.local", "old@akkaya.local"]
    assert place.review(FRESH, unused_for=0.0).rows


def test_before_the_first_login(place: Place) -> None:
    found = place.review(SCANNER)
    assert found.began is None
    assert [(row["logins"], row["remarks"]) for row in found.rows] == [(0, ["never logged in"])]
    assert not place.path.exists()


def test_a_record_that_cannot_be_read(place: Place) -> None:
    place.path.write_text("x" * 5000)
    with pytest.raises(RecordError, match=r"logins\.sqlite: the record of logins cannot be read"):
        place.review(SCANNER)
