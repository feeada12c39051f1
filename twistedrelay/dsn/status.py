"""The part of a report that machines read, lines folded: C{message/delivery-status} (RFC 3464) in ASCII, or for a sender with an
international address C{message/global-delivery-status} (RFC 6533) in UTF-8.

Which fields there are is said by RFC 3464 section 2 and RFC 3461 section 6.3, and by RFC 2852 section 5 (Deliver-By-Date) and RFC 4865
section 5.1.2 (Future-Release-Request).  Nothing is told that is not known: a next hop's reply is C{smtp}, a reason of our own has a type
of its own, and where nothing was said there is neither.  DSN-Gateway is for gateways to other kinds of mail.
"""

from __future__ import annotations

import datetime
import re
import textwrap
from collections.abc import Iterator, Sequence
from email.utils import formatdate

from twistedrelay.values.address import AddressError, parse_domain
from twistedrelay.values.envelope import Message, Origin, Recipient
from twistedrelay.values.printable import masked
from twistedrelay.values.reply import Reply
from twistedrelay.values.xtext import encode_utf8_address

MAX_TEXT = 2000  #: characters of a remote reply that are shown
MAX_LINE = 900  #: octets of a line; 998 are allowed
OWN_TYPE = "X-TwistedRelay"  #: the diagnostic type of our own reasons (RFC 3464 section 2.3.6)

_HEX = re.compile(rb"\+([0-9A-F]{2})")
_EMBEDDED = re.compile(r"\\x\{(10[0-9A-F]{4}|[0-9A-F]{2,5})\}")
_REMOTE = re.compile(r"(?P<name>\S+ )?(?P<address>\[[^\]]+\])")


def one_line(text: str) -> str:
    """Remote text that can do no harm: printable, on one line, not too long."""
    joined = " ".join(text.split())
    return masked(joined)[:MAX_TEXT]


def shown_reply(reply: Reply) -> str:
    """A reply on one line."""
    return one_line(str(reply))


def status_of(recipient: Recipient, action: str) -> str:
    """The enhanced status code of a recipient; where nobody gave one, the general one of the action's class."""
    if recipient.last_reply is None:
        return {"failed": "5.0.0", "delayed": "4.0.0"}.get(action, "2.0.0")
    status = recipient.last_reply.status
    return f"4{status[1:]}" if action == "delayed" else status  # what is tried again has not failed for good, whoever says so


def is_own(recipient: Recipient) -> bool:
    """Whether the last word about a recipient is ours, though a next hop may have said something before.

    That is so without a next hop, and for what expired: only our 550 has a code of class 4.
    """
    reply = recipient.last_reply
    return not recipient.last_remote or (reply is not None and reply.is_permanent and reply.enhanced.startswith("4."))


def field(name: str, value: str, *, utf8: bool = False) -> str:
    """One header field, folded; what is not ASCII becomes C{?} unless it may stay."""
    clean = one_line(value)
    if not utf8:
        clean = clean.encode("ascii", "replace").decode()
    if len(name) + len(clean) < 76:
        return f"{name}: {clean}\r\n"
    longest = MAX_LINE if clean.isascii() else MAX_LINE // 4  # a character has four octets at most
    folded = textwrap.wrap(f"{name}: {clean}", 78, subsequent_indent=" ", break_on_hyphens=False, break_long_words=False)
    lines = [piece for line in folded for piece in ([line] if len(line) <= longest else _pieces(line, longest))]
    return "\r\n".join(lines) + "\r\n"


def _pieces(line: str, longest: int) -> list[str]:
    return textwrap.wrap(line, longest, subsequent_indent=" ", drop_whitespace=False)


def typed_address(text: str, *, utf8: bool = False) -> str:
    """A recipient for Final-Recipient: C{rfc822; user@example.org}, or RFC 6533's C{utf-8} type, in ASCII unless it may be UTF-8."""
    if text.isascii():
        return f"rfc822; {text}"
    return f"utf-8; {text if utf8 else encode_utf8_address(text)}"


def original_recipient(orcpt: str, *, utf8: bool = False) -> str:
    """The value of ORCPT, decoded (RFC 3461 section 4.2)."""
    kind, _, encoded = orcpt.partition(";")
    text = _HEX.sub(lambda found: bytes([int(found[1], 16)]), encoded.encode("utf-8", "replace")).decode("utf-8", "replace")
    if kind.lower() == "utf-8":
        text = _EMBEDDED.sub(lambda found: chr(int(found[1], 16)), text)
    return f"{kind};{text if utf8 or text.isascii() else encode_utf8_address(text)}"


