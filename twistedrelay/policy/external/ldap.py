"""The checker C{ldap}: logins judged by a directory, such as OpenLDAP or Active Directory.

Decides whose entry a login is, whether the directory lets it bind with its password, and what its entry says: the address, the addresses
it may send as, its groups.  A login name is only ever put into a DN or a filter escaped; an entry must be the only one found; nothing is
kept of an answer, so a password changed or an account closed counts at once.

Sources: RFC 4513 (section 5.1.2: a bind without a password proves nothing), RFC 4514 (DNs), RFC 4515 (filters), Active Directory
(proxyAddresses).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import attrs
import ldap
import ldap.dn
import ldap.filter
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, execute
from twisted.logger import Logger
from zope.interface import Interface, implementer

from twistedrelay.config.users import User
from twistedrelay.policy.external.ldap_servers import Servers, bind_service, told
from twistedrelay.policy.external.ldap_settings import LDAPSettings, load_settings
from twistedrelay.policy.external.names import LoginName, name_and_password, parse_name
from twistedrelay.policy.realm import AvatarId
from twistedrelay.policy.threads import CheckThreads, LoginUnavailable
from twistedrelay.values.address import AddressError, parse_address

_WAITING = 64
_MOST_ADDRESSES = 200
_MOST_GROUPS = 500

#: Answers to a login's own bind that mean no; all others mean that nobody can tell.
_REFUSALS = (
    ldap.INVALID_CREDENTIALS,
    ldap.INAPPROPRIATE_AUTH,
    ldap.INVALID_DN_SYNTAX,
    ldap.NO_SUCH_OBJECT,
    ldap.CONSTRAINT_VIOLATION,  # 389 Directory Server: too many tries
    ldap.UNWILLING_TO_PERFORM,  # 389 Directory Server: the account is locked
)
_SCOPES = {"base": ldap.SCOPE_BASE, "one": ldap.SCOPE_ONELEVEL, "sub": ldap.SCOPE_SUBTREE}
_UNSAFE_IN_UPN = re.compile(r'[\\/\[\]:;|=,+*?<>"@\s]')  #: cannot be in an account name of Active Directory


@attrs.frozen(slots=True)
class Entry:
    """What was read of an entry; attribute names are in lower case."""

    dn: str
    values: Mapping[str, tuple[str, ...]]

    def get(self, attribute: str) -> tuple[str, ...]:
        """The values of an attribute."""
        return self.values.get(attribute.lower(), ())


class Directory:
    """Checks logins; blocks."""

    _log = Logger()

    def __init__(self, settings: LDAPSettings) -> None:
        self._settings = settings
        self._servers = Servers(settings)

    def check(self, name: LoginName, password: str) -> AvatarId:
        """The login of a name and a password, which is not empty.

        @raise UnauthorizedLogin: the directory says no, or the name is nobody's there.
        @raise LoginUnavailable: the directory cannot be asked.
        """
        try:
            return self._search_and_bind(name, password) if self._settings.bind_dn else self._bind_and_read(name, password)
        except ldap.LDAPError as error:
            raise LoginUnavailable(f"the directory does not answer as it should: {told(error)}") from None

    def _search_and_bind(self, name: LoginName, password: str) -> AvatarId:
        entry: Entry | None = self._service(lambda connection: self._find(connection, name))
        # A name that is nobody's takes as long as a wrong password.
        dn = entry.dn if entry is not None else f"cn=nobody,{self._settings.base}"
        self._servers.use("logins", _nothing, lambda connection: _bind(connection, dn, password))
        if entry is None:
            raise UnauthorizedLogin("the directory has no such user")
        return self._login(entry, name, self._service(lambda connection: self._groups(connection, entry, name)))

    def _bind_and_read(self, name: LoginName, password: str) -> AvatarId:
        who = self._own_name(name)

        def bind_and_read(connection: Any) -> tuple[Entry | None, tuple[str, ...]]:
            _bind(connection, who, password)
            found = self._find(connection, name) if self._settings.filter else self._read(connection, who)
            return found, self._groups(connection, found, name) if found is not None else ()

        entry, groups = self._servers.use("logins", _nothing, bind_and_read)
        if entry is None:
            raise LoginUnavailable("a user logged in whose entry is not found by the checker's filter")
        return self._login(entry, name, groups)

    def _service(self, work: Any) -> Any:
        """Do something as C{bind_dn}.  What it may not do is our trouble and not the login's."""
        try:
            return self._servers.use("service", self._bind_service, work)
        except ldap.LDAPError as error:
            raise LoginUnavailable(f"the directory does not let {self._settings.bind_dn} look for users: {told(error)}") from None

    def _bind_service(self, connection: Any) -> None:
        bind_service(connection, self._settings.bind_dn, self._settings.password_file)

    # -- names and entries -----------------------------------------------------------------------------------------------

    def _own_name(self, name: LoginName) -> str:
        """Whom a login binds as."""
        template = self._settings.bind_dn_template
        if "=" in template:
            return _filled(template, name, ldap.dn.escape_dn_chars)
        if _UNSAFE_IN_UPN.search(name.user):
            raise UnauthorizedLogin("not a name of the directory's users")
        return _filled(template, name, str)

    def _find(self, connection: Any, name: LoginName) -> Entry | None:
        """The entry of a login below C{base}.  More than one is as good as none."""
        settings = self._settings
        wanted = _filled(settings.filter, name, ldap.filter.escape_filter_chars)
        try:
            found = _search(connection, settings.base, _SCOPES[settings.scope], wanted, self._wanted(), limit=2)
        except ldap.SIZELIMIT_EXCEEDED:
            found = []
        except ldap.NO_SUCH_OBJECT:
            raise LoginUnavailable(f"the directory has no base {settings.base}") from None
        if len(found) > 1:
            self._log.error("more than one entry has the name {name}: it cannot log in", name=name.login)
        return found[0] if len(found) == 1 else None

    def _read(self, connection: Any, dn: str) -> Entry:
        """The entry that a login bound as; nothing of it where it cannot be read (or is no DN)."""
        found: list[Entry] = []
        if "=" in self._settings.bind_dn_template:
            try:
                found = _search(connection, dn, ldap.SCOPE_BASE, "(objectClass=*)", self._wanted(), limit=1)
            except (ldap.NO_SUCH_OBJECT, ldap.INSUFFICIENT_ACCESS):
                found = []
        return found[0] if found else Entry(dn, {})

    def _wanted(self) -> list[str]:
        settings = self._settings
        return list(dict.fromkeys([settings.address_attribute, *settings.send_as_attributes, settings.group_attribute]))

    # -- what an entry says ----------------------------------------------------------------------------------------------

    def _login(self, entry: Entry, name: LoginName, groups: tuple[str, ...]) -> AvatarId:
        address = next(_addresses(entry.get(self._settings.address_attribute)), name.address if self._settings.domain else "")
        if not address:
            self._log.error("{dn} has no {key}: it cannot log in", dn=entry.dn, key=self._settings.address_attribute)
            raise UnauthorizedLogin("the directory knows no address of the user")
        also = dict.fromkeys(also for key in self._settings.send_as_attributes for also in _addresses(entry.get(key)))
        also.pop(address, None)
        return AvatarId(address, User(address, tuple(also)[:_MOST_ADDRESSES]), groups)

    def _groups(self, connection: Any, entry: Entry, name: LoginName) -> tuple[str, ...]:
        """The names of an entry's groups below C{group_base}."""
        settings = self._settings
        if not settings.group_base:
            return ()
        if not settings.group_filter:
            return tuple(_names_below(entry.get(settings.group_attribute), settings.group_base))[:_MOST_GROUPS]
        wanted = _filled(settings.group_filter, name, ldap.filter.escape_filter_chars, entry.dn)
        found = _search(connection, settings.group_base, ldap.SCOPE_SUBTREE, wanted, [settings.group_name_attribute], limit=_MOST_GROUPS)
        return tuple(dict.fromkeys(value for group in found for value in group.get(settings.group_name_attribute)))


