"""The message on the standard input of C{sendmail}, with its envelope.

Decides what a program leaves out and a submission needs (RFC 6409 section 8): From, Date, Message-ID, an empty line where there is no
header section.  Bcc never goes on.  Addresses without a domain get the default domain.

Sources: RFC 5322 section 3.6, sendmail(1) of Postfix.
"""

from __future__ import annotations

import os
import pwd
import re
import time
import uuid
from email.utils import formataddr
from typing import BinaryIO

import attrs

from twistedrelay.pickup.addresses import argument_addresses, argument_path, field_addresses, mailbox, unique
from twistedrelay.pickup.lines import LetterError, Lines
from twistedrelay.pickup.options import Options
from twistedrelay.policy.trace import rfc5322_date
from twistedrelay.values import xtext
from twistedrelay.values.address import Address
from twistedrelay.values.headerfields import field_name, split_fields, unfolded
from twistedrelay.values.printable import masked

_FIELD_OR_FOLD = re.compile(rb"(?:[!-9;-~]+[ \t]*:|[ \t]+\S)[^\r\n]*\r\n|[ \t]+\r\n(?=[!-9;-~]+:)").match
_LONE_DOT = re.compile(rb"^\.\r?\n", re.MULTILINE)
MAX_NAME = 100  #: characters of a full name
_NEVER = (b"bcc", b"resent-bcc", b"return-path")


@attrs.frozen(slots=True)
class Composed:
    """A message with its envelope.

    @ivar mail: the parameters of MAIL, as words.
    @ivar rcpt: those of each RCPT.
    """

    sender: Address
    recipients: list[Address]
    content: bytes
    eight_bit: bool
    mail: tuple[str, ...] = ()
    rcpt: tuple[str, ...] = ()


def read_message(stream: BinaryIO, ignore_dots: bool, limit: int) -> bytes:
    """The message, up to the end of the input or a line with a single dot.

    @raise LetterError: it has more than C{limit} octets.
    """
    text = stream.read(limit + 1)
    if not ignore_dots and (end := _LONE_DOT.search(text)) is not None:
        return text[: end.start()]
    if len(text) > limit:
        raise LetterError(f"the message is larger than {limit} octets, which no receive connector takes (max_message_size)")
    if not ignore_dots and (text == b"." or text.endswith(b"\n.")):
        return text[:-1]
    return text


def compose(text: bytes, options: Options, domain: str) -> Composed:
    """The message that goes on.

    @param domain: of names without one.
    @raise LetterError: it cannot be sent.
    """
    lines = Lines()
    text = lines.feed(text) + lines.end()
    header, body = _split(text)
    fields = split_fields(header)
    sender = _user(domain) if options.sender is None else argument_path(options.sender, domain)
    recipients = [one for text in options.recipients for one in argument_addresses(text, domain)]
    if options.from_headers:
        recipients += _named(fields, domain)
    recipients = unique(recipients)
    if not recipients:
        raise LetterError("nobody to send it to: neither on the command line nor, with -t, in To, Cc and Bcc")
    names = {field_name(field) for field in fields}
    kept = [field for field in fields if field_name(field) not in _NEVER]
    if b"from" not in names:
        author = _user(domain) if sender.is_null else sender
        kept.append(f"From: {_named_author(options.full_name or _full_name(), author.text)}\r\n".encode())
    if b"date" not in names:
        kept.append(f"Date: {rfc5322_date(time.time())}\r\n".encode())
    if b"message-id" not in names:
        kept.append(f"Message-ID: <{uuid.uuid4()}@{domain}>\r\n".encode())
    mail = tuple(word if not word.startswith("ENVID=") else f"ENVID={xtext.encode(word[6:])}" for word in options.parameters)
    rcpt = (f"NOTIFY={options.notify}",) if options.notify else ()
    return Composed(sender, recipients, b"".join(kept) + b"\r\n" + body, lines.eight_bit, mail, rcpt)


def _split(text: bytes) -> tuple[bytes, bytes]:
    """The header section, and the text behind the empty line; a line that is no field begins the text."""
    start = text.find(b"\r\n") + 2 if text.startswith(b"From ") else 0
    at = start
    while (found := _FIELD_OR_FOLD(text, at)) is not None and not (at == start and found[0][:1] in (b" ", b"\t")):
        at = found.end()
    body = text[at:]
    return text[start:at], body[2:] if body.startswith(b"\r\n") else body


def _named(fields: list[bytes], domain: str) -> list[Address]:
    """Who is named in the header: where a message is sent again, those of Resent-To and its like."""
    resent = any(field_name(field).startswith(b"resent-") for field in fields)
    wanted = [prefix + name for prefix in [b"resent-" if resent else b""] for name in (b"to", b"cc", b"bcc")]
    return field_addresses((unfolded(field) for field in fields if field_name(field) in wanted), domain)


def _user(domain: str) -> Address:
    """Who runs the command."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        name = f"uid{os.getuid()}"
    return mailbox(name, domain)


def _named_author(name: str, address: str) -> str:
    """Both, on one line, whatever octets the name has; the address may be international."""
    shown = masked(name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"))[:MAX_NAME].strip()
    return f"{formataddr((shown, 'x')).removesuffix('<x>')}<{address}>" if shown else address


def _full_name() -> str:
    try:
        entry = pwd.getpwuid(os.getuid())
    except KeyError:
        return ""
    return entry.pw_gecos.partition(",")[0].replace("&", entry.pw_name.capitalize())
