"""The argument of XCLIENT: what a trusted peer says of the client that it speaks for.

Takes it apart; who may say it, and what comes of it, is for the session.

Source: www.postfix.org, XCLIENT_README.
"""

from __future__ import annotations

import re

from twistedrelay.values import xtext
from twistedrelay.values.netrange import IPAddress, parse_ip
from twistedrelay.values.reply import BAD_ARGUMENTS
from twistedrelay.wire.events import XClient
from twistedrelay.wire.parameters import CommandError

#: What EHLO says.
KEYWORD = "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT"

_ATTRIBUTES = frozenset(KEYWORD.split()[1:])
_UNKNOWN = frozenset(("[UNAVAILABLE]", "[TEMPUNAVAIL]"))
_PORT = re.compile(r"[0-9]{1,5}")
_PROTOCOLS = frozenset(("SMTP", "ESMTP", "LMTP"))
_LONGEST = 255


def parse_xclient(argument: bytes) -> XClient:
    """What stands behind XCLIENT.

    @raise CommandError: it is not well formed.
    """
    given: dict[str, str] = {}
    try:
        for word in argument.decode("ascii").split():
            name, equals, value = word.partition("=")
            name = name.upper()
            if not equals or name not in _ATTRIBUTES or name in given:
                raise ValueError("not an attribute")
            text = xtext.decode(value)
            if len(text) > _LONGEST:
                raise ValueError("too long")
            given[name] = "" if text.upper() in _UNKNOWN else text
        if not given:
            raise ValueError("no attributes")
        return XClient(
            name=given.get("NAME", ""),
            address=_address(given.get("ADDR", "")),
            port=_port(given.get("PORT", "")),
            proto=_protocol(given.get("PROTO", "")),
            helo=given.get("HELO", ""),
            login=given.get("LOGIN", ""),
            destination_address=_address(given.get("DESTADDR", "")),
            destination_port=_port(given.get("DESTPORT", "")),
        )
    except ValueError:  # a UnicodeDecodeError is one
        raise CommandError(BAD_ARGUMENTS) from None


def _address(text: str) -> IPAddress | None:
    if not text:
        return None
    return parse_ip(text[5:] if text[:5].upper() == "IPV6:" else text)


def _port(text: str) -> int:
    if not text:
        return 0
    port = int(text) if _PORT.fullmatch(text) else 65536
    if port > 65535:
        raise ValueError("not a port")
    return port


def _protocol(text: str) -> str:
    protocol = text.upper()
    if protocol and protocol not in _PROTOCOLS:
        raise ValueError("not a protocol")
    return protocol
