"""Property names and values as Exchange's Management Shell writes them."""

from __future__ import annotations

from typing import Any

from twistedrelay.values.printable import escape

#: Words that are not simply capitalised.
_WORDS = {"ip": "IP", "ehlo": "EHLO", "starttls": "STARTTLS", "id": "Id"}

#: Names that Exchange writes otherwise than its others.
_NAMES = {"require_tls": "RequireTLS"}


def pascal(name: str) -> str:
    """C{remote_ip_ranges} as C{RemoteIPRanges}."""
    return _NAMES.get(name) or "".join(_WORDS.get(word, word.capitalize()) for word in name.split("_"))


def shown(key: str, value: Any) -> str:
    """A value on one line, with nothing in it that a terminal would act on."""
    if value is None:
        return ""
    if isinstance(value, list):
        return "{" + ", ".join(shown("", item) for item in value) + "}"
    if isinstance(value, dict):
        return "; ".join(f"{name}={shown('', item)}" for name, item in value.items())
    if key.endswith("_size") and isinstance(value, int):
        return size(value)
    if value == "unlimited":
        return "Unlimited"
    return escape(str(value))


def size(octets: int) -> str:
    """C{36 MB (37,748,736 bytes)}, as Exchange shows sizes."""
    amount = float(octets)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1024 or unit == "GB":
            break
        amount /= 1024
    return f"{amount:.4g} {unit} ({octets:,} bytes)"
