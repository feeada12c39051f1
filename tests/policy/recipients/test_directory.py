"""Tests for L{twistedrelay.policy.recipients.directory}: what a directory is asked.  The real slapd is in C{tests/end_to_end}."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

ldap = pytest.importorskip("ldap")

from twistedrelay.policy.external import ldap_servers  # noqa: E402
from twistedrelay.policy.recipients.directory import RecipientDirectory, RecipientDirectorySettings  # noqa: E402
from twistedrelay.policy.threads import LoginUnavailable  # noqa: E402
from twistedrelay.values.address import parse_address  # noqa: E402


class Connection:
    """A connection to a scripted directory.

    @ivar found: what a filter finds, or what is raised.
    """

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}
        self.said: list[tuple[str, ...]] = []
        self.timeout = 5.0

    def set_option(self, option: int, value: object) -> None:
        """Nothing to remember."""

    def simple_bind_s(self, who: str, password: str) -> None:
        self.said.append(("bind", who, password))
        if password != "secret":
            raise ldap.INVALID_CREDENTIALS({"desc": "Invalid credentials"})

    def unbind_s(self) -> None:
        """It ends."""

    def search_ext_s(self, base: str, scope: int, wanted: str, attributes: list[str], timeout: float, sizelimit: int) -> Any:
        self.said.append(("search", base, wanted))
        found = self.found.get(wanted, [])
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Connection:
    made = Connection()
    monkeypatch.setattr(ldap_servers.ldap, "initialize", lambda url: made)
    return made


def directory(**keys: Any) -> RecipientDirectory:
    given = {"urls": ["ldapi://%2Fsocket"], "base": "dc=x", **keys}
    return RecipientDirectory(RecipientDirectorySettings.model_validate(given))


def exists(made: RecipientDirectory, text: str) -> bool:
    return made.exists(parse_address(text))


def usual(text: str) -> str:
    return f"(|(proxyAddresses=smtp:{text})(mail={text}))"


def test_an_entry_is_found_or_not(connection: Connection) -> None:
    made = directory()
    connection.found = {usual("a@x.org"): [("cn=a", {})], usual("b@x.org"): [(None, ["ldap://elsewhere/"])]}
    connection.found[usual("many@x.org")] = ldap.SIZELIMIT_EXCEEDED({})
    assert exists(made, "a@x.org") and exists(made, "a+tag@x.org") and exists(made, "many@x.org")
    assert not exists(made, "b@x.org") and not exists(made, "c@x.org")
    assert ("search", "dc=x", usual("a+tag@x.org")) in connection.said


def test_an_address_is_only_ever_text(connection: Connection) -> None:
    made = directory(filter="(&(uid={local})(o={domain}))")
    assert not exists(made, "*@x.org") and not exists(made, '"a)(uid=*"@x.org')
    assert [one[2] for one in connection.said] == [r"(&(uid=\2a)(o=x.org))", r'(&(uid="a\29\28uid=\2a")(o=x.org))']


def test_who_asks(connection: Connection, tmp_path: Any) -> None:
    (tmp_path / "password").write_text("secret\n")
    exists(directory(bind_dn="cn=relay", password_file=str(tmp_path / "password")), "a@x.org")
    assert connection.said[0] == ("bind", "cn=relay", "secret")
    (tmp_path / "password").write_text("wrong\n")
    with pytest.raises(LoginUnavailable, match="refuses cn=relay"):
        exists(directory(bind_dn="cn=relay", password_file=str(tmp_path / "password")), "a@x.org")


@pytest.mark.parametrize("error", [ldap.SERVER_DOWN({}), ldap.NO_SUCH_OBJECT({}), ldap.INSUFFICIENT_ACCESS({})])
def test_a_directory_that_does_not_answer_as_it_should(connection: Connection, error: Exception) -> None:
    connection.found[usual("a@x.org")] = error
    with pytest.raises(LoginUnavailable):
        exists(directory(), "a@x.org")


@pytest.mark.parametrize(
    ("keys", "why"),
    [
        ({"filter": "(mail=me)"}, "needs {address} or {local}"),
        ({"filter": "(mail={user})"}, "the placeholder {user} is unknown"),
        ({"bind_dn": "cn=relay"}, "go together"),
        ({"base": ""}, "'base' is empty"),
        ({"urls": ["ldap://far.x.org"], "start_tls": False}, "in clear text"),
    ],
)
def test_settings_that_cannot_be(keys: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why.replace("{", r"\{")):
        directory(**keys)
