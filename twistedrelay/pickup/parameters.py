"""The ESMTP parameters behind the addresses of X-Sender and X-Receiver.

Decides what a replay file may ask for: what MAIL and RCPT may, but for what is found out by looking at the message.

Sources: Exchange Server, "Pickup directory and Replay directory"; RFC 3461 (RET, ENVID, NOTIFY, ORCPT), RFC 6152 (BODY), RFC 4954 (AUTH),
RFC 6710 (MT-PRIORITY), RFC 8689 (REQUIRETLS).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from twistedrelay.pickup.lines import LetterError
from twistedrelay.values import xtext
from twistedrelay.values.envelope import MailParameters, RcptParameters

_NOTIFY = frozenset(("NEVER", "SUCCESS", "FAILURE", "DELAY"))
_LONGEST_ENVID = 100


def _pairs(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    seen = set()
    for word in words:
        name, _, value = word.partition("=")
        name = name.upper()
        if name in seen:
            raise LetterError(f"the parameter {name} is given twice")
        seen.add(name)
        yield name, value


def _wrong(name: str, value: str) -> LetterError:
    return LetterError(f"the parameter {name}={value!r} cannot be used")


def _decoded(name: str, value: str) -> str:
    try:
        return xtext.decode(value)
    except ValueError:
        raise _wrong(name, value) from None


def mail_parameters(words: Iterable[str]) -> MailParameters:
    """Those of X-Sender.

    @raise LetterError: one is unknown, or has a wrong value.
    """
    given: dict[str, Any] = {}
    for name, value in _pairs(words):
        upper = value.upper()
        if name == "BODY" and upper in ("7BIT", "8BITMIME"):
            given["body"] = upper
        elif name == "RET" and upper in ("FULL", "HDRS"):
            given["ret"] = upper
        elif name == "ENVID" and 0 < len(value) <= _LONGEST_ENVID:
            given["envid"] = _decoded(name, value)
        elif name == "AUTH" and value:
            given["auth"] = _decoded(name, value)
        elif name == "REQUIRETLS" and not value:
            given["require_tls"] = True
        elif name == "SMTPUTF8" and not value:
            given["smtp_utf8"] = True
        elif name == "MT-PRIORITY" and value.removeprefix("-") in tuple("0123456789"):
            given["priority"] = int(value)
        else:
            raise _wrong(name, value)
    return MailParameters(**given)


def rcpt_parameters(words: Iterable[str]) -> RcptParameters:
    """Those of X-Receiver.

    @raise LetterError: one is unknown, or has a wrong value.
    """
    given: dict[str, Any] = {}
    for name, value in _pairs(words):
        if name == "NOTIFY":
            wishes = frozenset(value.upper().split(","))
            if not wishes <= _NOTIFY or ("NEVER" in wishes and len(wishes) > 1):
                raise _wrong(name, value)
            given["notify"] = wishes
        elif name == "ORCPT" and value:
            whole = value if ";" in value else f"rfc822;{value}"
            _decoded(name, whole.partition(";")[2])
            given["orcpt"] = whole
        else:
            raise _wrong(name, value)
    return RcptParameters(**given)
