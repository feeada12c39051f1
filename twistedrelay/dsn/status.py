"""The part of a report that machines read: C{message/delivery-status} (RFC 3464), in ASCII, lines folded."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from email.utils import formatdate

from twistedrelay.values.envelope import Message, Recipient
from twistedrelay.values.printable import masked
from twistedrelay.values.reply import Reply

MAX_TEXT = 2000  #: characters of a remote reply that are shown
MAX_LINE = 900  #: octets of a line; 998 are allowed

_REMOTE = re.compile(r"(?P<name>\S+ )?(?P<address>\[[^\]]+\])")


def one_line(text: str) -> str:
    """Remote text that can do no harm: printable, on one line, not too long."""
    joined = " ".join(text.split())
    return masked(joined)[:MAX_TEXT]


def shown_reply(recipient: Recipient) -> str:
    """The reply that decided, on one line."""
    return one_line(str(recipient.last_reply or Reply(550, "5.0.0", "Refused")))


def field(name: str, value: str) -> str:
    """One header field, folded; what is not ASCII becomes C{?}."""
    clean = one_line(value).encode("ascii", "replace").decode()
    folded = textwrap.wrap(f"{name}: {clean}", 78, subsequent_indent=" ", break_on_hyphens=False, break_long_words=False)
    lines = [piece for line in folded for piece in textwrap.wrap(line, MAX_LINE, subsequent_indent=" ", drop_whitespace=False)]
    return "\r\n".join(lines) + "\r\n"


def typed_address(text: str) -> str:
    """A recipient for Final-Recipient: C{rfc822; user@example.org}, or RFC 6533's C{utf-8} form in ASCII."""
    if text.isascii():
        return f"rfc822; {text}"
    return "utf-8; " + "".join(each if each.isascii() else f"\\x{{{ord(each):X}}}" for each in text)


def remote_name(remote: str) -> str:
    """The name (or bracketed address) in C{"name [address]:port"}."""
    found = _REMOTE.match(remote)
    return (found["name"] or found["address"]).strip() if found else ""


def _recipient_fields(recipient: Recipient, action: str, now: float, retry_until: float | None) -> Iterator[str]:
    if recipient.parameters.orcpt:
        yield field("Original-Recipient", recipient.parameters.orcpt)
    yield field("Final-Recipient", typed_address(recipient.address.text))
    yield field("Action", action)
    yield field("Status", recipient.last_reply.status if recipient.last_reply else "5.0.0")
    if name := remote_name(recipient.last_remote):
        yield field("Remote-MTA", f"dns; {name}")
    yield field("Diagnostic-Code", f"smtp; {shown_reply(recipient)}")
    if recipient.attempts:
        yield field("Last-Attempt-Date", formatdate(now))
    if retry_until is not None:
        yield field("Will-Retry-Until", formatdate(retry_until))


def delivery_status(
    message: Message, recipients: Sequence[Recipient], reporting_mta: str, now: float, retry_until: float | None = None
) -> bytes:
    """The body of the part: the fields of the message, then those of each recipient.  With C{retry_until} the action is C{delayed}."""
    lines = []
    if message.parameters.envid:
        lines.append(field("Original-Envelope-Id", message.parameters.envid))
    lines.append(field("Reporting-MTA", f"dns; {reporting_mta}"))
    if message.origin.helo:
        lines.append(field("Received-From-MTA", f"dns; {message.origin.helo}"))
    lines.append(field("Arrival-Date", formatdate(message.received_at)))
    action = "failed" if retry_until is None else "delayed"
    for recipient in recipients:
        lines.append("\r\n")
        lines.extend(_recipient_fields(recipient, action, now, retry_until))
    return "".join(lines).encode("ascii")
