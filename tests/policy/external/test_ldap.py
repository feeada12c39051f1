"""Tests for L{twistedrelay.policy.external.ldap}: a directory that writes down what it is asked.

The real slapd is in C{tests/end_to_end/test_credential_checkers.py}.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, succeed
from zope.interface.verify import verifyObject

ldap = pytest.importorskip("ldap")
from ldap.dn import str2dn  # noqa: E402

from twistedrelay.policy.external import ldap_servers  # noqa: E402
from twistedrelay.policy.external.ldap import Directory, LDAPChecker  # noqa: E402
from twistedrelay.policy.external.ldap_settings import LDAPSettings  # noqa: E402
from twistedrelay.policy.external.names import parse_name  # noqa: E402
from twistedrelay.policy.threads import LoginUnavailable  # noqa: E402

PEOPLE, GROUPS = "ou=people,dc=x", "ou=groups,dc=x"
CENGIZ = f"uid=cengiz,{PEOPLE}"


class Connection:
    """A connection to a scripted directory."""

    def __init__(self, directory: Scripted, url: str) -> None:
        self.directory = directory
        self.url = url
        self.timeout = 5.0
        self.bound = ""
        self.closed = False

    def set_option(self, option: int, value: object) -> None:
        self.directory.options[option] = value

    def start_tls_s(self) -> None:
        self.directory.said.append(("start_tls",))

    def unbind_s(self) -> None:
        self.closed = True

    def simple_bind_s(self, who: str, password: str) -> None:
        self._trouble()
        self.bound = ""
        self.directory.said.append(("bind", who))
        if self.directory.passwords.get(who) != password:
            raise ldap.INVALID_CREDENTIALS({"desc": "Invalid credentials"})
        self.bound = who

    def search_ext_s(self, base: str, scope: int, wanted: str, attributes: list[str], timeout: float, sizelimit: int) -> list[Any]:
        self._trouble()
        self.directory.said.append(("search", self.bound, base, wanted))
        return [*self.directory.found.get(base, []), (None, ["ldap://elsewhere/"])]

    def _trouble(self) -> None:
        assert not self.closed
        if self.url in self.directory.down:
            raise ldap.SERVER_DOWN({"desc": "Can't contact LDAP server"})


class Scripted:
    """A directory."""

    def __init__(self) -> None:
        self.passwords = {"cn=relay,dc=x": "dienst", CENGIZ: "geheim", "cengiz@x.org": "geheim"}
        self.found: dict[str, list[Any]] = {PEOPLE: [self.entry()]}
        self.said: list[tuple[str, ...]] = []
        self.options: dict[int, object] = {}
        self.down: set[str] = set()
        self.connections: list[Connection] = []

    @staticmethod
    def entry(dn: str = CENGIZ, **values: list[str]) -> Any:
        given = {"mail": ["cengiz@akkaya.local"], **values}
        return dn, {key: [value.encode() for value in several] for key, several in given.items()}

    def connect(self, url: str) -> Connection:
        self.connections.append(Connection(self, url))
        return self.connections[-1]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """The directory behind all URLs."""
    made = Scripted()
    monkeypatch.setattr(ldap_servers.ldap, "initialize", made.connect)
    return made


@pytest.fixture
def password_file(tmp_path: Any) -> str:
    """The service account's password."""
    (tmp_path / "password").write_text("dienst\n")
    return str(tmp_path / "password")


def searching(password_file: str, **keys: Any) -> Directory:
    """Search and bind."""
    settings = {"bind_dn": "cn=relay,dc=x", "password_file": password_file, "base": PEOPLE, "filter": "(uid={user})"}
    return Directory(LDAPSettings.model_validate({"urls": ["ldaps://one", "ldaps://two"], **settings, **keys}))


def binding(template: str = f"uid={{user}},{PEOPLE}", **keys: Any) -> Directory:
    """Logins bind by themselves."""
    return Directory(LDAPSettings.model_validate({"urls": ["ldaps://one"], "bind_dn_template": template, **keys}))


def check(directory: Directory, name: str = "cengiz", password: str = "geheim") -> Any:
    return directory.check(parse_name(name), password)


