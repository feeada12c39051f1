"""What was stored is delivered exactly once, or returned, or still there; a second copy comes only where a warning was given.

A real spool and a real scheduler live through failing disks, crashes and restarts, with next hops that accept, defer, refuse and vanish,
and an administrator who changes the ways, redirects, resubmits, suspends and removes.
More and longer runs: C{SIMULATION_SEEDS=500 pytest tests/simulation}.
"""

from __future__ import annotations

import errno
import math
import os
import random
from pathlib import Path

import pytest

from tests.simulation.administration import Administrator
from tests.simulation.wishes import DOMAINS, notification, wishes
from tests.simulation.world import Life, Mail, Outside
from tests.spool.world import failing
from twistedrelay.spool import writer
from twistedrelay.values.kept import START, KeptQuery

SEEDS = range(int(os.environ.get("SIMULATION_SEEDS", "6")))
TURNS = 150
STILL_TURNS = 3000  #: of 20 s each: longer than all that anything may wait for, and long enough for every thread to have had its turn
TURNS_IN_ALL = 100_000
STEPS = [
    *("before BEGIN", "before INSERT INTO message", "before WITH", "before DELETE", "before COMMIT", "after COMMIT"),
    *("connect", "create", "write", "sync", "sync_directory"),
]


def _mail(chance: random.Random, number: int, now: float) -> Mail:
    size = chance.choice([10, 500, 1900, 2500, 7000, 12_000])
    content = f"Subject: {number}\r\n\r\n".encode() + b"%d." % number * (size // 3) + b"\r\n"
    sender = "" if chance.random() < 0.1 else "client@home.example"
    recipients = chance.choice([1, 1, 1, 2, 5])
    people = tuple(notification(chance) for _ in range(recipients))
    return Mail(content, recipients, sender, now - chance.choice([0.0, 0.0, 1100.0, 6500.0]), wishes(chance, now), people)


def _chaos(life: Life, chance: random.Random, numbers: list[int]) -> None:
    """A time with everything; ends as the seed wants, not always well."""
    administrator = Administrator(life)
    activity = chance.choice([0.0, 0.1, 0.3])
    for _ in range(TURNS):
        event = chance.random()
        if event < 0.3 and len(numbers) < 40:
            number = len(numbers) + 1
            numbers.append(number)
            life.receive(_mail(chance, number, life.reactor.seconds()), number)
        elif event < 0.36:
            life.disk.fault = failing(chance.choice(STEPS), chance.choice([errno.ENOSPC, errno.EIO]), chance.choice([1, 1, 3, 20]))
        elif event < 0.4 and numbers:
            number = chance.choice(numbers)
            if life.outside.mails[number].stored:
                life.remove(number, chance.random() < 0.5)
        elif event < 0.42:
            return
        elif event < 0.52 and event >= 0.47 and numbers:
            number = chance.choice(numbers)
            if life.outside.mails[number].stored:
                (life.suspend if chance.random() < 0.5 else life.resume)(number)
        elif event >= 0.52 and event < 0.535:
            life.send_again(chance.choice(DOMAINS))
        elif event >= 0.535 and event < 0.535 + activity:
            administrator.does_something()
        elif event >= 0.99:
            life.set_clock(chance.choice([-3600.0, -600.0, -100.0, 1000.0]))
        elif event < 0.47:
            life.shows_held()
            life.agrees()
        life.turn(chance.choice([0.0, 0.1, 1.0, 1.0, 10.0, 60.0]))


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_and_nothing_doubled_without_a_word(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(writer, "COMPANY", 0.0)  # a turn here is shorter than that
    chance = random.Random(seed)
    directory = str(tmp_path / "spool")
    outside = Outside()
    numbers: list[int] = []
    now = 10_000.0
    for _ in range(chance.randint(2, 5)):
        life = Life(directory, outside, chance, now, calm=False)
        _chaos(life, chance, numbers)
        if chance.random() < 0.6:
            life.crash()
        else:
            life.end()
        now = life.reactor.seconds()
    life = Life(directory, outside, chance, now, calm=True)
    Administrator(life).lets_all_go()
    _empty(life)
    for _ in range(300):  # longer than anything is kept
        life.turn(20.0)
    _forget(life)
    life.end()
    assert os.listdir(f"{directory}/bodies") == []
    _judge(outside)


def _empty(life: Life) -> None:
    """All that is in the queue leaves it.  No clock ends this, for a slow machine is no defect: only turns in which nothing happens."""
    seen, still = (-1, -1), 0
    for _ in range(TURNS_IN_ALL):
        life.turn(20.0)
        count = life.reactor.wait(life.spool.count())
        if count == 0:
            return
        before, seen = seen, (count, len(life.outside.told))
        still = still + 1 if seen == before else 0
        if still > STILL_TURNS:
            break
    left = life.reactor.wait(life.spool.browse(10)).messages
    due = life.reactor.wait(life.spool.due(math.inf, 10))
    stories = [line for line in life.outside.told if any(f"message {message.id} " in line for message in left)]
    raise AssertionError("the queue does not empty: {}\ndue: {}\n{}".format(left, due, "\n".join([*stories, "", *life.outside.told[-50:]])))


def _forget(life: Life) -> None:
    """What was kept is let go of; again no clock ends this."""
    for _ in range(STILL_TURNS):
        if not life.reactor.wait(life.spool.kept.page(KeptQuery(), START, 1)).found:
            return
        life.turn(20.0)
    raise AssertionError("what was delivered is kept for ever")


def _judge(outside: Outside) -> None:
    assert outside.wrong == [], "\n".join(outside.told)
    ids = [mail.id for mail in outside.mails.values()]
    assert len(set(ids)) == len(ids), "an id came twice"
    for number, mail in outside.mails.items():
        for place in range(mail.recipients):
            who = number, place
            copies, excused = outside.copies[who], outside.excused[who]
            assert copies <= 1 + excused, f"{who} got {copies} copies, with {excused} warnings\n{outside.story(number)}"
            if mail.stored:
                how = "in silence, as its sender wants it" if mail.is_silent(place) else "though its sender wants to hear of it"
                assert copies or who in outside.returned or who in outside.released, f"{who} is lost {how}\n{outside.story(number)}"
            elif mail.stored is False and mail.id not in outside.doubted:
                assert not copies, f"{who} was refused and delivered\n{outside.story(number)}"
            for action in ("relayed", "delivered", "failed"):
                reports = outside.reports[who, action]
                assert len(reports) <= 1 + excused, f"{who} is reported as {action} {len(reports)} times\n{outside.story(number)}"
            if action := outside.promised.get(who):
                assert outside.reports[who, action], f"nobody heard that {who} was {action}\n{outside.story(number)}"
            if "NEVER" in mail.people[place].notify:
                assert not any(outside.reports[who, action] for action in ("relayed", "delivered", "failed", "delayed")), who
            if who in outside.returned:
                assert copies <= excused, f"{who} was delivered and returned\n{outside.story(number)}"
