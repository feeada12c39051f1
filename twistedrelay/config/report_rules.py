"""What the values about reports must be: their languages, the codes that postmaster hears of, texts of our own.

Each function takes a validated object and yields C{(path below the object, what is wrong and what is allowed)}.

Sources: Set-TransportConfig (GenerateCopyOfDSNFor, InternalDsnDefaultLanguage), New-SystemMessage; RFC 3463 section 2 (codes), RFC 5646
section 2.1 (languages).
"""

from __future__ import annotations

import re

from twistedrelay.config.rules import Findings
from twistedrelay.config.schema import SystemMessage, Transport
from twistedrelay.values.languages import SHIPPED, is_language, shipped

MAX_TEXT = 4096  #: characters of a text of our own

_CODE = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")


def reports(item: Transport) -> Findings:
    """Rules for the part of C{transport} that is about reports."""
    for key in ("external_dsn_default_language", "internal_dsn_default_language"):
        language = getattr(item, key)
        if shipped(language) is None:
            yield (key,), f"{language!r} is no language that reports have; allowed: {', '.join(SHIPPED)}"
    for index, code in enumerate(item.generate_copy_of_dsn_for):
        if _CODE.fullmatch(code) is None:
            yield ("generate_copy_of_dsn_for", index), f"{code!r} is no enhanced status code; allowed: such as 5.4.6"


def system_message(item: SystemMessage) -> Findings:
    """Rules for one of C{system_messages}."""
    if _CODE.fullmatch(item.dsn_code) is None:
        yield ("dsn_code",), f"{item.dsn_code!r} is no enhanced status code; allowed: such as 5.7.1"
    if not is_language(item.language):
        yield ("language",), f"{item.language!r} is no language; allowed: a tag such as en or pt-BR"
    if not item.text.strip() or len(item.text) > MAX_TEXT:
        yield ("text",), f"has {len(item.text)} characters; allowed: 1 to {MAX_TEXT}"
    elif not all(character.isprintable() or character == "\n" for character in item.text):
        yield ("text",), "holds control characters; allowed: text, also of several lines"
