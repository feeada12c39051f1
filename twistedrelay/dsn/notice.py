"""The part of a report that people read: what happened to whom, what to do, and the details that an administrator needs."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from email.utils import formatdate

from twistedrelay.dsn.status import remote_name, shown_reply
from twistedrelay.dsn.texts import Kind, explanation
from twistedrelay.values.envelope import Recipient

MAX_SHOWN = 100  #: recipients named; the machine-readable part has them all
MAX_HEADER = 32_768  #: octets of the original header section shown
WIDTH = 78


def _paragraph(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent) or [""]


def _header_lines(header: bytes) -> list[str]:
    text = header[:MAX_HEADER].decode("ascii", "replace").replace("�", "?")
    clean = "".join(each if each.isprintable() or each in "\t\n" else "?" for each in text.replace("\r\n", "\n"))
    return [piece for line in clean.split("\n") for piece in (textwrap.wrap(line, 900, drop_whitespace=False) or [""])]


def notice(kind: Kind, recipients: Sequence[Recipient], generating_server: str, header: bytes, retry_until: float | None = None) -> str:
    """The text, lines separated by C{"\\n"}."""
    until = formatdate(retry_until, localtime=True)
    lines = [*kind.introduction.format(until=until).split("\n"), ""]
    shown = recipients[:MAX_SHOWN]
    for recipient in shown:
        words = kind.words or explanation(recipient.last_reply.status if recipient.last_reply else "5.0.0")
        lines += [f"    {recipient.address.text}", *_paragraph(words.what, "    "), *_paragraph(words.advice, "    "), ""]
    if len(recipients) > MAX_SHOWN:
        lines += [f"    and {len(recipients) - MAX_SHOWN} more, which the attached delivery status names.", ""]
    lines += ["", "Diagnostic information for administrators:", "", f"Generating server: {generating_server}", ""]
    for recipient in shown:
        who = f"{remote_name(recipient.last_remote)}: " if recipient.last_remote else ""
        returned = f"Remote Server returned '{shown_reply(recipient)}'" if recipient.last_remote else f"'{shown_reply(recipient)}'"
        lines += [recipient.address.text, *_paragraph(who + returned), ""]
    return "\n".join([*lines, "Original message headers:", "", *_header_lines(header)]) + "\n"
