"""Tests for L{twistedrelay.config.users}, L{twistedrelay.config.passwords} and L{twistedrelay.config.replace}."""

from __future__ import annotations

import datetime
import fcntl
import hashlib
import hmac
import os
import stat
import threading
from pathlib import Path

import argon2
import pytest

from tests.network import PATIENCE
from twistedrelay.config import replace
from twistedrelay.config.passwords import Hasher, PasswordError
from twistedrelay.config.simulated import lasting_secret
from twistedrelay.config.users import User, UsersError, UsersFile
from twistedrelay.values.scram import ScramVerifier

FAST = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def today() -> datetime.date:
    return datetime.datetime.now(datetime.UTC).date()


def users_file(path: Path, reports: list[str] | None = None) -> UsersFile:
    return UsersFile(str(path), (reports if reports is not None else []).append, Hasher(FAST))


@pytest.fixture
def users(tmp_path: Path) -> UsersFile:
    return users_file(tmp_path / "users")


def test_add_verify_list_remove(users: UsersFile) -> None:
    begun = today()
    added = users.add("Cengiz@cozumpark.com", "geheim", ["info@cozumpark.com", "it@cozumpark.com"])
    assert added == User("Cengiz@cozumpark.com", ("info@cozumpark.com", "it@cozumpark.com"), added.created)
    assert added.created is not None and begun <= added.created <= today()
    assert users.list() == [added]
    assert users.verify("cengiz@COZUMPARK.com", "geheim") == added
    assert users.verify("cengiz@cozumpark.com", "Geheim") is None
    assert users.verify("nobody@cozumpark.com", "geheim") is None
    assert users.remove("cengiz@cozumpark.com") == added
    assert users.list() == []
    assert users.verify("cengiz@cozumpark.com", "geheim") is None


def test_login_names(users: UsersFile) -> None:
    users.add("cengiz@a.example", "x")
    users.add("info@a.example", "x")
    users.add("info@b.example", "x")
    for name in ("cengiz@a.example", "CENGIZ@A.EXAMPLE", "cengiz", "AKKAYA\\Cengiz", "a\\b\\cengiz"):
        found = users.find(name)
        assert found is not None, name
        assert found.address == "cengiz@a.example"
    for name in ("info", "DOMAIN\\info", "", "DOMAIN\\", "cengi", "cengiz@", "DOMAIN\\cengiz@a.example", "@a.example"):
        assert users.find(name) is None, name


def test_passwd(users: UsersFile) -> None:
    users.add("a@b.example", "one", ["c@b.example"])
    users.add("d@b.example", "other")
    changed = users.passwd("A@b.example", "two")
    assert changed.send_as == ("c@b.example",)
    assert users.verify("a@b.example", "one") is None
    assert users.verify("a@b.example", "two") == changed
    assert [user.address for user in users.list()] == ["a@b.example", "d@b.example"]


def test_refusals(users: UsersFile) -> None:
    users.add("a@b.example", "one")
    with pytest.raises(UsersError, match=r"the user 'A@B.example' exists already"):
        users.add("A@B.example", "two")
    with pytest.raises(UsersError, match=r"there is no user 'x@b.example'"):
        users.remove("x@b.example")
    with pytest.raises(UsersError, match=r"there is no user 'x@b.example'"):
        users.passwd("x@b.example", "two")
    for address in ("", "postmaster", "a b@c.example", '"a b"@c.example', '"a,b"@c.example', "#a@c.example", "a@b@c"):
        with pytest.raises(UsersError, match="address"):
            users.add(address, "x")
    for password in ("", "a\x00b", "a\nb", "x" * 1025):
        with pytest.raises(PasswordError) as caught:
            users.add("new@b.example", password)
        assert not password or password not in str(caught.value)
    assert users.verify("a@b.example", "one")
    assert len(users.list()) == 1


def test_passwords_in_any_normal_form(users: UsersFile) -> None:
    users.add("a@b.example", "pa\u00dfwo\u0308rt")
    assert users.verify("a@b.example", "pa\u00dfw\u00f6rt")
    assert users.verify("a@b.example", "x" * 5000) is None


def test_the_file_is_for_people_and_holds_no_password(users: UsersFile, tmp_path: Path) -> None:
    created_at = str(users.add("a@b.example", "hunter2", ["c@b.example"]).created)
    lines = (tmp_path / "users").read_text().splitlines()
    assert lines[0].startswith("# Accounts of twistedrelay")
    address, kept, verifier, created, send_as = lines[-1].split()
    assert address == "a@b.example"
    assert kept.startswith("$argon2id$v=19$")
    assert created == f"created={created_at}"
    assert send_as == "send_as=c@b.example"
    assert "hunter2" not in "".join(lines)
    assert ScramVerifier.parse(verifier) == users.scram("a@b.example")[1]


