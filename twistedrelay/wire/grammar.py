"""The grammar of commands: what stands behind the verb of EHLO, MAIL and RCPT.

Takes a line apart and says which reply a bad one calls for.  It knows no session state but what it is told.  The parameters are those of
L{twistedrelay.wire.parameters}.

Sources: RFC 5321 sections 4.1.1 and 4.1.2, RFC 6531 sections 3.3 and 3.5 (addresses beyond ASCII); the lenient forms are those that
devices send.
"""

from __future__ import annotations

import functools
import re

from twistedrelay.values.address import NULL, Address, AddressError, parse_address, parse_domain
from twistedrelay.values.envelope import NO_MAIL_PARAMETERS, NO_RCPT_PARAMETERS, MailParameters, RcptParameters
from twistedrelay.values.reply import (
    BAD_ARGUMENTS,
    BAD_DOMAIN,
    BAD_RECIPIENT,
    BAD_SENDER,
    DOMAIN_REQUIRED,
    NON_ASCII_RECIPIENT,
    NON_ASCII_SENDER,
    Reply,
)
from twistedrelay.wire.parameters import CommandError, mail_parameters, offers_smtp_utf8, rcpt_parameters
from twistedrelay.wire.settings import ServerSettings

# The usual form: no quotes, no route, nothing behind the address.
_USUAL_MAIL = re.compile(rb"FROM:<([!#-;=?A-~][!#-;=?-~]*)>", re.IGNORECASE)
_USUAL_RCPT = re.compile(rb"TO:<([!#-;=?A-~][!#-;=?-~]*)>", re.IGNORECASE)
_BRACKETED = re.compile(r'<((?:"(?:[^"\\]|\\.)*"|[^"<>])*)>')
_UNBRACKETED = re.compile(r'((?:"(?:[^"\\]|\\.)*"|[^"<> ])+)')
_ROUTE = re.compile(r"@(?:\[[!-Z^-~]+\]|[\w.-]+)(?:,@(?:\[[!-Z^-~]+\]|[\w.-]+))*:", re.ASCII)
_NAME = re.compile(rb"[!-~]{1,255}")


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


def parse_mail(argument: bytes, settings: ServerSettings, *, secure: bool = False, extended: bool = True) -> tuple[Address, MailParameters]:
    """What stands behind C{MAIL}.

    @param secure: the connection is under TLS.
    @param extended: extensions were offered (EHLO or LHLO).
    @raise CommandError: it is not well formed.
    """
    usual = _USUAL_MAIL.fullmatch(argument)
    text, rest = (usual[1].decode("ascii"), "") if usual else _split(argument, "FROM", settings, BAD_SENDER)
    parameters = mail_parameters(rest, settings, secure=secure, extended=extended) if rest else NO_MAIL_PARAMETERS
    if not text:
        return NULL, parameters
    utf8 = parameters.smtp_utf8
    if not utf8 and not text.isascii():
        raise CommandError(NON_ASCII_SENDER)
    try:
        return _address(text, settings.lenient_syntax_enabled, utf8), parameters
    except AddressError:
        raise CommandError(BAD_SENDER) from None


def parse_rcpt(argument: bytes, settings: ServerSettings, *, utf8: bool = False, extended: bool = True) -> tuple[Address, RcptParameters]:
    """What stands behind C{RCPT}; a bare C{postmaster} is an address here (RFC 5321 section 4.5.1).

    @param utf8: MAIL had SMTPUTF8.
    @param extended: extensions were offered (EHLO or LHLO).
    @raise CommandError: it is not well formed.
    """
    usual = _USUAL_RCPT.fullmatch(argument)
    text, rest = (usual[1].decode("ascii"), "") if usual else _split(argument, "TO", settings, BAD_RECIPIENT)
    if not utf8 and not text.isascii():
        raise CommandError(NON_ASCII_RECIPIENT)
    try:
        recipient = _address(text, settings.lenient_syntax_enabled, utf8)
    except AddressError:
        if text.lower() != "postmaster":
            raise CommandError(BAD_RECIPIENT) from None
        recipient = Address(text, text, "")
    return recipient, rcpt_parameters(rest, settings, utf8=utf8, extended=extended) if rest else NO_RCPT_PARAMETERS


@functools.lru_cache(maxsize=4096)
def _address(text: str, final_dot: bool, utf8: bool) -> Address:
    """L{parse_address}; the same senders and recipients come again and again."""
    return parse_address(text, utf8=utf8, final_dot=final_dot)


def _split(argument: bytes, keyword: str, settings: ServerSettings, bad: Reply) -> tuple[str, str]:
    """The path without brackets and source route, and the parameters.

    @param bad: the reply to a bad path.
    """
    try:
        text = argument.decode("utf-8" if offers_smtp_utf8(settings) else "ascii")
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
