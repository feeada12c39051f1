"""xtext: how an ESMTP parameter or an XCLIENT attribute holds octets that a command line may not; and RFC 6533's form of addresses.

Only printable characters are decoded: an encoded NUL, tab or line end is how a value breaks out of a report or a log.

Source: RFC 3461 section 4 (xtext), RFC 6533 section 3 (utf-8-addr-xtext and utf-8-addr-unitext).
"""

from __future__ import annotations

import re

_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*")
_HEX_OCTET = re.compile(rb"\+([0-9A-F]{2})")
_UTF8_ADDRESS = re.compile(r"(?:[!-*,-<>-\[\]-~\x80-\U0010ffff]|\\x\{[0-9A-Fa-f]{2,6}\})+")
_NOT_XCHAR = re.compile(rb"[^!-*,-<>-~]")
_NOT_QCHAR = re.compile(r"[^!-*,-<>-\[\]-~]")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_CODE_POINT = re.compile(r"\\x\{([0-9A-Fa-f]{2,6})\}")


def decode(text: str) -> str:
    """The text that an xtext stands for, octets beyond ASCII as UTF-8.

    @raise ValueError: it is no xtext, or something unprintable is in it.
    """
    if _XTEXT.fullmatch(text) is None:
        raise ValueError("not an xtext")
    if "+" in text:
        text = _HEX_OCTET.sub(lambda found: bytes.fromhex(found[1].decode("ascii")), text.encode("ascii")).decode("utf-8")
        if not text.isprintable():
            raise ValueError("unprintable characters in an xtext")
    return text


def encode(text: str) -> str:
    """A text as xtext."""
    return _NOT_XCHAR.sub(lambda found: b"+%02X" % ord(found[0]), text.encode("utf-8", "replace")).decode("ascii")


def encode_utf8_address(text: str) -> str:
    """An international address in ASCII: C{utf-8-addr-xtext}."""
    return _NOT_QCHAR.sub(_embedded, text)


def embed_beyond_ascii(text: str) -> str:
    """C{utf-8-addr-unitext} as C{utf-8-addr-xtext}: what is encoded already stays as it is."""
    return _BEYOND_ASCII.sub(_embedded, text)


def _embedded(found: re.Match[str]) -> str:
    return f"\\x{{{ord(found[0]):X}}}"


def decode_utf8_address(text: str) -> str:
    """The address that C{ORCPT=utf-8;...} stands for, be its characters beyond ASCII written out or as C{\\x{...}}.

    @raise ValueError: it is no such thing, or something unprintable is in it.
    """
    if _UTF8_ADDRESS.fullmatch(text) is None:
        raise ValueError("not an internationalised address")
    decoded = _CODE_POINT.sub(_character, text)
    if not decoded.isprintable():
        raise ValueError("unprintable characters in an address")
    return decoded


def _character(found: re.Match[str]) -> str:
    return chr(int(found[1], 16))