def test_the_verifier_is_that_of_rfc_5803(users: UsersFile) -> None:
    users.add("a@b.example", "pencil")
    user, verifier = users.scram("DOMAIN\\A")
    assert user == users.find("a@b.example")
    assert verifier.iterations == 4096
    key = hashlib.pbkdf2_hmac("sha256", b"pencil", verifier.salt, 4096)
    assert verifier.stored_key == hashlib.sha256(hmac.digest(key, b"Client Key", "sha256")).digest()
    assert verifier.server_key == hmac.digest(key, b"Server Key", "sha256")


def test_login_names_of_scram_are_prepared(users: UsersFile) -> None:
    users.add("a@b.example", "x")
    assert users.scram("\u00aa@b.exam\u00adple")[0] is not None  # feminine ordinal indicator, soft hyphen (RFC 4013)
    assert users.scram("a\u0007@b.example")[0] is None


def test_users_that_do_not_exist_have_verifiers_like_those_that_do(tmp_path: Path) -> None:
    users = UsersFile(str(tmp_path / "users"), hasher=Hasher(FAST), secret=b"1" * 32)
    assert len(users.scram("x")[1].salt) == 32
    users.add("a@b.example", "x")
    users.add("c@d.example", "x")
    for name in ("nobody", "DOMAIN\\nobody", "other\\NOBODY"):
        user, verifier = users.scram(name)
        assert user is None
        assert verifier == users.scram("nobody")[1]
    real, simulated = users.scram("a")[1], users.scram("nobody")[1]
    assert (len(simulated.salt), simulated.iterations) == (len(real.salt), real.iterations)
    # A name without a domain has one of the domains that there are, as a real user's has.
    assert simulated in (users.scram("nobody@b.example")[1], users.scram("nobody@d.example")[1])
    assert len({users.scram(name)[1].salt for name in ("nobody@b.example", "nobody@d.example", "somebody@b.example")}) == 3
    again = UsersFile(users.path, secret=b"1" * 32)
    assert again.scram("nobody")[1] == simulated
    assert UsersFile(users.path, secret=b"2" * 32).scram("nobody")[1] != simulated


def test_the_secret_lasts_and_only_we_can_read_it(tmp_path: Path) -> None:
    path = tmp_path / "login.secret"
    secret = lasting_secret(str(path))
    assert len(secret) == 32
    assert lasting_secret(str(path)) == secret
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("broken")
    assert lasting_secret(str(path)) != secret


def test_default_hashes_are_of_rfc_9106() -> None:
    hasher = Hasher()
    kept, _ = hasher.make("x")
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert hasher.verify(kept, "x")


