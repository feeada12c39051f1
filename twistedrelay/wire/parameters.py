"""The ESMTP parameters of MAIL and RCPT: which are offered, how their values are written, what they mean.

A parameter of an extension that is not offered is as unknown as any other (555).  Knows no session state but what it is told.

Sources: RFC 5321 sections 4.1.2 and 4.1.1.11, RFC 1870 (SIZE), RFC 6152 and RFC 3030 (BODY), RFC 4954 section 5 (AUTH), RFC 3461
sections 4.1 to 4.4 and RFC 6533 (NOTIFY, ORCPT, RET, ENVID), RFC 6531 (SMTPUTF8), RFC 8689 (REQUIRETLS), RFC 2852 (BY), RFC 4865
(HOLDFOR, HOLDUNTIL), RFC 6710 (MT-PRIORITY).
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Callable
from typing import Any

import attrs

from twistedrelay.values import xtext
from twistedrelay.values.address import AddressError, parse_address
from twistedrelay.values.envelope import DeliverBy, MailParameters, RcptParameters
from twistedrelay.values.reply import BAD_ARGUMENTS, HOLD_TOO_LONG, UNKNOWN_PARAMETER, Reply
from twistedrelay.wire.settings import ServerSettings

# What most clients send.
_USUAL_MAIL = re.compile(r" (?:BODY=(7BIT|8BITMIME) )?SIZE=([0-9]{1,18})(?: BODY=(7BIT|8BITMIME))?")
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\x80-\U0010ffff]+))?")
_SIZE = re.compile(r"[0-9]{1,20}")
_INTERVAL = re.compile(r"[1-9][0-9]{0,8}")
_BY = re.compile(r"([+-]?[0-9]{1,9});([NR])(T?)", re.IGNORECASE)
_DATE_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2})", re.IGNORECASE)
_PRIORITY = re.compile(r"-?[1-9]|0")
_ADDRESS_TYPE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+")
_NOTIFY = frozenset(("SUCCESS", "FAILURE", "DELAY"))
_NEVER = frozenset(("NEVER",))
# A SIZE may have 20 digits, and stores have 63 bits: whatever is above is too large anyway.
_LARGEST = 2**63 - 1
_ENVID_LIMIT = 100
_ORCPT_LIMIT = 500


class CommandError(Exception):
    """A command is not well formed."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(str(reply))
        self.reply = reply


def offers_binary_mime(settings: ServerSettings) -> bool:
    """Binary messages come by BDAT only (RFC 3030 section 3)."""
    return settings.binary_mime and settings.chunking


def offers_smtp_utf8(settings: ServerSettings) -> bool:
    """SMTPUTF8 goes with 8BITMIME only (RFC 6531 section 3.1)."""
    return settings.smtp_utf8 and settings.eight_bit_mime


def _size(value: str, settings: ServerSettings) -> int:
    if _SIZE.fullmatch(value) is None:
        raise ValueError("not a number")
    return min(int(value), _LARGEST)


def _body(value: str, settings: ServerSettings) -> str:
    body = value.upper()
    if body == "8BITMIME":
        offered = settings.eight_bit_mime
    elif body == "BINARYMIME":
        offered = offers_binary_mime(settings)
    elif body == "7BIT":
        return body
    else:
        raise ValueError("not a body type")
    if not offered:
        raise CommandError(UNKNOWN_PARAMETER)
    return body


def _ret(value: str, settings: ServerSettings) -> str:
    ret = value.upper()
    if ret not in ("FULL", "HDRS"):
        raise ValueError("neither FULL nor HDRS")
    return ret


def _envid(value: str, settings: ServerSettings) -> str:
    decoded = xtext.decode(value)
    if len(value) > _ENVID_LIMIT or not decoded.isascii():
        raise ValueError("not an envelope identifier")
    return decoded


def _auth(value: str, settings: ServerSettings) -> str:
    decoded = xtext.decode(value)
    try:
        return parse_address(decoded, utf8=True).text
    except AddressError:
        return "<>"  # who says something else than an address has not told us who


def _deliver_by(value: str, settings: ServerSettings) -> DeliverBy:
    found = _BY.fullmatch(value)
    if found is None:
        raise ValueError("not a by-time and a by-mode")
    seconds, mode = int(found[1]), found[2].upper()
    if mode == "R" and seconds <= 0:
        raise ValueError("the time is over already")
    return DeliverBy(seconds, mode, bool(found[3]))


def _hold_for(value: str, settings: ServerSettings) -> int:
    if _INTERVAL.fullmatch(value) is None:
        raise ValueError("not an interval")
    seconds = int(value)
    if seconds > (settings.future_release or 0):
        raise CommandError(HOLD_TOO_LONG)
    return seconds


def _hold_until(value: str, settings: ServerSettings) -> float:
    if _DATE_TIME.fullmatch(value) is None:
        raise ValueError("not a date-time")
    time = datetime.datetime.fromisoformat(value.upper()).timestamp()
    if time > settings.future_release_until:
        raise CommandError(HOLD_TOO_LONG)
    return time


def _priority(value: str, settings: ServerSettings) -> int:
    if _PRIORITY.fullmatch(value) is None:
        raise ValueError("not a priority from -9 to 9")
    return int(value)


