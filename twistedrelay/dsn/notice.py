"""The part of a report that people read: what happened to whom, what to do, and the details that an administrator needs.

It is plain text, which every mail program, ticket system and telephone shows, and in which nothing that a stranger's server says can do
harm.  The details are in English in every language: they are for searching, quoting and support.

Source: the layout of Exchange's reports.
"""

from __future__ import annotations

import re
import textwrap
import time
from collections.abc import Sequence

from twistedrelay.dsn.kinds import Kind
from twistedrelay.dsn.status import is_own, remote_name, shown_reply, status_of
from twistedrelay.dsn.wording import Voice
from twistedrelay.values.envelope import Recipient

MAX_SHOWN = 100  #: recipients named; the machine-readable part has them all
MAX_HEADER = 32_768  #: octets of the original header section shown
WIDTH = 78
LONGEST = 900  #: characters of a line of the original's header

_UNPRINTABLE = re.compile(r"[^\t\n -~]")


def _paragraph(text: str, indent: str = "") -> list[str]:
    if len(indent) + len(text) <= WIDTH:
        return [indent + text]
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent)


def _header_lines(header: bytes) -> list[str]:
    text = header[:MAX_HEADER].decode("ascii", "replace")
    clean = _UNPRINTABLE.sub("?", text.replace("\r\n", "\n"))
    return [piece for line in clean.split("\n") for piece in (_pieces(line) if len(line) > LONGEST else [line])]


def _pieces(line: str) -> list[str]:
    return textwrap.wrap(line, LONGEST, drop_whitespace=False)


def _details(recipient: Recipient) -> list[str]:
    """What a next hop said, or we."""
    if recipient.last_reply is None:
        return [recipient.address.text, ""]
    reply = f"'{shown_reply(recipient.last_reply)}'"
    if not is_own(recipient):
        name = remote_name(recipient.last_remote)
        reply = f"{name}: Remote Server returned {reply}" if name else f"Remote Server returned {reply}"
    return [recipient.address.text, *_paragraph(reply), ""]


def notice(
    voice: Voice, kind: Kind, recipients: Sequence[Recipient], generating_server: str, header: bytes, retry_until: float | None = None
) -> str:
    """The text, lines separated by C{"\\n"}."""
    words = voice.language.kinds[kind.action]
    until = time.strftime("%Y-%m-%d %H:%M %z", time.localtime(retry_until or 0))
    lines = [wrapped for line in words.introduction.format(until=until).split("\n") for wrapped in _paragraph(line)]
    lines.append("")
    shown = recipients[:MAX_SHOWN]
    for recipient in shown:
        explanation = voice.explanation(kind.action, status_of(recipient, kind.action), own=is_own(recipient))
        lines.append(f"    {recipient.address.text}")
        lines += [line for paragraph in explanation.paragraphs for line in _paragraph(paragraph, "    ")]
        lines.append("")
    if len(recipients) > MAX_SHOWN:
        lines += [*_paragraph(voice.language.more.format(count=len(recipients) - MAX_SHOWN), "    "), ""]
    lines += ["", "Diagnostic information for administrators:", "", f"Generating server: {generating_server}", ""]
    lines += [line for recipient in shown for line in _details(recipient)]
    return "\n".join([*lines, "Original message headers:", "", *_header_lines(header)]) + "\n"
