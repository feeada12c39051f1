"""RFC 3464 as a check that shares nothing with the code: which fields a delivery status may have, how often, in what form."""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

ADDRESS = r"(rfc822; ?[\x21-\x7e]+@[\x21-\x7e]+|utf-8; ?\S+@\S+)"
NAME = r"dns; ?(\[[0-9A-Za-z:.]+\]|[A-Za-z0-9_.-]+)"
DATE = "date"
ANY = r".+"

#: Name: whether it must be there, and the form of its value.
OF_MESSAGE = {
    "original-envelope-id": (False, ANY),
    "reporting-mta": (True, NAME),
    "received-from-mta": (False, NAME),
    "arrival-date": (False, DATE),
    "deliver-by-date": (False, DATE),
    "future-release-request": (False, r"(for;\d+|until;\S+)"),
}
OF_RECIPIENT = {
    "original-recipient": (False, r"[A-Za-z0-9-]+; ?.+"),
    "final-recipient": (True, ADDRESS),
    "action": (True, r"failed|delayed|delivered|relayed|expanded"),
    "status": (True, r"[245]\.\d{1,3}\.\d{1,3}"),
    "remote-mta": (False, NAME),
    "diagnostic-code": (False, r"(smtp|X-TwistedRelay); \d{3}( .*)?"),
    "last-attempt-date": (False, DATE),
    "final-log-id": (False, r"\d+"),
    "will-retry-until": (False, DATE),
}
CLASSES = {"failed": "45", "delayed": "4", "delivered": "2", "relayed": "2"}


def check_status(body: bytes, *, utf8: bool = False) -> list[dict[str, str]]:
    """The groups of fields, lower case names; AssertionError where anything is against the RFC."""
    assert body.endswith(b"\r\n")
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)", body)
    assert utf8 or body.isascii()
    assert all(len(line) <= 998 for line in body.split(b"\r\n"))
    text = body.decode()
    groups = [group for group in text.split("\r\n\r\n") if group.strip()]
    assert len(groups) >= 2
    return [_group(group, OF_RECIPIENT if index else OF_MESSAGE) for index, group in enumerate(groups)]


def _group(text: str, known: dict[str, tuple[bool, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in re.sub(r"\r\n[ \t]", " ", text).rstrip("\r\n").split("\r\n"):
        name, colon, value = line.partition(":")
        name, value = name.lower(), value.strip()
        assert colon
        assert name in known, name
        assert name not in found, f"{name} stands there twice"
        found[name] = value
        form = known[name][1]
        if form == DATE:
            assert parsedate_to_datetime(value)
        else:
            assert re.fullmatch(form, value), line
    assert {name for name, (must, _) in known.items() if must} <= set(found)
    if "action" in found:
        assert found["status"][0] in CLASSES[found["action"]], found
        assert ("will-retry-until" in found) <= (found["action"] == "delayed")
    return found