def _notify(value: str, settings: ServerSettings) -> frozenset[str]:
    words = frozenset(value.upper().split(","))
    if words != _NEVER and not words <= _NOTIFY:
        raise ValueError("neither NEVER nor a list of SUCCESS, FAILURE, DELAY")
    return words


def _orcpt(value: str, settings: ServerSettings) -> str:
    kind, _, address = value.partition(";")
    if _ADDRESS_TYPE.fullmatch(kind) is None or not address or len(value) > _ORCPT_LIMIT:
        raise ValueError("not an address type and an address")
    if kind.lower() == "utf-8":
        xtext.decode_utf8_address(address)
    else:
        xtext.decode(address)
    return value


@attrs.frozen(slots=True)
class _Parameter:
    """One parameter.

    @ivar field: where its value goes.
    @ivar offered: whether settings offer it; the second argument says whether the connection is under TLS.
    @ivar read: makes the value, L{ValueError} where it is not well formed; None: there must be no value.
    """

    field: str
    offered: Callable[[ServerSettings, bool], bool]
    read: Callable[[str, ServerSettings], Any] | None


_MAIL = {
    "SIZE": _Parameter("size", lambda settings, secure: settings.size_enabled != "Disabled", _size),
    "BODY": _Parameter("body", lambda settings, secure: settings.eight_bit_mime or offers_binary_mime(settings), _body),
    "AUTH": _Parameter("auth", lambda settings, secure: bool(settings.auth_mechanisms), _auth),
    "RET": _Parameter("ret", lambda settings, secure: settings.dsn, _ret),
    "ENVID": _Parameter("envid", lambda settings, secure: settings.dsn, _envid),
    "SMTPUTF8": _Parameter("smtp_utf8", lambda settings, secure: offers_smtp_utf8(settings), None),
    "REQUIRETLS": _Parameter("require_tls", lambda settings, secure: settings.requiretls and secure, None),
    "BY": _Parameter("deliver_by", lambda settings, secure: settings.deliver_by, _deliver_by),
    "HOLDFOR": _Parameter("hold_for", lambda settings, secure: settings.future_release is not None, _hold_for),
    "HOLDUNTIL": _Parameter("hold_until", lambda settings, secure: settings.future_release is not None, _hold_until),
    "MT-PRIORITY": _Parameter("priority", lambda settings, secure: settings.mt_priority, _priority),
}

_RCPT = {
    "NOTIFY": _Parameter("notify", lambda settings, secure: settings.dsn, _notify),
    "ORCPT": _Parameter("orcpt", lambda settings, secure: settings.dsn, _orcpt),
}


def mail_parameters(text: str, settings: ServerSettings, *, secure: bool, extended: bool) -> MailParameters:
    """The parameters of MAIL.

    @param secure: the connection is under TLS.
    @param extended: extensions were offered (EHLO or LHLO).
    @raise CommandError: they are not well formed, or not offered.
    """
    usual = _USUAL_MAIL.fullmatch(text)
    if usual is not None and extended and settings.eight_bit_mime and settings.size_enabled != "Disabled" and not (usual[1] and usual[3]):
        return MailParameters(int(usual[2]), usual[1] or usual[3] or "7BIT")
    fields = _fields(text, _MAIL, settings, secure, extended)
    if "hold_for" in fields and "hold_until" in fields:
        raise CommandError(BAD_ARGUMENTS)
    parameters = MailParameters(**fields)
    if parameters.deliver_by is not None and _held_for(parameters, settings) > parameters.deliver_by.seconds:
        raise CommandError(BAD_ARGUMENTS)  # one of both wishes could not be granted (RFC 4865 section 5.2.2)
    return parameters


def _held_for(parameters: MailParameters, settings: ServerSettings) -> float:
    """How long a message is to be held, from the time that the settings were made for; minus infinity for not at all."""
    if not parameters.hold_until:
        return parameters.hold_for or -math.inf
    return parameters.hold_until - settings.future_release_until + (settings.future_release or 0)


def rcpt_parameters(text: str, settings: ServerSettings, *, utf8: bool, extended: bool) -> RcptParameters:
    """The parameters of RCPT.

    @param utf8: MAIL had SMTPUTF8.
    @param extended: extensions were offered (EHLO or LHLO).
    @raise CommandError: they are not well formed, or not offered.
    """
    if not utf8 and not text.isascii():
        raise CommandError(BAD_ARGUMENTS)
    return RcptParameters(**_fields(text, _RCPT, settings, False, extended))


def _fields(text: str, known: dict[str, _Parameter], settings: ServerSettings, secure: bool, extended: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    unknown = False
    for word in text.split():
        found = _PARAMETER.fullmatch(word)
        if found is None:
            raise CommandError(BAD_ARGUMENTS)
        keyword, value = found[1].upper(), found[2]
        parameter = known.get(keyword)
        if parameter is None or not extended or not parameter.offered(settings, secure):
            unknown = True  # a line that is not well formed at all is rather 501
            continue
        if parameter.field in fields or (value is None) is not (parameter.read is None):
            raise CommandError(BAD_ARGUMENTS)
        try:
            fields[parameter.field] = True if parameter.read is None else parameter.read(value, settings)
        except ValueError:
            raise CommandError(BAD_ARGUMENTS) from None
    if unknown:
        raise CommandError(UNKNOWN_PARAMETER)
    return fields
