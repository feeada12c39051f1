"""The file of the checker C{ldap}: where the directory is, how a login finds its entry, what is read from it.

Decides how the file is written and which combinations are safe.  It is YAML with the rules of C{relay.yaml}: scalars are read as written,
unknown keys are errors, every error names file and line, relative paths count from the file.  Never speaks to a directory.

Sources: RFC 4516 (URLs), RFC 4515 (filters), RFC 4513 (bind, StartTLS).
"""

from __future__ import annotations

import ipaddress
import os
import re
from typing import Annotated, Any, Literal, Self, TypeVar, overload
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError, model_validator

from twistedrelay.config import translate
from twistedrelay.config.nodes import read
from twistedrelay.config.problems import ConfigError, Places, Problem, suggestion
from twistedrelay.config.schema import Model
from twistedrelay.config.units import Duration, Integer, Switch, between, domain_name, lasting

_PLACEHOLDER = re.compile(r"\{(\w*)\}")
_NAMES = ("login", "user", "domain")
_PATHS = ("tls_ca_file", "password_file")


def template(*allowed: str) -> AfterValidator:
    """A text with no other placeholders than these."""

    def check(text: str) -> str:
        unknown = [name for name in _PLACEHOLDER.findall(text) if name not in allowed]
        if unknown or re.search(r"[{}]", _PLACEHOLDER.sub("", text)):
            wrong = f"the placeholder {{{unknown[0]}}} is unknown" if unknown else "a brace stands alone"
            raise ValueError(f"{text!r}: {wrong}; allowed: {', '.join(f'{{{name}}}' for name in allowed)}")
        return text

    return AfterValidator(check)


def _url(text: str) -> str:
    """An address of a server, nothing else."""
    parts = urlsplit(text)
    try:
        good = parts.scheme in ("ldap", "ldaps", "ldapi") and bool(parts.netloc) and (parts.scheme == "ldapi" or parts.port != 0)
    except ValueError:
        good = False
    if not good or parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"{text!r} is no server; allowed: ldaps://host[:port], ldap://host[:port] or ldapi://%2Fpath%2Fof%2Fsocket")
    return text


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ServerSettings(Model):
    """The keys that say where a directory is."""

    urls: list[Annotated[str, AfterValidator(_url)]]
    start_tls: Switch = True
    tls_ca_file: str = ""
    timeout: Annotated[Duration, lasting("1s", "30s")] = 5.0
    max_connections: Annotated[Integer, between(1, 64)] = 4

    @model_validator(mode="after")
    def _together(self) -> Self:
        for wrong in self._wrong():
            raise ValueError(wrong)
        return self

    def _wrong(self) -> list[str]:
        """What does not fit together."""
        wrong = []
        if not self.urls:
            wrong.append("'urls' needs at least one server")
        clear = [url for url in self.urls if url.startswith("ldap:") and not self.start_tls and not _is_loopback(url)]
        if clear:
            wrong.append(f"{clear[0]!r} without start_tls would send passwords in clear text; allowed on this machine's loopback only")
        return wrong