def test_unknown_users_cost_a_hash_too() -> None:
    calls: list[str] = []

    class Counting(argon2.PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> bool:
            calls.append(str(hash))
            return super().verify(hash, password)

    hasher = Hasher(Counting(time_cost=1, memory_cost=8, parallelism=1))
    kept, _ = hasher.make("x")
    for candidate, password in ((kept, "x"), (kept, "y"), (None, "x"), (None, "nobody's password"), (kept, "x" * 2000)):
        before = len(calls)
        assert hasher.verify(candidate, password) is (candidate is not None and password == "x")
        assert len(calls) == before + 1


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    daemon, tool = users_file(tmp_path / "users"), users_file(tmp_path / "users")
    daemon.load()
    assert daemon.find("a") is None
    tool.add("a@b.example", "x")
    assert daemon.verify("a@b.example", "x")
    tool.passwd("a@b.example", "y")
    assert daemon.verify("a@b.example", "x") is None
    assert daemon.verify("a@b.example", "y")
    os.unlink(tmp_path / "users")
    assert daemon.find("a") is None


def test_a_broken_file_leaves_the_last_good_version(tmp_path: Path) -> None:
    reports: list[str] = []
    path = tmp_path / "users"
    daemon = users_file(path, reports)
    daemon.add("a@b.example", "x")
    assert daemon.verify("a@b.example", "x")
    good = path.read_text()
    path.write_text(good + "broken\n")
    assert daemon.verify("a@b.example", "x")
    assert daemon.verify("a@b.example", "x")
    assert reports == [
        (
            f"the users file is not used as it is now, the last good version is: {path}:4: 1 fields; needed: address, argon2id hash, "
            "SCRAM-SHA-256 verifier"
        )
    ]
    with pytest.raises(UsersError, match=r"users:4: 1 fields"):
        daemon.list()
    with pytest.raises(UsersError, match=r"users:4: 1 fields"):
        daemon.add("c@b.example", "x")
    with pytest.raises(UsersError, match=r"users:4: 1 fields"):
        users_file(path).load()
    path.write_text(good)
    assert daemon.verify("a@b.example", "x")
    assert len(reports) == 1


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda fields: ["a b", *fields[1:]], "the second field is no argon2id hash"),
        (lambda fields: ["postmaster", *fields[1:]], "'postmaster'"),
        (lambda fields: [fields[0], "$2b$12$abc", *fields[2:]], "the second field is no argon2id hash"),
        (lambda fields: [*fields[:2], "secret", *fields[3:]], "the third field is no SCRAM-SHA-256 verifier"),
        (lambda fields: [*fields, "shell=/bin/sh"], "the property 'shell' is unknown; allowed: created=, send_as="),
        (lambda fields: [*fields[:3], "created=yesterday"], "yesterday"),
        (lambda fields: [*fields[:3], "send_as=a@b.example,c"], "'c'"),
        (lambda fields: [*fields, "\n" + " ".join(fields)], "is there twice"),
    ],
)
def test_bad_lines_have_their_number_and_show_no_hash(users: UsersFile, tmp_path: Path, change: object, text: str) -> None:
    users.add("a@b.example", "x")
    path = tmp_path / "users"
    *comments, line = path.read_text().splitlines()
    fields = line.split()
    path.write_text("\n".join([*comments, "", " ".join(change(fields))]) + "\n")  # type: ignore[operator]
    with pytest.raises(UsersError) as caught:
        users.list()
    number = 5 if text == "is there twice" else 4
    assert str(caught.value).startswith(f"{path}:{number}: ")
    assert text in str(caught.value)
    assert "$argon2id$" not in str(caught.value)
    assert "secret" not in str(caught.value)


def test_comments_stay(users: UsersFile, tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("# ours\n\n# second\n")
    users.add("a@b.example", "x")
    assert path.read_text().startswith("# ours\n# second\na@b.example $argon2id$")


def test_owner_and_mode_stay(users: UsersFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "users"
    users.add("a@b.example", "x")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    users.passwd("a@b.example", "y")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_root_makes_belongs_to_the_owner_of_the_directory(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    os.chown(state, 12345, 12346)
    users_file(state / "deeper" / "users").add("a@b.example", "x")
    for path in (state / "deeper", state / "deeper" / "users", state / "deeper" / "users.lock"):
        assert (path.stat().st_uid, path.stat().st_gid) == (12345, 12346), path
    os.chown(state / "deeper" / "users", 12347, 12348)
    users_file(state / "deeper" / "users").passwd("a@b.example", "y")
    assert (state / "deeper" / "users").stat().st_uid == 12347


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    os.symlink(tmp_path / "real" / "users", tmp_path / "users")
    users = users_file(tmp_path / "users")
    users.add("a@b.example", "x")
    assert (tmp_path / "users").is_symlink()
    assert users.verify("a", "x")


def test_writers_take_turns(tmp_path: Path) -> None:
    users = users_file(tmp_path / "users")
    failures: list[BaseException] = []

    def add(number: int) -> None:
        try:
            users_file(tmp_path / "users").add(f"u{number}@b.example", "x")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert failures == []
    assert sorted(user.address for user in users.list()) == sorted(f"u{number}@b.example" for number in range(12))


def test_a_writer_does_not_wait_for_ever(tmp_path: Path) -> None:
    path = str(tmp_path / "users")
    with open(path + ".lock", "w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        with pytest.raises(OSError, match="another program is changing it"), replace.LockedFile(path, patience=0.05):
            pass
    with replace.LockedFile(path, patience=0.05) as file:
        file.write("x")
    assert replace.stamp_of(path) is not None


def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "users"
    path.write_text("old")

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(replace.os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        replace.replace(str(path), "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["users"]


def test_an_unwritable_place_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsersError, match=r"file/users: cannot be changed: "):
        users_file(tmp_path / "file" / "users").add("a@b.example", "x")


def test_no_repr_shows_a_hash(users: UsersFile) -> None:
    users.add("a@b.example", "x")
    users.load()
    assert "argon2id" not in repr(users) + repr(users.list()) + repr(vars(users))