def _nothing(connection: Any) -> None:
    """A connection for logins needs no preparation."""


def _bind(connection: Any, who: str, password: str) -> None:
    try:
        connection.simple_bind_s(who, password)
    except _REFUSALS as error:
        raise UnauthorizedLogin(f"the directory refuses the login: {told(error)}") from None


def _filled(template: str, name: LoginName, escape: Callable[[str], str], dn: str = "") -> str:
    """A template with the parts of a login name, and a DN, in it, each escaped."""
    parts = {"login": name.login, "user": name.user, "domain": name.domain, "dn": dn}
    return re.sub(r"\{(login|user|domain|dn)\}", lambda found: escape(parts[found[1]]), template)


def _search(connection: Any, base: str, scope: int, wanted: str, attributes: Iterable[str], limit: int) -> list[Entry]:
    """The entries that match; referrals to other servers are left out."""
    found = connection.search_ext_s(base, scope, wanted, list(attributes), timeout=connection.timeout, sizelimit=limit)
    return [
        Entry(dn, {key.lower(): tuple(value.decode("utf-8", "replace") for value in values) for key, values in read.items()})
        for dn, read in found
        if dn
    ]


def _addresses(values: Iterable[str]) -> Iterator[str]:
    """The mail addresses among values such as C{user@example.org} and C{SMTP:user@example.org}; the capitals mark the first of them."""
    for value in sorted(values, key=lambda value: not value.startswith("SMTP:")):
        kind, separator, rest = value.partition(":")
        text = rest if separator and kind.lower() == "smtp" else value
        try:
            if parse_address(text, utf8=True).domain:
                yield text
        except AddressError:
            continue