class LDAPSettings(ServerSettings):
    """The keys of the file.

    @ivar bind_dn_template: whom a login binds as: a DN with C{{user}} in it, or Active Directory's C{{user}@example.org}.
    @ivar filter: finds the entry of a login below C{base}; asked as C{bind_dn}, or as the login itself where C{bind_dn_template} is given.
    @ivar domain: the only domain of login names, which may then come without it.
    @ivar group_base: only groups below it count; empty: no groups.
    @ivar group_filter: finds the groups of an entry below C{group_base}; empty: they are the values of C{group_attribute}.
    """

    domain: str = ""
    bind_dn_template: Annotated[str, template(*_NAMES)] = ""
    bind_dn: str = ""
    password_file: str = ""
    base: str = ""
    filter: Annotated[str, template(*_NAMES)] = ""
    scope: Literal["base", "one", "sub"] = "sub"
    address_attribute: str = "mail"
    send_as_attributes: list[str] = Field(default=["mail", "proxyAddresses"])
    group_base: str = ""
    group_attribute: str = "memberOf"
    group_filter: Annotated[str, template("dn", *_NAMES)] = ""
    group_name_attribute: str = "cn"

    def _wrong(self) -> list[str]:
        wrong = super()._wrong()
        if bool(self.bind_dn) == bool(self.bind_dn_template):
            wrong.append("exactly one of 'bind_dn_template' (logins bind by themselves) and 'bind_dn' (search first) is needed")
        if self.bind_dn and not (self.password_file and self.base and self.filter):
            wrong.append("'bind_dn' needs 'password_file', 'base' and 'filter'")
        if self.bind_dn_template and not _PLACEHOLDER.search(self.bind_dn_template):
            wrong.append("'bind_dn_template' needs {user} or {login}: else every login would be the same entry")
        if self.filter and not _PLACEHOLDER.search(self.filter):
            wrong.append("'filter' needs {user} or {login}: else every login would find the same entry")
        if bool(self.base) != bool(self.filter):
            wrong.append("'base' and 'filter' go together")
        if self.group_filter and not self.group_base:
            wrong.append("'group_filter' needs 'group_base'")
        return wrong


_Settings = TypeVar("_Settings", bound=ServerSettings)


@overload
def load_settings(path: str) -> LDAPSettings: ...


@overload
def load_settings(path: str, model: type[_Settings]) -> _Settings: ...


def load_settings(path: str, model: type[Any] = LDAPSettings) -> Any:
    """The settings of a file; blocks.

    @raise ConfigError: it cannot be used; it holds all problems.
    """
    try:
        with open(path, "rb") as stream:
            content = stream.read()
    except OSError as error:
        raise ConfigError([Problem((), f"cannot be read: {error.strerror}", path)]) from None
    document = read(path, content)
    places = Places()
    places.add_file(path)
    for where, place in document.places.items():
        places.add(where, place)
    problems = list(document.problems)
    data = document.data
    if data is None:
        raise ConfigError(problems)
    _remove_unusable(data, model, problems)
    _resolve(data, os.path.dirname(os.path.abspath(path)))
    made = None
    try:
        made = model.model_validate(data)
    except ValidationError as error:
        problems += translate.problems(error, (), places)
    else:
        problems += _file_problems(made)
    if problems or made is None:
        raise ConfigError([places.locate(problem) for problem in problems])
    return made


def _remove_unusable(data: dict[str, Any], model: type[ServerSettings], problems: list[Problem]) -> None:
    """Report and remove unknown keys and keys without a value."""
    for key in list(data):
        if key not in model.model_fields:
            known = ", ".join(model.model_fields)
            problems.append(Problem((key,), f"the key {key!r} is unknown{suggestion(key, model.model_fields)}; allowed: {known}"))
            del data[key]
        elif data[key] is None:
            problems.append(Problem((key,), f"the key {key!r} has no value; give it one or leave the key out"))
            del data[key]


def _resolve(data: dict[str, Any], base: str) -> None:
    for key in _PATHS:
        if isinstance(data.get(key), str):
            data[key] = os.path.normpath(os.path.join(base, data[key]))
    if isinstance(data.get("domain"), str):
        data["domain"] = data["domain"].strip().lower()


def _file_problems(settings: ServerSettings) -> list[Problem]:
    """Files that are named and cannot be used, and a domain that is none."""
    problems = []
    for key in _PATHS:
        if file := getattr(settings, key, ""):
            try:
                with open(file, "rb") as stream:
                    if not stream.read(1):
                        problems.append(Problem((key,), f"{file}: is empty"))
            except OSError as error:
                problems.append(Problem((key,), f"{file}: {error.strerror}"))
    if isinstance(settings, LDAPSettings) and settings.domain:
        try:
            domain_name(settings.domain)
        except ValueError as error:
            problems.append(Problem(("domain",), str(error)))
    return problems
