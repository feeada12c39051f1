"""Tests for L{twistedrelay.tls.expiry}."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.tls.handshakes import config_of, connector
from twistedrelay.config.schema import Certificate
from twistedrelay.tls.contexts import ServerContexts
from twistedrelay.tls.store import CertificateStore

if TYPE_CHECKING:
    from conftest import Authority

DAY = datetime.timedelta(days=1)
START = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.UTC)


class Days:
    """A relay whose clock the test turns."""

    def __init__(self, tmp_path: Path, *certificates: Certificate) -> None:
        self.now = START
        store = CertificateStore(certificates, str(tmp_path / "state"), now=lambda: self.now)
        assert store.load() == []
        self.contexts = ServerContexts(store)
        self.config = config_of(tmp_path, {"A": connector()}, certificates)
        self.first = self.contexts.prepare(self.config)

    def until(self, end: float) -> list[tuple[int, str, str]]:
        """What is said until so many days after the start: day, level, the end of the text."""
        found = []
        while self.now < START + end * DAY:
            self.now += DAY / 4
            day = (self.now - START) // DAY
            found.extend((day, event.level, _ending(event.text)) for event in self.contexts.refresh())
        return found


def _ending(text: str) -> str:
    """What is said of the end, or nothing."""
    return text.partition(" ends ")[2] or text.partition(" ended ")[2]


def issue(authority: Authority, days: float, name: str = "relay.example", file: str = "mail", life: float = 365) -> Certificate:
    """A certificate that ends so many days after the start."""
    return authority.issue(name, file=file, not_before=START + (days - life) * DAY, not_after=START + days * DAY)


def test_the_steps(authority: Authority, tmp_path: Path) -> None:
    relay = Days(tmp_path, issue(authority, 40))
    assert relay.first == []
    said = [item for item in relay.until(42.5) if item[2]]
    assert [(day, level) for day, level, _ in said] == [
        (10, "warn"),
        (26, "warn"),
        (33, "error"),
        (39, "error"),
        (40, "error"),
        (41, "error"),
        (42, "error"),
    ]
    assert [text.partition(";")[0] for _, _, text in said][:4:3] == ["on 2026-02-10, in 30 days", "on 2026-02-10, in 24 hours"]
    assert said[-1][2].startswith("on 2026-02-10: clients that check it refuse; renew ")


def test_at_the_start(authority: Authority, tmp_path: Path) -> None:
    certificate = issue(authority, 5.5)
    relay = Days(tmp_path, certificate)
    (event,) = relay.first
    assert event.level == "error"
    assert event.text.endswith(f"(relay.example), shown by A, ends on 2026-01-07, in 5 days; renew {certificate.certificate}")
    assert relay.until(1) == []


def test_a_renewed_one_is_shown_and_the_old_one_forgotten(authority: Authority, tmp_path: Path) -> None:
    relay = Days(tmp_path, issue(authority, 20))
    assert [event.level for event in relay.first] == ["warn"]
    issue(authority, 400, life=500)
    assert [(day, level) for day, level, _ in relay.until(30)] == [(0, "info")]  # that another one is shown


def test_a_second_certificate_for_the_same_name_takes_over(authority: Authority, tmp_path: Path) -> None:
    """Nobody has to do anything when the one ends, and nothing is said of it."""
    both = issue(authority, 200, file="next", life=365), issue(authority, 5, life=90)
    relay = Days(tmp_path, *both)
    assert len(relay.first) == 1
    said = relay.until(7)
    assert [(day, level) for day, level, _ in said] == [(4, "error"), (5, "info")]


def test_certificates_for_other_names(authority: Authority, tmp_path: Path) -> None:
    relay = Days(tmp_path, issue(authority, 200), issue(authority, 20, name="other.example", file="other"))
    (event,) = relay.first
    assert "(other.example) ends on 2026-01-21, in 20 days" in event.text


def test_what_acme_renews_by_itself(authority: Authority, tmp_path: Path) -> None:
    made = issue(authority, 29, life=90)
    (tmp_path / "state/acme").mkdir(parents=True)
    (tmp_path / "state/acme/relay.example.pem").write_bytes(Path(made.certificate).read_bytes() + Path(made.private_key).read_bytes())
    relay = Days(tmp_path)
    assert relay.first == []
    assert [(day, level) for day, level, _ in relay.until(20)] == [(15, "warn")]


def test_a_self_signed_one_is_made_anew(tmp_path: Path) -> None:
    relay = Days(tmp_path)
    (event,) = relay.first
    assert "a self-signed certificate is shown" in event.text
    relay.now += 1830 * DAY
    assert [event.level for event in relay.contexts.refresh()] == ["info"]
    assert relay.contexts.refresh() == []
