"""What a file in the pickup or replay directory asks for: its envelope, and the header section that goes on.

Decides, for the pickup directory, that the sender is that of Sender, else of From, the recipients those of To, Cc and Bcc; for the replay
directory that X-Sender and X-Receiver, which come first, say both.  Neither a Bcc, nor trace fields that nobody vouches for (Pickup),
nor the fields of the envelope, nor trust headers go on.  Pickup is a submission (RFC 6409 section 8): Date and Message-ID are added
where they are missing.  Replay adds nothing.

Source: Exchange Server, "Pickup directory and Replay directory".
"""

from __future__ import annotations

import re
import uuid

import attrs

from twistedrelay.config.schema import Config
from twistedrelay.pickup.addresses import default_domain, field_addresses, mailbox, path
from twistedrelay.pickup.lines import LetterError
from twistedrelay.pickup.parameters import mail_parameters, rcpt_parameters
from twistedrelay.policy.headers import HeaderFacts, HeaderRules, own_names
from twistedrelay.policy.trace import rfc5322_date
from twistedrelay.values.address import Address
from twistedrelay.values.envelope import NO_MAIL_PARAMETERS, MailParameters, RcptParameters, Recipient
from twistedrelay.values.headerfields import field_name, split_fields, unfolded

#: Octets of a header section in the replay directory, where each recipient takes a line of it.
MAX_REPLAY_HEADER = 4 * 1024 * 1024
MAX_REPLAY_RECIPIENTS = 50_000
MAX_HOPS = 60

_TRUST = (b"x-ms-exchange-organization-", b"x-ms-exchange-forest-", b"x-twistedrelay-")
_INJECTED = (
    *(b"x-sender", b"x-receiver", b"x-createdby", b"x-endofinjectedxheaders", b"x-extendedmessageprops"),
    *(b"x-helodomain", b"x-source", b"x-sourceipaddress"),
)
#: A path and what follows it; a quoted local part may hold blanks.
_PATH = re.compile(r'(<?(?:"(?:[^"\\]|\\.)*"@)?\S*)(.*)').match
_NEVER = (*_TRUST, b"return-path", b"bcc", b"resent-bcc")


@attrs.frozen(slots=True)
class Letter:
    """What was read of a file.

    @ivar header: the header section that goes on, with CRLF line ends, without the empty line behind it.
    """

    sender: Address
    recipients: list[Recipient]
    parameters: MailParameters
    message_id: str
    header: bytes
    subject: str = ""


@attrs.frozen(slots=True)
class Reader:
    """The rules of one directory.

    @ivar name: C{"Pickup"} or C{"Replay"}.
    """

    name: str
    domain: str
    max_recipients: int
    rules: HeaderRules

    @property
    def max_header_size(self) -> int:
        """Octets of a header section."""
        return self.rules.max_size

    def read(self, header: bytes, now: float) -> Letter:
        """The letter whose header section this is, with CRLF line ends, each field ended.

        @raise LetterError: it cannot be sent.
        """
        facts = HeaderFacts.read(header + b"\r\n")
        if not facts.has_header or not header:
            raise LetterError("it has no header section")
        if (refusal := self.rules.refusal(facts, header)) is not None:
            raise LetterError(refusal.text)
        fields = split_fields(header)
        letter = self._of_fields(fields) if self.name == "Pickup" else self._of_envelope(fields)
        if not letter.recipients:
            raise LetterError("it has no recipients")
        if len(letter.recipients) > self.max_recipients:
            key = " (pickup_directory_max_recipients_per_message)" if self.name == "Pickup" else ""
            raise LetterError(f"it has {len(letter.recipients)} recipients; allowed: {self.max_recipients}{key}")
        kept, message_id = self.rules.strip(facts, header), facts.message_id
        if self.name == "Pickup":
            names = {field_name(field) for field in fields}
            if b"date" not in names:
                kept += f"Date: {rfc5322_date(now)}\r\n".encode()
            if b"message-id" not in names:
                message_id = f"<{uuid.uuid4()}@{self.domain}>"
                kept += f"Message-ID: {message_id}\r\n".encode()
        return attrs.evolve(letter, header=kept, message_id=message_id, subject=facts.subject)

    def _of_fields(self, fields: list[bytes]) -> Letter:
        def values(*names: bytes) -> list[bytes]:
            return [unfolded(field) for field in fields if field_name(field) in names]

        sender = field_addresses(values(b"sender"), self.domain) or field_addresses(values(b"from"), self.domain)
        if len(sender) != 1:
            raise LetterError(f"{len(sender)} addresses in From, and no Sender" if sender else "there is neither From nor Sender")
        recipients = field_addresses(values(b"to", b"cc", b"bcc"), self.domain)
        return _letter(sender[0], [(one, RcptParameters()) for one in recipients], NO_MAIL_PARAMETERS)

    def _of_envelope(self, fields: list[bytes]) -> Letter:
        senders: list[tuple[Address, MailParameters]] = []
        recipients: dict[Address, RcptParameters] = {}
        for field in fields:
            name = field_name(field)
            if name == b"x-sender":
                first, words = _words(field)
                senders.append((path(first, self.domain), mail_parameters(words)))
            elif name == b"x-receiver":
                first, words = _words(field)
                recipients.setdefault(mailbox(first, self.domain), rcpt_parameters(words))
            elif name not in _INJECTED or name == b"x-endofinjectedxheaders":
                break
        if len(senders) != 1 or field_name(fields[0]) not in _INJECTED:
            raise LetterError("it must begin with X-Sender, once, and X-Receiver fields")
        return _letter(senders[0][0], list(recipients.items()), senders[0][1])


def _letter(sender: Address, recipients: list[tuple[Address, RcptParameters]], parameters: MailParameters) -> Letter:
    if not all(one.text.isascii() for one in (sender, *(address for address, _ in recipients))):
        parameters = attrs.evolve(parameters, smtp_utf8=True)
    people = [Recipient(index, address, given) for index, (address, given) in enumerate(recipients)]
    return Letter(sender, people, parameters, "", b"")


def _words(field: bytes) -> tuple[str, list[str]]:
    """The address of an X-Sender or X-Receiver field, and what follows it."""
    try:
        text = unfolded(field).decode("utf-8")
    except UnicodeDecodeError:
        raise LetterError("an address is not in UTF-8") from None
    found = _PATH(text)
    assert found is not None  # it takes nothing, too
    return found[1], found[2].split()


def readers(config: Config) -> dict[str, Reader]:
    """The rules of the two directories, by name."""
    transport, names, domain = config.transport, own_names(config), default_domain(config)
    pickup = HeaderRules(
        transport.pickup_directory_max_header_size, MAX_HOPS, 0, (*_NEVER, b"received", b"resent-"), names, own_results=False
    )
    replay = HeaderRules(MAX_REPLAY_HEADER, MAX_HOPS, 0, (*_NEVER, *_INJECTED), names, own_results=False)
    return {
        "Pickup": Reader("Pickup", domain, transport.pickup_directory_max_recipients_per_message, pickup),
        "Replay": Reader("Replay", domain, MAX_REPLAY_RECIPIENTS, replay),
    }
