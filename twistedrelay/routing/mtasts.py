"""MTA-STS in values: the TXT record of a domain, its policy, and whether a mail host is in it.

Nothing is looked up here.  Unknown keys are passed over, of a key that is given twice the first counts (but C{mx}, which is a list); a
policy that does not say what it must is none.

Source: RFC 8461 sections 3 and 4.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Literal, cast

import attrs

from twistedrelay.tls.names import fits

Mode = Literal["enforce", "testing", "none"]

MOST_AGE = 31557600  #: seconds; about a year
_MODES = ("enforce", "testing", "none")
_IDENTITY = re.compile(r"\s*id\s*=\s*([A-Za-z0-9]{1,32})\s*")
_NAME = re.compile(r"(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class PolicyError(Exception):
    """A policy cannot be had; C{str()} says why.

    @ivar failure: the result type of a TLS report (RFC 8460 section 4.3.2.2).
    """

    def __init__(self, failure: str, text: str) -> None:
        super().__init__(text)
        self.failure = failure


@attrs.frozen(slots=True)
class Policy:
    """A policy.

    @ivar patterns: the host names it allows, in lower case; C{*.} stands for one label.
    @ivar max_age: seconds.
    """

    mode: Mode
    patterns: tuple[str, ...]
    max_age: int

    def allows(self, host: str) -> bool:
        """Whether a mail host is in it."""
        return any(fits(pattern, host.rstrip(".").lower()) for pattern in self.patterns)

    def lines(self) -> tuple[str, ...]:
        """Its lines, as TLS reports quote them."""
        return ("version: STSv1", f"mode: {self.mode}", *(f"mx: {pattern}" for pattern in self.patterns), f"max_age: {self.max_age}")


def identity_of(records: Iterable[bytes]) -> str:
    """The C{id} of the one good TXT record at C{_mta-sts}; C{""} where there is none, or more than one."""
    ours = [record for record in records if re.match(rb"v=STSv1\s*;", record)]
    if len(ours) != 1:
        return ""
    fields = ours[0].decode("ascii", "replace").split(";")[1:]
    return next((match[1] for field in fields if (match := _IDENTITY.fullmatch(field))), "")


def parse(octets: bytes) -> Policy:
    """The policy of a policy file.

    @raise PolicyError: it is none.
    """
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise _invalid("it is not UTF-8") from None
    pairs: dict[str, str] = {}
    patterns = []
    for line in text.split("\n"):
        key, colon, value = line.partition(":")
        key, value = key.strip(" \t\r"), value.strip(" \t\r")
        if colon and key == "mx":
            patterns.append(value.lower().rstrip("."))
        elif colon:
            pairs.setdefault(key, value)
    if pairs.get("version") != "STSv1":
        raise _invalid("its version is not STSv1")
    mode, age = pairs.get("mode", ""), pairs.get("max_age", "")
    if mode not in _MODES:
        raise _invalid(f"its mode is {mode[:20]!r}")
    if not re.fullmatch(r"[0-9]{1,10}", age):
        raise _invalid(f"its max_age is {age[:20]!r}")
    if mode != "none" and not patterns:
        raise _invalid("it has no mx")
    wrong = next((pattern for pattern in patterns if not _NAME.fullmatch(pattern)), None)
    if wrong is not None:
        raise _invalid(f"its mx {wrong[:80]!r} is no host name")
    return Policy(cast(Mode, mode), tuple(dict.fromkeys(patterns)), min(int(age), MOST_AGE))


def _invalid(why: str) -> PolicyError:
    return PolicyError("sts-policy-invalid", f"the MTA-STS policy cannot be used: {why}")
