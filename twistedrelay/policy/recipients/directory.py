"""The addresses that a directory knows, such as OpenLDAP or Active Directory.

Decides how the file of C{recipients: {ldap: ...}} is written, and what makes an address exist: an entry below C{base} that the filter
finds, for the address itself or for what stands in front of a C{+}.  An address is only ever put into the filter escaped.

Sources: RFC 4515 (filters), Active Directory (proxyAddresses), RFC 5233 (subaddresses).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import ldap
import ldap.filter

from twistedrelay.policy.external.ldap_servers import Servers, bind_service, told
from twistedrelay.policy.external.ldap_settings import ServerSettings, template
from twistedrelay.policy.threads import LoginUnavailable
from twistedrelay.values.address import Address

_PARTS = ("address", "local", "domain")
_PART = re.compile(r"\{(address|local|domain)\}")
_SCOPES = {"base": ldap.SCOPE_BASE, "one": ldap.SCOPE_ONELEVEL, "sub": ldap.SCOPE_SUBTREE}


class RecipientDirectorySettings(ServerSettings):
    """The keys of the file.

    @ivar bind_dn: who asks; empty: nobody in particular (an anonymous bind).
    """

    bind_dn: str = ""
    password_file: str = ""
    base: str
    filter: Annotated[str, template(*_PARTS)] = "(|(proxyAddresses=smtp:{address})(mail={address}))"
    scope: Literal["base", "one", "sub"] = "sub"

    def _wrong(self) -> list[str]:
        wrong = super()._wrong()
        if bool(self.bind_dn) != bool(self.password_file):
            wrong.append("'bind_dn' and 'password_file' go together")
        if not self.base:
            wrong.append("'base' is empty; allowed: a DN such as ou=people,dc=example,dc=org")
        if "{address}" not in self.filter and "{local}" not in self.filter:
            wrong.append("'filter' needs {address} or {local}: else every address would exist, or none")
        return wrong


class RecipientDirectory:
    """Looks for addresses; blocks."""

    def __init__(self, settings: RecipientDirectorySettings) -> None:
        self._settings = settings
        self._servers = Servers(settings)

    def exists(self, recipient: Address) -> bool:
        """Whether an entry has the address.

        @raise LoginUnavailable: the directory cannot be asked.
        """
        try:
            return any(self._servers.use("recipients", self._bind, functools.partial(self._find, text)) for text in _texts(recipient))
        except ldap.LDAPError as error:
            raise LoginUnavailable(f"the directory does not answer as it should: {told(error)}") from None

    def _bind(self, connection: Any) -> None:
        if self._settings.bind_dn:
            bind_service(connection, self._settings.bind_dn, self._settings.password_file)

    def _find(self, address: str, connection: Any) -> bool:
        settings = self._settings
        local, _, domain = address.rpartition("@")
        parts = {"address": address, "local": local, "domain": domain}
        wanted = _PART.sub(lambda found: ldap.filter.escape_filter_chars(parts[found[1]]), settings.filter)
        try:
            found = connection.search_ext_s(
                settings.base, _SCOPES[settings.scope], wanted, ["1.1"], timeout=connection.timeout, sizelimit=1
            )
        except ldap.SIZELIMIT_EXCEEDED:
            return True
        return any(dn for dn, _ in found)  # a referral has none


def _texts(recipient: Address) -> Iterator[str]:
    """What an entry may say of an address."""
    yield f"{recipient.local}@{recipient.domain}"
    user, plus, _ = recipient.local.partition("+")
    if plus and user and not user.startswith('"'):
        yield f"{user}@{recipient.domain}"