def test_search_and_bind(scripted: Scripted, password_file: str) -> None:
    directory = searching(password_file)
    scripted.found[PEOPLE] = [scripted.entry(proxyAddresses=["smtp:info@akkaya.local", "SMTP:Cengiz@akkaya.local", "X500:/o=x", "sip:a@b"])]
    login = check(directory)
    assert login == "cengiz@akkaya.local"
    assert login.user.send_as == ("Cengiz@akkaya.local", "info@akkaya.local")
    assert login.groups == ()
    assert scripted.said == [("bind", "cn=relay,dc=x"), ("search", "cn=relay,dc=x", PEOPLE, "(uid=cengiz)"), ("bind", CENGIZ)]
    scripted.said.clear()
    check(directory)
    assert scripted.said == [("search", "cn=relay,dc=x", PEOPLE, "(uid=cengiz)"), ("bind", CENGIZ)], "connections are kept"
    assert len(scripted.connections) == 2


def test_safe_options(scripted: Scripted, password_file: str) -> None:
    check(searching(password_file, urls=["ldap://one"], tls_ca_file="/ca.pem"))
    assert scripted.said[0] == ("start_tls",)
    assert scripted.options[ldap.OPT_REFERRALS] == ldap.OPT_OFF
    assert scripted.options[ldap.OPT_X_TLS_REQUIRE_CERT] == ldap.OPT_X_TLS_DEMAND
    assert scripted.options[ldap.OPT_X_TLS_CACERTFILE] == "/ca.pem"
    assert scripted.options[ldap.OPT_NETWORK_TIMEOUT] == scripted.options[ldap.OPT_TIMEOUT] == 5.0


def test_wrong_passwords_and_unknown_names_cost_the_same(scripted: Scripted, password_file: str) -> None:
    directory = searching(password_file)
    check(directory)
    steps = []
    for found in ([scripted.entry()], [], [scripted.entry(), scripted.entry("uid=other,ou=people,dc=x")]):
        scripted.found[PEOPLE] = found
        scripted.said.clear()
        with pytest.raises(UnauthorizedLogin):
            check(directory, password="falsch")
        steps.append([step[0] for step in scripted.said])
    assert steps == [["search", "bind"]] * 3
    assert len(scripted.connections) == 2


def test_groups_below_the_base_only(scripted: Scripted, password_file: str) -> None:
    groups = ["CN=Mail Relay,OU=Groups,DC=X", f"cn=admins,{PEOPLE}", f"cn=a\\,b,{GROUPS}", GROUPS, "nonsense", f"cn=x,o{GROUPS}"]
    scripted.found[PEOPLE] = [scripted.entry(memberOf=groups)]
    assert check(searching(password_file, group_base=GROUPS)).groups == ("Mail Relay", "a,b")
    assert check(searching(password_file)).groups == ()


def test_groups_by_search(scripted: Scripted, password_file: str) -> None:
    scripted.found[PEOPLE] = [scripted.entry(f"cn=A (b)*,{PEOPLE}")]
    scripted.passwords[f"cn=A (b)*,{PEOPLE}"] = "geheim"
    scripted.found[GROUPS] = [("cn=one,dc=x", {"cn": [b"one", b"eins"]}), ("cn=two,dc=x", {"CN": [b"two"]}), ("cn=three,dc=x", {})]
    login = check(searching(password_file, group_base=GROUPS, group_filter="(|(member={dn})(memberUid={user}))"))
    assert login.groups == ("one", "eins", "two")
    assert scripted.said[-1] == ("search", "cn=relay,dc=x", GROUPS, f"(|(member=cn=A \\28b\\29\\2a,{PEOPLE})(memberUid=cengiz))")


def test_logins_that_bind_by_themselves(scripted: Scripted) -> None:
    scripted.found = {CENGIZ: [scripted.entry(memberOf=[f"cn=relay,{GROUPS}"])]}
    login = check(binding(group_base=GROUPS))
    assert (login, login.groups) == ("cengiz@akkaya.local", ("relay",))
    assert scripted.said == [("bind", CENGIZ), ("search", CENGIZ, CENGIZ, "(objectClass=*)")]


def test_active_directory(scripted: Scripted) -> None:
    login = check(binding("{user}@x.org", base=PEOPLE, filter="(sAMAccountName={user})"))
    assert login == "cengiz@akkaya.local"
    assert scripted.said == [("bind", "cengiz@x.org"), ("search", "cengiz@x.org", PEOPLE, "(sAMAccountName=cengiz)")]
    for name in ("a\\b@x", "a/b", "a=b", "a*", "a,b", "a+b"):
        with pytest.raises(UnauthorizedLogin):
            check(binding("{user}@x.org"), name)
    assert len(scripted.said) == 2


