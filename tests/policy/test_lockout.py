"""Failed logons: what is locked, for how long, and what is not."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from twistedrelay.config.schema import Server
from twistedrelay.policy import lockout
from twistedrelay.policy.lockout import NAMES_PER_FAILURE, Lock, Lockout
from twistedrelay.values.netrange import parse_ip

HOME = parse_ip("192.0.2.7")
NEIGHBOUR = parse_ip("192.0.2.200")
ELSEWHERE = parse_ip("198.51.100.7")


class Trial:
    """A lockout with a threshold of 3, 30 s, at most 100 s."""

    def __init__(self, **keys: Any) -> None:
        settings = {"logon_lockout_threshold": 3, "logon_lockout_interval": "30s", "logon_lockout_max_interval": "100s", **keys}
        self.clock = Clock()
        self.lockout = Lockout(self.clock, Server(name="X", fqdn="x.example", state_directory="/x", **settings))

    def fail(self, times: int = 1, peer: Any = HOME, name: str = "user@own.example") -> list[Lock]:
        found = [self.lockout.failed(peer, name) for _ in range(times)]
        return [lock for lock in found if lock is not None]

    def locked(self, peer: Any = HOME, name: str = "user@own.example") -> bool:
        return self.lockout.is_locked(peer, name)


def test_the_threshold_locks_the_pair_and_nothing_else() -> None:
    trial = Trial()
    assert trial.fail(2) == []
    assert not trial.locked()
    assert trial.fail() == [Lock("user@own.example", "192.0.2.0/24", 30.0)]
    assert trial.locked()
    assert trial.locked(NEIGHBOUR)
    assert not trial.locked(ELSEWHERE), "nobody is locked out from elsewhere"
    assert not trial.locked(name="another@own.example")


def test_a_lock_is_told_once() -> None:
    trial = Trial()
    assert len(trial.fail(10)) == 1


def test_each_failure_after_a_lock_doubles_it() -> None:
    trial = Trial()
    lengths = [lock.seconds for lock in trial.fail(3)]
    for _ in range(3):
        trial.clock.advance(lengths[-1] - 0.1)
        assert trial.locked()
        trial.clock.advance(0.1)
        assert not trial.locked()
        lengths += [lock.seconds for lock in trial.fail()]
    assert lengths == [30.0, 60.0, 100.0, 100.0]


def test_success_forgets() -> None:
    trial = Trial()
    trial.fail(2)
    trial.lockout.succeeded(NEIGHBOUR, "USER@own.example")
    assert trial.fail(2) == []


def test_peace_forgets() -> None:
    trial = Trial()
    trial.fail(3)
    trial.clock.advance(30 + 101)
    assert trial.fail(2) == []
    assert [lock.seconds for lock in trial.fail()] == [30.0]


def test_spellings_of_one_name_are_one() -> None:
    trial = Trial()
    for name in ("user", "A\\user", "B\\USER"):
        assert not trial.locked(name=name)
        trial.fail(name=name)
    assert trial.locked(name="C\\User")


def test_ipv6_by_64() -> None:
    trial = Trial()
    trial.fail(3, parse_ip("2001:db8:1:1::1"))
    assert trial.locked(parse_ip("2001:db8:1:1:ffff::9"))
    assert not trial.locked(parse_ip("2001:db8:1:2::1"))


def test_one_password_for_many_names_locks_the_network() -> None:
    trial = Trial()
    many = 3 * NAMES_PER_FAILURE
    locks = [lock for number in range(many) for lock in trial.fail(name=f"user{number}")]
    assert locks == [Lock("", "192.0.2.0/24", 30.0)]
    assert trial.locked(NEIGHBOUR, "somebody new")
    assert not trial.locked(ELSEWHERE, "user1")


def test_a_site_cannot_use_all_of_its_ipv6_networks() -> None:
    trial = Trial()
    for number in range(3 * NAMES_PER_FAILURE):
        trial.fail(peer=parse_ip(f"2001:db8:1:{number:x}::1"), name=f"user{number}")
    assert trial.locked(parse_ip("2001:db8:1:ffff::1"), "somebody new")
    assert not trial.locked(parse_ip("2001:db8:2::1"), "somebody new")


def test_one_bad_device_does_not_lock_its_network() -> None:
    trial = Trial()
    trial.fail(3 * NAMES_PER_FAILURE)
    assert trial.locked()
    assert not trial.locked(name="another")


def test_mistakes_do_not_add_up_for_the_network() -> None:
    trial = Trial()
    for number in range(6 * NAMES_PER_FAILURE):
        trial.fail(name=f"user{number}")
        trial.lockout.succeeded(HOME, f"user{number}")
    assert not trial.locked()


def test_zero_is_off() -> None:
    trial = Trial(logon_lockout_threshold=0)
    assert trial.fail(1000) == []
    assert not trial.locked()


def test_memory_is_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr(lockout, "_MOST", 10)
    trial = Trial()
    for number in range(100):
        trial.fail(peer=parse_ip(f"10.{number}.0.1"), name="x" * 10_000)
    assert len(trial.lockout._pairs._counts) <= 10
    assert all(len(key[1]) == 16 for key in trial.lockout._pairs._counts)  # type: ignore[index]