def _names_below(dns: Iterable[str], base: str) -> Iterator[str]:
    """The first name of each DN below a base."""
    end = _comparable(base)
    for dn in dns:
        parts = _comparable(dn)
        if len(parts) > len(end) and parts[len(parts) - len(end) :] == end:
            yield ldap.dn.str2dn(dn)[0][0][1]


def _comparable(dn: str) -> list[list[tuple[str, str]]]:
    """A DN without what does not count in it; nothing for what is no DN."""
    try:
        return [sorted((key.lower(), value.casefold()) for key, value, _ in part) for part in ldap.dn.str2dn(dn)]
    except ldap.DECODING_ERROR:
        return []


@implementer(ICredentialsChecker)
class LDAPChecker:
    """Asks a directory about names and passwords."""

    credentialInterfaces: Sequence[type[Interface]] = (IUsernamePassword,)

    def __init__(self, threads: CheckThreads, directory: Directory, domain: str = "") -> None:
        self._threads = threads
        self._directory = directory
        self._domain = domain

    def stop(self) -> None:
        """End the threads: nobody asks any more."""
        self._threads.retire()

    def requestAvatarId(self, credentials: Any) -> Deferred[Any]:
        """See L{ICredentialsChecker}.  The avatar id is the entry's address."""
        return execute(self._named, credentials).addCallback(lambda named: self._threads.run(self._directory.check, *named))

    def _named(self, credentials: Any) -> tuple[LoginName, str]:
        name, password = name_and_password(credentials)
        return parse_name(name, self._domain), password


def make_checker(reactor: Any, path: str) -> LDAPChecker:
    """The checker for a file.  Threads and connections start with the first login.

    @raise ConfigError: the file cannot be used.
    """
    settings = load_settings(path)
    threads = CheckThreads(reactor, "the directory", settings.max_connections, _WAITING, end_with_reactor=True)
    return LDAPChecker(threads, Directory(settings), settings.domain)