def test_the_address_where_the_directory_knows_none(scripted: Scripted) -> None:
    scripted.found = {}
    assert binding(domain="akkaya.local").check(parse_name("cengiz", "akkaya.local"), "geheim") == "cengiz@akkaya.local"
    for name in ("cengiz", "cengiz@bank.example"):  # the domain of a name proves nothing
        with pytest.raises(UnauthorizedLogin):
            check(binding(), name)


def test_the_next_server_is_asked(scripted: Scripted, password_file: str) -> None:
    directory = searching(password_file)
    scripted.down = {"ldaps://one"}
    check(directory)
    assert [connection.url for connection in scripted.connections] == ["ldaps://one", "ldaps://two", "ldaps://two"]
    assert scripted.connections[0].closed
    scripted.down = {"ldaps://one", "ldaps://two"}
    with pytest.raises(LoginUnavailable, match="no directory server could be asked"):
        check(directory)
    scripted.down = set()
    check(directory)
    assert sum(not connection.closed for connection in scripted.connections) == 2


def test_the_way_back_to_the_first_server(scripted: Scripted, password_file: str) -> None:
    now = [0.0]
    directory = searching(password_file)
    directory._servers._monotonic = lambda: now[0]
    scripted.down = {"ldaps://one"}
    check(directory)
    scripted.down = set()
    now[0] = 301.0
    scripted.connections.clear()
    check(directory)
    assert {connection.url for connection in scripted.connections} == {"ldaps://one"}


def test_trouble_with_the_service_account(scripted: Scripted, password_file: str) -> None:
    del scripted.passwords["cn=relay,dc=x"]
    directory = searching(password_file)
    for _ in range(2):
        with pytest.raises(LoginUnavailable, match="refuses cn=relay,dc=x"):
            check(directory)
    assert ("bind", CENGIZ) not in scripted.said
    assert all(connection.closed for connection in scripted.connections), "a connection that is nobody's is not kept"


@pytest.mark.parametrize("error", [ldap.STRONG_AUTH_REQUIRED, ldap.OPERATIONS_ERROR, ldap.INSUFFICIENT_ACCESS, ldap.REFERRAL])
def test_what_is_no_answer_is_no_no(
    scripted: Scripted, password_file: str, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: object, **keys: object) -> None:
        raise error({"desc": "no"})

    directory = searching(password_file)
    monkeypatch.setattr(Connection, "search_ext_s", fails)
    with pytest.raises(LoginUnavailable):
        check(directory)
    monkeypatch.setattr(Connection, "simple_bind_s", fails)
    for each in (searching(password_file), binding()):
        with pytest.raises(LoginUnavailable):
            check(each)


@given(st.text(min_size=1, max_size=40), st.sampled_from(["uid={user},ou=people,dc=x", "mail={login},ou=people,dc=x"]))
def test_no_name_reaches_another_entry(name: str, template: str) -> None:
    """Whatever is written as a name, it stays one value of one attribute."""
    try:
        login = parse_name(name)
    except UnauthorizedLogin:
        return
    dn = binding(template)._own_name(login)
    first, *rest = str2dn(dn)
    assert [(part[0][0], part[0][1]) for part in rest] == [("ou", "people"), ("dc", "x")]
    [(attribute, value, _)] = first
    assert value == (login.user if attribute == "uid" else login.login)


def test_the_checker() -> None:
    class Now:
        def run(self, check: Any, *arguments: Any) -> Deferred[Any]:
            return succeed(arguments)

    checker = LDAPChecker(Now(), binding(), "akkaya.local")  # type: ignore[arg-type]
    assert verifyObject(ICredentialsChecker, checker)
    got: list[Any] = []
    checker.requestAvatarId(UsernamePassword(b"Cengiz", b"x")).addCallback(got.append)
    assert got == [(parse_name("cengiz", "akkaya.local"), "x")]
    for name, password in ((b"cengiz", b""), (b"cengiz@other.test", b"x"), (b"", b"x")):
        refused: list[Any] = []
        checker.requestAvatarId(UsernamePassword(name, password)).addErrback(refused.append)
        assert refused[0].check(UnauthorizedLogin)


def test_what_the_library_leaves_unsaid() -> None:
    """GnuTLS gives no reason for a certificate that it does not take."""
    refused = ldap.SERVER_DOWN({"result": -1, "desc": "Can't contact LDAP server", "info": "(unknown error code)"})
    assert ldap_servers.told(refused).startswith("Can't contact LDAP server: no reason given; often the server's certificate")
    assert ldap_servers.told(ldap.SERVER_DOWN({"desc": "x", "info": "y"})) == "x: y"