def remote_name(remote: str) -> str:
    """The name (or bracketed address) in C{"name [address]:port"}."""
    found = _REMOTE.match(remote)
    return (found["name"] or found["address"]).strip() if found else ""


def _client(origin: Origin) -> str:
    """Who gave us the message: the name it said, where that is one (printers say all sorts of things), else its address, or nothing."""
    for name in (origin.helo, f"[{origin.client}]", f"[IPv6:{origin.client}]"):
        try:
            parse_domain(name)
        except AddressError:
            continue
        return name
    return ""


def _asked_fields(message: Message) -> Iterator[str]:
    """What the sender asked of the time (RFC 2852 section 5, RFC 4865 section 5.1.2)."""
    asked = message.parameters
    if asked.deliver_by is not None:
        yield field("Deliver-By-Date", formatdate(message.received_at + asked.deliver_by.seconds))
    if asked.hold_for:
        yield field("Future-Release-Request", f"for;{asked.hold_for}")
    elif asked.hold_until:
        until = datetime.datetime.fromtimestamp(asked.hold_until, datetime.UTC)
        yield field("Future-Release-Request", f"until;{until:%Y-%m-%dT%H:%M:%SZ}")


def _is_late(message: Message, now: float) -> bool:
    """Whether the time is over in which the message should have been delivered."""
    by = message.parameters.deliver_by
    return by is not None and message.received_at + by.seconds <= now


def _recipient_fields(
    recipient: Recipient, action: str, now: str, retry_until: str, log_id: int, utf8: bool, *, late: bool
) -> Iterator[str]:
    if recipient.parameters.orcpt:
        yield field("Original-Recipient", original_recipient(recipient.parameters.orcpt, utf8=utf8), utf8=utf8)
    yield field("Final-Recipient", typed_address(recipient.address.text, utf8=utf8), utf8=utf8)
    yield field("Action", action)
    # RFC 2852 section 4.1.3 wants this status, whatever keeps the message; the diagnostic code tells that.
    late_status = "4.4.7" if late and action == "delayed" else ""
    yield field("Status", late_status or status_of(recipient, action))
    if name := remote_name(recipient.last_remote):
        literal = name.startswith("[") and ":" in name
        yield field("Remote-MTA", f"dns; [IPv6:{name[1:]}" if literal else f"dns; {name}")  # RFC 5321 section 4.1.3
    if action != "delivered" and recipient.last_reply is not None:
        kind = OWN_TYPE if is_own(recipient) else "smtp"
        yield field("Diagnostic-Code", f"{kind}; {shown_reply(recipient.last_reply)}", utf8=utf8)
    if recipient.attempts and recipient.last_remote:  # where there was none just now, nobody knows any more when the last one was
        yield field("Last-Attempt-Date", now)
    yield field("Final-Log-ID", str(log_id))
    if retry_until:
        yield field("Will-Retry-Until", retry_until)


def delivery_status(
    message: Message,
    recipients: Sequence[Recipient],
    reporting_mta: str,
    now: float,
    action: str,
    retry_until: float | None = None,
    *,
    utf8: bool = False,
) -> Iterator[bytes]:
    """The body of the part, piece by piece: the fields of the message, then those of each recipient.

    @param action: of all of them (RFC 3464 section 2.3.3).
    @param utf8: the reader knows UTF-8.
    """
    lines = []
    if message.parameters.envid:
        lines.append(field("Original-Envelope-Id", message.parameters.envid))
    lines.append(field("Reporting-MTA", f"dns; {reporting_mta}"))
    if client := _client(message.origin):
        lines.append(field("Received-From-MTA", f"dns; {client}"))
    lines.append(field("Arrival-Date", formatdate(message.received_at)))
    lines.extend(_asked_fields(message))
    late = _is_late(message, now)
    yield "".join(lines).encode()
    dates = formatdate(now), "" if retry_until is None else formatdate(retry_until)
    for recipient in recipients:
        yield "".join(("\r\n", *_recipient_fields(recipient, action, *dates, message.id, utf8, late=late))).encode()
