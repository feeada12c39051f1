"""What is asked: a client, where it connects to, and what it says there.

It decides what a question may hold and which door it means; never what the answer is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Literal

import attrs
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from twistedrelay.answers.connectors import UnknownConnector, find_connector
from twistedrelay.config.schema import Config
from twistedrelay.policy.connector import ConnectorTable, ListeningBinding
from twistedrelay.values.address import AddressError, parse_address
from twistedrelay.values.netrange import IPAddress, parse_ip

MAX_RECIPIENTS = 100

_PLACE = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]*)):(\d{1,5})")
_PRINTABLE = re.compile(r"[!-~]*")

TLS = Literal["", "any", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]


class QuestionError(ValueError):
    """The question cannot be asked; C{str()} says why, and what could be."""


def _client(text: str) -> str:
    try:
        return str(parse_ip(text))
    except ValueError:
        raise ValueError(f"{text!r} is no IP address") from None


def _mailbox(text: str) -> str:
    """An address as MAIL and RCPT have it between the brackets."""
    bare = text.strip().removeprefix("<").removesuffix(">")
    if bare and bare.lower() != "postmaster":
        try:
            parse_address(bare, utf8=True)
        except AddressError as error:
            raise ValueError(f"{text!r}: {error}") from None
    return bare


def _recipient(text: str) -> str:
    bare = _mailbox(text)
    if not bare:
        raise ValueError("a recipient is no null path")
    return bare


def _word(text: str) -> str:
    if not _PRINTABLE.fullmatch(text):
        raise ValueError("must be printable ASCII without spaces")
    return text


def _name(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be printable")
    return text


Client = Annotated[str, Field(max_length=100), AfterValidator(_client)]
Mailbox = Annotated[str, Field(max_length=600), AfterValidator(_mailbox)]
Recipient = Annotated[str, Field(max_length=600), AfterValidator(_recipient)]
Word = Annotated[str, Field(max_length=255), AfterValidator(_word)]
Name = Annotated[str, Field(max_length=255), AfterValidator(_name)]


class Question(BaseModel):
    """One question."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    client: Client = Field(description="the client's IP address")
    to: str = Field(default=":25", max_length=300, description="where it connects to: :25, 192.0.2.1:25, or a receive connector's name")
    through: Client | None = Field(default=None, description="a load balancer that connects for it, with a PROXY header")
    tls: TLS = Field(default="", description="empty: clear text; any, or a version: by STARTTLS, or from the start where the port is so")
    helo: Word = Field(default="client.invalid", description="its name in EHLO")
    user: Name = Field(default="", description="whom it logs in as")
    groups: tuple[Name, ...] = Field(default=(), max_length=100, description="the groups that a directory puts this user into")
    sender: Mailbox = Field(default="", description="MAIL FROM; empty for the null path")
    recipients: tuple[Recipient, ...] = Field(default=(), max_length=MAX_RECIPIENTS)
    size: int | None = Field(default=None, ge=0, lt=2**63, description="octets of the message")
    require_tls: bool = Field(default=False, description="MAIL has REQUIRETLS")
    resolve: bool = Field(default=False, description="look the next hops up in the DNS, too")


@attrs.frozen(slots=True)
class Door:
    """Where a connection comes in.

    @ivar local: the local address of the accepted socket.
    @ivar assumed: the question did not say it, and other addresses of this port would be other doors.
    """

    binding: ListeningBinding
    local: IPAddress
    assumed: bool = False


def find_door(table: ConnectorTable, config: Config, to: str, client: IPAddress) -> Door:
    """The door that a question means.

    @raise QuestionError: there is none, or more than one.
    """
    host, port = _place(config, to, client)
    family = [binding for binding in table.bindings if binding.port == port and parse_ip(binding.host).version == client.version]
    if not family:
        raise QuestionError(_nobody(table, port, client))
    wildcard = next((binding for binding in family if int(parse_ip(binding.host)) == 0), None)
    if host is not None and host.version != client.version:
        raise QuestionError(f"A client with an IPv{client.version} address does not connect to {host}.")
    if host is not None:
        found = wildcard or next((binding for binding in family if parse_ip(binding.host) == host), None)
        if found is None:
            there = ", ".join(binding.host for binding in family)
            raise QuestionError(f"Nobody listens on {host} port {port}: the connection would be refused. That port has: {there}.")
        return Door(found, host)
    if wildcard is not None:
        return Door(wildcard, parse_ip(wildcard.host), assumed=True)
    if len(family) > 1:
        there = ", ".join(binding.host for binding in family)
        raise QuestionError(f"Port {port} is bound to several addresses ({there}): say which one, as in --to {family[0].host}:{port}.")
    return Door(family[0], parse_ip(family[0].host))


def _place(config: Config, to: str, client: IPAddress) -> tuple[IPAddress | None, int]:
    """The local address (None for any) and port."""
    found = _PLACE.fullmatch(to.strip())
    if found is not None and 0 < int(found[3]) < 65536:
        host = found[1] or found[2]
        if not host or host == "*":
            return None, int(found[3])
        try:
            address = parse_ip(host)
        except ValueError:
            raise QuestionError(f"{host!r} is no IP address of this relay; allowed: :25, 192.0.2.1:25, or a connector's name.") from None
        return (None if int(address) == 0 else address), int(found[3])
    if to.strip().isdecimal() and 0 < int(to) < 65536:
        return None, int(to)
    try:
        name = find_connector(config, to)
    except UnknownConnector as error:
        raise QuestionError(f"{to!r} is no port and no receive connector. {error.advice}") from None
    return _of_connector(config, name, client)


def _of_connector(config: Config, name: str, client: IPAddress) -> tuple[IPAddress | None, int]:
    bindings = config.receive_connectors[name].bindings
    fitting = [binding for binding in bindings if parse_ip(binding.host).version == client.version]
    if not fitting:
        raise QuestionError(f"{name} has no binding for IPv{client.version}: {', '.join(map(str, bindings))}.")
    address = parse_ip(fitting[0].host)
    return (None if int(address) == 0 else address), fitting[0].port


def _nobody(table: ConnectorTable, port: int, client: IPAddress) -> str:
    """Why nobody answers, and where somebody would."""
    others = [binding for binding in table.bindings if binding.port == port]
    if others:
        return f"Nobody listens on port {port} for IPv{client.version}; there is only {_shown(others)}."
    return f"Nobody listens on port {port}: the connection would be refused. Ports that exist: {_shown(table.bindings) or 'none'}."


def _shown(bindings: Sequence[ListeningBinding]) -> str:
    """C{25 (Default Frontend, IP_Relay), 587 (Client Frontend)}."""
    ports: dict[int, dict[str, None]] = {}
    for binding in bindings:
        ports.setdefault(binding.port, {}).update(dict.fromkeys(binding.connectors))
    return ", ".join(f"{port} ({', '.join(names)})" for port, names in sorted(ports.items()))
