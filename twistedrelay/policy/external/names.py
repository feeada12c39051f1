"""Login names, as clients write them, for servers that know users by other names.

Decides who C{cengiz}, C{cengiz@example.org} and C{AKKAYA\\cengiz} are, and which names no server of accounts is ever asked about.  Case
does not count in a login name: everything is in lower case from here on.
"""

from __future__ import annotations

import unicodedata
from typing import Any

import attrs
from twisted.cred.error import UnauthorizedLogin

_LONGEST_NAME = 320  #: a local part, @ and a domain (RFC 5321 section 4.5.3.1)
_LONGEST_PASSWORD = 1024


@attrs.frozen(slots=True)
class LoginName:
    """A name in its parts.

    @ivar login: what the client wrote, without a Windows domain in front.
    @ivar user: its local part, or all of it where it has no domain.
    @ivar domain: its domain, else that of the checker's configuration, else nothing.
    """

    login: str
    user: str
    domain: str

    @property
    def address(self) -> str:
        """C{user@domain}; just the user where no domain is known."""
        return f"{self.user}@{self.domain}" if self.domain else self.user


def parse_name(text: str, domain: str = "") -> LoginName:
    """A login name.

    @param domain: the only domain there is; names without one are in it.
    @raise UnauthorizedLogin: it cannot be anybody's, or is of another domain.
    """
    login = text.lower()
    if "@" not in login:
        login = login.rpartition("\\")[2]
    if not login or len(login) > _LONGEST_NAME or any(unicodedata.category(character)[0] in "CZ" for character in login):
        raise UnauthorizedLogin("not a login name")
    user, separator, its_domain = login.rpartition("@")
    if not separator:
        user, its_domain = login, domain
    if not user or (separator and not its_domain) or (domain and its_domain != domain):
        raise UnauthorizedLogin("a login name of another domain" if user else "not a login name")
    return LoginName(login, user, its_domain)


def name_and_password(credentials: Any) -> tuple[str, str]:
    """What a login gave, as text.

    An empty password is refused here, before anybody is asked: to a directory it means no login at all, and it says yes (RFC 4513 section
    5.1.2), and C{pam_unix} with C{nullok} lets in whoever has none.

    @raise UnauthorizedLogin: it cannot be right.
    """
    try:
        name, password = credentials.username.decode("utf-8"), credentials.password.decode("utf-8")
    except UnicodeDecodeError:
        raise UnauthorizedLogin("name or password is not UTF-8") from None
    if not password or len(password) > _LONGEST_PASSWORD or "\0" in password:
        raise UnauthorizedLogin("an empty or impossible password")
    return name, password
