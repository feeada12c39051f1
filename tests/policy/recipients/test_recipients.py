"""Tests for L{twistedrelay.policy.recipients}: lists, answers that are kept, and whom a domain asks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from twistedrelay.config.schema import Config
from twistedrelay.interfaces import IRecipients
from twistedrelay.policy.recipients import asked as asked_module
from twistedrelay.policy.recipients.asked import PATIENCE, WAITING, AskedRecipients
from twistedrelay.policy.recipients.build import RecipientService, recipient_problems
from twistedrelay.policy.recipients.cache import AnswerCache
from twistedrelay.policy.recipients.domains import DomainRecipients
from twistedrelay.policy.recipients.listed import RecipientFile, RecipientFileError
from twistedrelay.values.address import Address, parse_address
from twistedrelay.values.reply import RECIPIENT_LOOKUP_FAILED


def address(text: str) -> Address:
    return parse_address(text, utf8=True)


# -- lists -------------------------------------------------------------------------------------------------------------------


def listed(path: Path, text: str) -> RecipientFile:
    path.write_text(text, encoding="utf-8")
    made = RecipientFile(str(path), lambda text: None)
    made.load()
    return made


def test_what_a_list_says(tmp_path: Path) -> None:
    made = listed(
        tmp_path / "list",
        "# our people\n\nCengiz@Akkaya.Local\n  info@akkaya.local   OK\nroot\t# on every domain\n*@lists.example\n@all.example\n"
        "ü@bücher.example\n",
    )
    known = "cengiz@akkaya.local CENGIZ@AKKAYA.LOCAL info@akkaya.local root@akkaya.local root@x.org a@lists.example b@all.example"
    for text in (*known.split(), "ü@xn--bcher-kva.example", "cengiz+shop@akkaya.local", "root+x@a.org"):
        assert made.known(address(text)), text
    for text in ("cengiz@x.org", "cengiz2@akkaya.local", "a@sub.all.example", "ok@akkaya.local", "+x@akkaya.local", "cengi@akkaya.local"):
        assert not made.known(address(text)), text
    assert len(made) == 6


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a@x.org\nn(o@x.org\n", "list:2: 'n(o@x.org' is no recipient"),
        ("a@x.org\nb@@y\n", "list:2: 'b@@y' is no recipient"),
        ("# nobody\n", "lists nobody"),
        ("", "lists nobody"),
    ],
)
def test_a_list_that_cannot_be_used(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(RecipientFileError) as caught:
        listed(tmp_path / "list", text)
    assert why in str(caught.value)


def test_a_list_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(RecipientFileError, match="No such file"):
        RecipientFile(str(tmp_path / "none"), print).load()
    with pytest.raises(RecipientFileError, match="directory"):
        RecipientFile(str(tmp_path), print).load()
    (tmp_path / "latin").write_bytes(b"\xfc@x.org\n")
    with pytest.raises(RecipientFileError, match="UTF-8"):
        RecipientFile(str(tmp_path / "latin"), print).load()


def test_a_changed_list_is_read_once_it_is_at_rest(tmp_path: Path) -> None:
    path = tmp_path / "list"
    made = listed(path, "a@x.org\n")
    told: list[str] = []
    made._report = told.append
    path.write_text("b@x.org\n")
    made.refresh()
    assert made.known(address("a@x.org"))  # somebody may still be writing
    made.refresh()
    assert made.known(address("b@x.org")) and not made.known(address("a@x.org"))
    assert told == [f"{path}: 1 recipients"]


@pytest.mark.parametrize("broken", ["", "a@@b\n", None])
def test_a_broken_list_leaves_the_old_one(tmp_path: Path, broken: str | None) -> None:
    path = tmp_path / "list"
    made = listed(path, "a@x.org\n")
    told: list[str] = []
    made._report = told.append
    if broken is None:
        path.unlink()
    else:
        path.write_text(broken)
    for _ in range(4):
        made.refresh()
    assert made.known(address("a@x.org"))
    assert len(told) == 1 and told[0].startswith("the old list of recipients stays in use")
    path.write_text("c@x.org\n")
    os.utime(path, (1, 1))
    made.refresh()
    made.refresh()
    assert made.known(address("c@x.org"))


@given(
    st.lists(st.from_regex(r"[a-z0-9.]{1,6}@(a|b)\.org", fullmatch=True), min_size=1),
    st.from_regex(r"[a-z0-9]{1,3}@(a|b)\.org", fullmatch=True),
)
def test_a_list_is_a_set(tmp_path_factory: pytest.TempPathFactory, entries: list[str], asked: str) -> None:
    good = [entry for entry in entries if not entry.startswith(".") and ".." not in entry and ".@" not in entry] or ["z@z.org"]
    made = listed(tmp_path_factory.mktemp("lists") / "list", "\n".join(good))
    assert made.known(address(asked)) == (asked in good)
    assert all(made.known(address(entry)) for entry in good)


def test_lines_that_need_a_closer_look_among_a_great_many(tmp_path: Path) -> None:
    """The quick way and the careful one agree, and lines are counted over both."""
    lines = [f"User{number}@X.org  OK" if number % 3 else f"# {number}" for number in range(60_000)]
    made = listed(tmp_path / "list", "\n".join(lines))
    assert len(made) == 40_000 and made.known(address("user59999@x.org")) and not made.known(address("user3@x.org"))
    lines[50_000] = "ü@x.org"
    made = listed(tmp_path / "list", "\r\n".join(lines) + "\n\n")
    assert made.known(address("ü@x.org")) and made.known(address("user59999@x.org"))
    lines[55_000] = "@@"
    with pytest.raises(RecipientFileError, match="list:55001: '@@' is no recipient"):
        listed(tmp_path / "list", "\n".join(lines))


# -- kept answers ------------------------------------------------------------------------------------------------------------


def test_answers_are_good_for_their_time_and_few() -> None:
    clock = Clock()
    cache = AnswerCache(clock.seconds, 2, positive=10.0, negative=5.0)
    cache.put("a", True)
    cache.put("b", False)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (True, False, None)
    clock.advance(5.0)
    assert (cache.get("a"), cache.get("b")) == (True, None)
    cache.put("c", False)  # b was used last before a
    assert cache.get("a") is True and len(cache) == 2
    clock.advance(100.0)
    assert cache.get("a") is None and cache.existed("a")
    assert not cache.existed("c")


@pytest.mark.parametrize(("size", "seconds"), [(0, 10.0), (10, 0.0)])
def test_nothing_is_kept_where_nothing_is_to_be_kept(size: int, seconds: float) -> None:
    cache = AnswerCache(Clock().seconds, size, seconds, seconds)
    cache.put("a", True)
    assert cache.get("a") is None and len(cache) == 0


# -- asking ------------------------------------------------------------------------------------------------------------------


class Asking:
    """Questions that wait for their answers."""

    def __init__(self, doubt: Any = True, mistrust: bool = False, size: int = 100) -> None:
        self.clock = Clock()
        self.questions: list[tuple[str, Deferred[bool | None]]] = []
        self.warnings: list[str] = []
        cache = AnswerCache(self.clock.seconds, size, 100.0, 10.0)
        self.made = AskedRecipients(
            self.clock, self.ask, cache, self.warnings.append, source="the next hop m:25", doubt=doubt, mistrust=mistrust
        )

    def ask(self, recipient: Address) -> Deferred[bool | None]:
        answer: Deferred[bool | None] = Deferred()
        self.questions.append((recipient.text, answer))
        return answer

    def known(self, text: str) -> list[Any]:
        """The answer, once it is there."""
        said: list[Any] = []
        found = self.made.known(address(text))
        if isinstance(found, Deferred):
            found.addCallback(said.append)
        else:
            said.append(found)
        return said


def test_an_answer_is_kept_and_shared() -> None:
    asking = Asking()
    first, second = asking.known("a@x.org"), asking.known("A@X.org")
    assert [text for text, _ in asking.questions] == ["a@x.org"]
    assert first == second == []
    asking.questions[0][1].callback(False)
    assert first == second == asking.known("a@x.org") == [False]
    asking.clock.advance(11.0)
    assert asking.known("a@x.org") == [] and len(asking.questions) == 2


def test_what_is_said_of_one_is_not_kept_for_another() -> None:
    """Who asks about a Kelvin sign makes no k unknown."""
    asking = Asking()
    first, second = asking.known("\u212a@x.org"), asking.known("k@x.org")
    asking.questions[0][1].callback(False)
    asking.questions[1][1].callback(True)
    assert (first, second, asking.known("K@x.org")) == ([False], [True], [True])


@pytest.mark.parametrize("doubt", [True, RECIPIENT_LOOKUP_FAILED])
@pytest.mark.parametrize("how", ["none", "failure", "time", "raises"])
def test_where_nobody_can_tell(doubt: Any, how: str) -> None:
    asking = Asking(doubt)
    if how == "raises":
        asking.made._ask = lambda recipient: 1 / 0  # type: ignore[assignment,return-value]
    said = asking.known("a@x.org")
    if how == "none":
        asking.questions[0][1].callback(None)
    elif how == "failure":
        asking.questions[0][1].errback(OSError("gone"))
    elif how == "time":
        asking.clock.advance(PATIENCE)
    assert said == [doubt]
    assert len(asking.warnings) == 1 and "recipients cannot be looked up, the next hop m:25" in asking.warnings[0]
    asking.made._ask = lambda recipient: fail(OSError("gone"))
    assert asking.known("a@x.org") == [doubt] and len(asking.warnings) == 1  # not for each of them


def test_who_existed_goes_on_existing_while_nobody_can_tell() -> None:
    asking = Asking(RECIPIENT_LOOKUP_FAILED)
    asking.known("a@x.org")
    asking.questions[0][1].callback(True)
    asking.clock.advance(1000.0)
    said = asking.known("a@x.org")
    asking.questions[1][1].errback(OSError("gone"))
    assert said == [True]


def test_only_so_many_questions_wait() -> None:
    asking = Asking(RECIPIENT_LOOKUP_FAILED)
    for number in range(WAITING):
        assert asking.known(f"u{number}@x.org") == []
    assert asking.known("one@x.org") == asking.known("u1@x.org") == [RECIPIENT_LOOKUP_FAILED]
    asking.questions[0][1].callback(True)
    assert asking.known("one@x.org") == []


def test_a_server_that_takes_everything_is_told_of() -> None:
    asking = Asking(mistrust=True)
    said = asking.known("a@x.org")
    asking.questions[0][1].callback(True)
    assert said == [True]
    nobody, answer = asking.questions[1]
    assert nobody.startswith("no-such-user-") and nobody.endswith("@x.org")
    answer.callback(True)
    assert asking.warnings == ["the next hop m:25 takes every address of x.org, so call_ahead finds no unknown recipients there"]
    asking.known("b@x.org")
    asking.questions[2][1].callback(True)
    assert len(asking.questions) == 3  # the test is good for a while
    asking.clock.advance(asked_module.BELIEVED)
    asking.known("c@x.org")
    asking.questions[3][1].callback(True)
    asking.questions[4][1].callback(False)
    assert len(asking.warnings) == 1


# -- domains -----------------------------------------------------------------------------------------------------------------


def test_each_domain_asks_its_own_source() -> None:
    class Nobody:
        def known(self, recipient: Address) -> bool:
            return False

    made = DomainRecipients({"x.org": Nobody(), "*.y.org": Nobody(), "open.org": None})
    assert verifyObject(IRecipients, made)
    for text in ("a@open.org", "a@y.org", "a@elsewhere.org", "Postmaster@x.org"):
        assert made.known(address(text)) is True, text
    assert made.known(address("a@x.org")) is made.known(address("a@b.y.org")) is False


class FakeProber:
    stopped = False

    def ask(self, recipient: Address) -> Deferred[bool | None]:
        return succeed(recipient.local == "a")

    def stop(self) -> None:
        self.stopped = True


def config(**domains: Any) -> Config:
    accepted = {name.replace("_", "."): {"next_hop": "m.x.org:25", "recipients": keys} for name, keys in domains.items()}
    server = {"name": "E", "fqdn": "r.x.org", "state_directory": "/none"}
    return Config.model_validate({"server": server, "accepted_domains": {**accepted, "open.org": {"next_hop": "m.x.org:25"}}})


def test_the_sources_of_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text("a\nb@two.org\n")
    probers: list[FakeProber] = []

    def prober(hop: object) -> FakeProber:
        probers.append(FakeProber())
        return probers[-1]

    given = config(one_org={"file": str(path)}, two_org={"file": str(path)}, three_org={"call_ahead": True}, four_org={"call_ahead": True})
    assert recipient_problems(given) == []
    service = RecipientService(given, Clock(), prober, print)
    recipients = service.recipients
    assert recipients is not None and len(probers) == 1 and len(service._lookups.files) == 1
    assert [recipients.known(address(text)) for text in ("a@one.org", "b@one.org", "b@two.org", "c@open.org")] == [True, False, True, True]
    said: list[Any] = []
    for text in ("a@three.org", "b@four.org"):
        found = recipients.known(address(text))
        assert isinstance(found, Deferred)
        found.addCallback(said.append)
    assert said == [True, False]
    service.stopService()
    assert probers[0].stopped


def test_no_recipients_no_work() -> None:
    assert RecipientService(config(), Clock(), lambda hop: FakeProber(), print).recipients is None


def test_problems_are_found_before_the_start(tmp_path: Path) -> None:
    pytest.importorskip("ldap")
    (tmp_path / "ldap.yaml").write_text("urls: [ldaps://d.x.org]\nbase: dc=x\nfilter: (mail={login})\n")
    problems = recipient_problems(config(one_org={"file": "/nowhere/list"}, two_org={"ldap": str(tmp_path / "ldap.yaml")}))
    unknown = "the placeholder {login} is unknown; allowed: {address}, {local}, {domain}"
    place = f"{tmp_path}/ldap.yaml:3: filter: '(mail={{login}})'"
    assert [str(problem) for problem in problems] == [
        'accepted_domains."one.org".recipients.file: /nowhere/list: No such file or directory',
        f'accepted_domains."two.org".recipients.ldap: {place}: {unknown}',
    ]
