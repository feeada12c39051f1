"""The grammar of commands: what stands behind the verb of EHLO, MAIL and RCPT.

Takes a line apart and says which reply a bad one calls for.  It knows no session state.

Sources: RFC 5321 sections 4.1.1 and 4.1.2, RFC 1870 (SIZE), RFC 6152 (BODY), RFC 4954 section 5 (AUTH); the lenient forms are those
that devices send.
"""

from __future__ import annotations

import functools
import re

from twistedrelay.values.address import NULL, Address, AddressError, parse_address, parse_domain
from twistedrelay.values.envelope import NO_MAIL_PARAMETERS, NO_RCPT_PARAMETERS, MailParameters, RcptParameters
from twistedrelay.values.reply import BAD_ARGUMENTS, BAD_DOMAIN, BAD_RECIPIENT, BAD_SENDER, DOMAIN_REQUIRED, UNKNOWN_PARAMETER, Reply
from twistedrelay.wire.settings import ServerSettings

# The usual form: no quotes, no route, nothing behind the address.
_USUAL_MAIL = re.compile(rb"FROM:<([!#-;=?A-~][!#-;=?-~]*)>", re.IGNORECASE)
_USUAL_RCPT = re.compile(rb"TO:<([!#-;=?A-~][!#-;=?-~]*)>", re.IGNORECASE)
_BRACKETED = re.compile(r'<((?:"(?:[^"\\]|\\.)*"|[^"<>])*)>')
_UNBRACKETED = re.compile(r'((?:"(?:[^"\\]|\\.)*"|[^"<> ])+)')
_ROUTE = re.compile(r"@(?:\[[!-Z^-~]+\]|[\w.-]+)(?:,@(?:\[[!-Z^-~]+\]|[\w.-]+))*:", re.ASCII)
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~]+))?")
_AUTH_VALUE = re.compile(r"(?:<>|(?:[!-*,-<>-~]|\+[0-9A-F]{2})+)")
_SIZE_VALUE = re.compile(r"[0-9]{1,20}")
_NAME = re.compile(rb"[!-~]{1,255}")
# A SIZE may have 20 digits, and stores have 63 bits: whatever is above is too large anyway.
_LARGEST = 2**63 - 1


class CommandError(Exception):
    """A command is not well formed."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


def parse_hello(argument: bytes, settings: ServerSettings) -> str:
    """The name behind HELO or EHLO.

    A name is for the trace header and the log and is never believed, so the lenient form takes any word (C{(null)} and bare
    IPv6 addresses are seen), but a single one: what follows a space could pass for our own words in a Received field.

    @raise CommandError: it is no name, or there is none and there must be one.
    """
    if not argument:
        if settings.require_ehlo_domain:
            raise CommandError(DOMAIN_REQUIRED)
        return ""
    if _NAME.fullmatch(argument) is None:
        raise CommandError(BAD_DOMAIN)
    name = argument.decode("ascii")
    if not settings.lenient_syntax_enabled:
        try:
            parse_domain(name)
        except AddressError:
            raise CommandError(BAD_DOMAIN) from None
    return name


def parse_mail(argument: bytes, settings: ServerSettings) -> tuple[Address, MailParameters]:
    """What stands behind C{MAIL}.

    @raise CommandError: it is not well formed.
    """
    usual = _USUAL_MAIL.fullmatch(argument)
    text, parameters = (usual[1].decode("ascii"), "") if usual else _split(argument, "FROM", settings, BAD_SENDER)
    try:
        sender = _address(text, settings.lenient_syntax_enabled) if text else NULL
    except AddressError:
        raise CommandError(BAD_SENDER) from None
    return sender, _mail_parameters(parameters, settings) if parameters else NO_MAIL_PARAMETERS


def parse_rcpt(argument: bytes, settings: ServerSettings) -> tuple[Address, RcptParameters]:
    """What stands behind C{RCPT}; a bare C{postmaster} is an address here (RFC 5321 section 4.5.1).

    @raise CommandError: it is not well formed.
    """
    usual = _USUAL_RCPT.fullmatch(argument)
    text, parameters = (usual[1].decode("ascii"), "") if usual else _split(argument, "TO", settings, BAD_RECIPIENT)
    try:
        recipient = _address(text, settings.lenient_syntax_enabled)
    except AddressError:
        if text.lower() != "postmaster":
            raise CommandError(BAD_RECIPIENT) from None
        recipient = Address(text, text, "")
    if parameters:
        _pairs(parameters)
        raise CommandError(UNKNOWN_PARAMETER)
    return recipient, NO_RCPT_PARAMETERS


@functools.lru_cache(maxsize=4096)
def _address(text: str, final_dot: bool) -> Address:
    """L{parse_address}; the same senders and recipients come again and again."""
    return parse_address(text, final_dot=final_dot)


def _split(argument: bytes, keyword: str, settings: ServerSettings, bad: Reply) -> tuple[str, str]:
    """The path without brackets and source route, and the parameters.

    @param bad: the reply to a bad path.
    """
    try:
        text = argument.decode("ascii")
    except UnicodeDecodeError:
        raise CommandError(bad) from None
    if not text.isprintable():
        raise CommandError(bad)
    lenient = settings.lenient_syntax_enabled
    before, colon, text = text.partition(":")
    if not colon or (before.strip(" ") if lenient else before).upper() != keyword:
        raise CommandError(BAD_ARGUMENTS)
    if lenient:
        text = text.lstrip(" ")
    path = _BRACKETED.match(text)
    if path is None and lenient:
        path = _UNBRACKETED.match(text)
    if path is None:
        raise CommandError(bad)
    parameters = text[path.end() :]
    if parameters and not parameters.startswith(" "):
        raise CommandError(bad)
    address = path[1]
    if address.startswith("@"):
        route = _ROUTE.match(address)
        if route is None or route.end() == len(address):
            raise CommandError(bad)
        address = address[route.end() :]
    return address, parameters


def _mail_parameters(text: str, settings: ServerSettings) -> MailParameters:
    size: int | None = None
    body = "7BIT"
    for keyword, value in _pairs(text).items():
        if keyword == "SIZE" and settings.size_enabled != "Disabled":
            if value is None or _SIZE_VALUE.fullmatch(value) is None:
                raise CommandError(BAD_ARGUMENTS)
            size = min(int(value), _LARGEST)
        elif keyword == "BODY":
            body = (value or "").upper()
            if body not in ("7BIT", "8BITMIME"):
                raise CommandError(BAD_ARGUMENTS)
        elif keyword == "AUTH" and settings.auth_mechanisms:
            # Who first submitted the message, by the word of the client: well formed, and not used.
            if value is None or _AUTH_VALUE.fullmatch(value) is None:
                raise CommandError(BAD_ARGUMENTS)
        else:
            raise CommandError(UNKNOWN_PARAMETER)
    return MailParameters(size=size, body=body)


def _pairs(text: str) -> dict[str, str | None]:
    pairs: dict[str, str | None] = {}
    for word in text.split():
        found = _PARAMETER.fullmatch(word)
        if found is None or found[1].upper() in pairs:
            raise CommandError(BAD_ARGUMENTS)
        pairs[found[1].upper()] = found[2]
    return pairs
