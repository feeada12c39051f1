"""Reports, as a mail program would read them."""

from __future__ import annotations

import datetime
import email
import email.policy
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Any

import pytest
from flufl.bounce import all_failures
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from tests.dsn.fields import check_status
from tests.schedule.fakes import address
from twistedrelay.config.schema import SystemMessage, Transport
from twistedrelay.dsn.original import subject
from twistedrelay.dsn.report import AT_ONCE, Reporter, subject_field, text_part
from twistedrelay.dsn.settings import ReportSettings, Side
from twistedrelay.dsn.status import field, original_recipient, remote_name, typed_address
from twistedrelay.interfaces import IContentWriter, SpoolError
from twistedrelay.values.address import NULL, Address
from twistedrelay.values.envelope import DeliverBy, MailParameters, Message, Origin, RcptParameters, Recipient
from twistedrelay.values.reply import LOCAL_ERROR, Reply
from twistedrelay.wire.lineends import only_crlf

UNKNOWN = Reply(550, "5.1.1", "User unknown")
ORIGINAL = b"Received: from x by y\r\nSubject: Hello\r\n\t=?utf-8?q?W=C3=B6rld?=\r\nFrom: a@b\r\n\r\n..Body\r\n.\r\n"


@implementer(IContentWriter)
class Content:
    """Content in memory, or only readable in small pieces."""

    def __init__(self, data: bytes = b"", in_memory: bool = True) -> None:
        self.data = data
        self._in_memory = in_memory
        self.aborted = False
        self.finished = False
        self.drains = 0

    @property
    def size(self) -> int:
        return len(self.data)

    def in_memory(self) -> Sequence[bytes] | None:
        return [self.data[:3], self.data[3:]] if self._in_memory else None

    def read(self, offset: int, length: int) -> Deferred[bytes]:
        return succeed(self.data[offset : offset + min(length, 1000)])

    def write(self, chunk: bytes) -> None:
        self.data += chunk

    def backlog(self) -> int:
        return len(self.data)

    def drained(self) -> Deferred[None]:
        self.drains += 1
        return succeed(None)

    def finish(self) -> Deferred[None]:
        self.finished = True
        return succeed(None)

    def abort(self) -> None:
        self.aborted = True


class Broken(Content):
    def read(self, offset: int, length: int) -> Deferred[bytes]:
        return fail(SpoolError("cannot read", LOCAL_ERROR)) if offset else super().read(offset, length)


class Spool:
    def __init__(self) -> None:
        self.made: list[Content] = []

    def next_id(self) -> int:
        return 4711

    def new_content(self) -> Content:
        self.made.append(Content())
        return self.made[-1]


def recipient(index: int, text: str, reply: Reply = UNKNOWN, remote: str = "mx.there.example [192.0.2.1]:25", **keys: Any) -> Recipient:
    return Recipient(index, address(text), RcptParameters(**keys), attempts=1, last_reply=reply, last_remote=remote)


def original(
    *recipients: Recipient, data: bytes = ORIGINAL, in_memory: bool = True, sender: str = "sender@here.example", **parameters: Any
) -> Message:
    people = list(recipients) or [recipient(0, "user@there.example")]
    content = Content(data, in_memory)
    return Message(
        7, address(sender), people, "<m@here>", 1_000_000.0, content, MailParameters(**parameters), Origin(helo="client.here.example")
    )


class Desk:
    """A reporter, and what it wrote."""

    def __init__(self, settings: ReportSettings | None = None) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_600.0)
        self.spool = Spool()
        spool: Any = self.spool
        self.reporter = Reporter("relay.akkaya.local", "postmaster@akkaya.local", spool, self.clock, settings)

    def failed(self, message: Message, recipients: Sequence[Recipient] | None = None) -> Message | None:
        return self._result(self.reporter.failed(message, recipients or message.recipients))

    def delayed(self, message: Message, until: float = 1_172_800.0) -> Message | None:
        return self._result(self.reporter.delayed(message, message.recipients, until))

    def succeeded(self, message: Message, action: str) -> Message | None:
        return self._result(self.reporter.succeeded(message, message.recipients, action))

    def _result(self, made: Deferred[Message | None]) -> Message | None:
        results: list[Message | None] = []
        made.addCallback(results.append)
        (result,) = results
        return result


def octets(report: Message | None) -> bytes:
    assert report is not None
    data: bytes = report.content.data  # type: ignore[attr-defined]
    return data


def parsed(report: Message | None) -> EmailMessage:
    message = email.message_from_bytes(octets(report), policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert all(part.defects == [] for part in message.walk())
    return message


def fields(report: Message | None) -> list[Any]:
    message = parsed(report)
    status = list(message.iter_parts())[1]
    assert status.get_content_type() == "message/delivery-status"
    part = octets(report).split(f"\r\n--{message.get_boundary()}\r\n".encode())[2]
    checked = check_status(part.partition(b"\r\n\r\n")[2])
    groups: list[Any] = list(status.get_payload())
    assert len(groups) == len(checked)
    return groups


def test_envelope_and_header() -> None:
    report = Desk().failed(original())
    assert report is not None
    assert report.sender.is_null
    assert [each.address.text for each in report.recipients] == ["sender@here.example"]
    assert (report.id, report.origin.source, report.parameters.body) == (4711, "DSN", "7BIT")
    header = parsed(report)
    assert header["From"] == "twistedrelay <postmaster@akkaya.local>"
    assert header["To"] == "sender@here.example"
    assert header["Subject"] == "Undeliverable: Hello Wörld"
    assert header["Auto-Submitted"] == "auto-replied"
    assert header["Message-ID"] == report.message_id
    assert header["Date"].datetime.replace(tzinfo=datetime.UTC).timestamp() == 1_000_600  # "-0000" says UTC, and no more
    assert header.get_content_type() == "multipart/report"
    assert header.get_param("report-type") == "delivery-status"


def test_text_for_people_and_administrators() -> None:
    text = next(iter(parsed(Desk().failed(original())).iter_parts())).get_content().replace("\r\n", "\n")
    assert "user@there.example\n    This address does not exist at the destination." in text
    assert "Diagnostic information for administrators:" in text
    assert "Generating server: relay.akkaya.local" in text
    assert "mx.there.example: Remote Server returned '550 5.1.1 User unknown'" in text
    assert "Original message headers:\n\nReceived: from x by y\nSubject: Hello\n" in text


def test_delivery_status_fields() -> None:
    person = recipient(0, "user@there.example", orcpt="rfc822;first@there.example")
    per_message, per_recipient = fields(Desk().failed(original(person, envid="QQ314159")))
    assert per_message["Reporting-MTA"] == "dns; relay.akkaya.local"
    assert per_message["Original-Envelope-Id"] == "QQ314159"
    assert per_message["Received-From-MTA"] == "dns; client.here.example"
    assert per_message["Arrival-Date"] == "Mon, 12 Jan 1970 13:46:40 -0000"
    assert per_recipient["Original-Recipient"] == "rfc822;first@there.example"
    assert per_recipient["Final-Recipient"] == "rfc822; user@there.example"
    assert per_recipient["Action"] == "failed"
    assert per_recipient["Status"] == "5.1.1"
    assert per_recipient["Remote-MTA"] == "dns; mx.there.example"
    assert per_recipient["Diagnostic-Code"] == "smtp; 550 5.1.1 User unknown"
    assert per_recipient["Last-Attempt-Date"] == "Mon, 12 Jan 1970 13:56:40 -0000"
    assert per_recipient["Final-Log-ID"] == "7"
    assert "Will-Retry-Until" not in per_recipient


def test_a_reason_of_our_own_is_nobodys_reply() -> None:
    expired = Reply(550, "4.4.7", "QUEUE.Expired; message expired")
    _, per_recipient = fields(Desk().failed(original(recipient(0, "user@there.example", expired, ""))))
    assert per_recipient["Diagnostic-Code"] == "X-TwistedRelay; 550 4.4.7 QUEUE.Expired; message expired"
    assert per_recipient["Remote-MTA"] is None
    text = next(iter(parsed(Desk().failed(original(recipient(0, "user@there.example", expired, "")))).iter_parts())).get_content()
    assert "\n'550 4.4.7 QUEUE.Expired; message expired'\n" in text.replace("\r\n", "\n")
    assert "Remote Server" not in text


def test_what_expired_is_our_word_though_a_next_hop_had_one() -> None:
    expired = Reply(550, "4.4.7", "QUEUE.Expired; message expired; last error: 451 4.2.1 Busy")
    report = Desk().failed(original(recipient(0, "user@there.example", expired)))
    _, per_recipient = fields(report)
    assert per_recipient["Diagnostic-Code"].startswith("X-TwistedRelay; 550 4.4.7")
    assert per_recipient["Remote-MTA"] == "dns; mx.there.example"
    assert per_recipient["Last-Attempt-Date"]
    text = text_of(report)
    assert "Remote Server" not in text
    assert "although it was tried again and again" in " ".join(text.split())


@pytest.mark.parametrize(
    ("remote", "shown"),
    [
        ("mx.there.example [2001:db8::1]:25", "dns; mx.there.example"),
        ("[2001:db8::1]:25", "dns; [IPv6:2001:db8::1]"),
        ("[192.0.2.1]:2525", "dns; [192.0.2.1]"),
        ("/var/mail/new/1", None),
    ],
)
def test_the_name_of_the_next_hop(remote: str, shown: str | None) -> None:
    assert fields(Desk().failed(original(recipient(0, "user@there.example", UNKNOWN, remote))))[1]["Remote-MTA"] == shown


def test_nothing_is_told_that_nobody_said() -> None:
    """A message that was held for long, and never tried."""
    held = Recipient(0, address("user@there.example"))
    _, per_recipient = fields(Desk().delayed(original(held)))
    assert (per_recipient["Action"], per_recipient["Status"]) == ("delayed", "4.0.0")
    assert per_recipient["Diagnostic-Code"] is per_recipient["Last-Attempt-Date"] is per_recipient["Remote-MTA"] is None


@pytest.mark.parametrize(
    ("helo", "client", "shown"),
    [
        ("client.here.example", "192.0.2.7", "dns; client.here.example"),
        ("[192.0.2.8]", "192.0.2.7", "dns; [192.0.2.8]"),
        ("HP LaserJet 400", "192.0.2.7", "dns; [192.0.2.7]"),
        ("", "2001:db8::7", "dns; [IPv6:2001:db8::7]"),
        ("", "", None),
    ],
)
def test_who_gave_us_the_message(helo: str, client: str, shown: str | None) -> None:
    about = original()
    about.origin = Origin(helo=helo, client=client)
    assert fields(Desk().failed(about))[0]["Received-From-MTA"] == shown


def test_what_was_asked_of_the_time() -> None:
    by = DeliverBy(300, "N")
    per_message, per_recipient = fields(Desk().delayed(original(deliver_by=by, hold_for=60, hold_until=1_000_060.0)))
    assert per_message["Deliver-By-Date"] == "Mon, 12 Jan 1970 13:51:40 -0000"
    assert per_message["Future-Release-Request"] == "for;60"
    assert per_recipient["Status"] == "4.4.7"  # RFC 2852 section 4.1.3: it is over
    assert per_recipient["Diagnostic-Code"].startswith("smtp; 550 5.1.1")
    per_message, per_recipient = fields(Desk().failed(original(deliver_by=DeliverBy(9000, "R"), hold_until=1_000_060.0)))
    assert per_message["Future-Release-Request"] == "until;1970-01-12T13:47:40Z"
    assert per_recipient["Status"] == "5.1.1"
    per_message, _ = fields(Desk().failed(original()))
    assert per_message["Deliver-By-Date"] is per_message["Future-Release-Request"] is None


def test_a_report_is_as_urgent_as_its_message() -> None:
    report = Desk().failed(original(priority=-2))
    assert report is not None
    assert report.parameters.priority == -2


def test_original_recipient_is_decoded() -> None:
    assert original_recipient("rfc822;a+2Bb+3Dc@there.example") == "rfc822;a+b=c@there.example"
    assert original_recipient("rfc822;plain+@there.example") == "rfc822;plain+@there.example"
    assert original_recipient(r"utf-8;gr\x{FC}n@there.example") == r"utf-8;gr\x{FC}n@there.example"
    assert original_recipient(r"utf-8;gr\x{FC}n\x{2B}x@there.example", utf8=True) == "utf-8;grün+x@there.example"


@pytest.mark.parametrize(("action", "title"), [("relayed", "Relayed: Hello Wörld"), ("delivered", "Delivered: Hello Wörld")])
def test_success(action: str, title: str) -> None:
    report = Desk().succeeded(original(recipient(0, "user@there.example", Reply(250, "2.1.5", "OK"))), action)
    per_message, per_recipient = fields(report)
    assert per_message["Reporting-MTA"]
    assert (per_recipient["Action"], per_recipient["Status"]) == (action, "2.1.5")
    # RFC 3461 section 6.3 (i): what came of an attempt to relay has it
    assert per_recipient["Diagnostic-Code"] == ("smtp; 250 2.1.5 OK" if action == "relayed" else None)
    message = parsed(report)
    assert message["Subject"] == title
    assert [part.get_content_type() for part in message.iter_parts()][2] == "text/rfc822-headers"
    text = next(iter(message.iter_parts())).get_content()
    assert action in text or "passed on" in text


def test_success_is_not_told_to_nobody() -> None:
    desk = Desk()
    nobody = original()
    nobody.sender = NULL
    assert desk.succeeded(nobody, "relayed") is None


def test_requiretls_holds_for_the_report() -> None:
    report = Desk().failed(original(ret="FULL", require_tls=True))
    assert report is not None
    assert report.parameters.require_tls
    assert [part.get_content_type() for part in parsed(report).iter_parts()][2] == "text/rfc822-headers"


def test_binary_content_is_not_returned() -> None:
    report = Desk().failed(original(body="BINARYMIME"))
    assert [part.get_content_type() for part in parsed(report).iter_parts()][2] == "text/rfc822-headers"


def test_a_header_section_that_came_binary_is_made_text() -> None:
    about = original(body="BINARYMIME")
    about.content = Content(b"Subject: a\nX-One: b\0c\rX-Two: d\r\n\r\n\0")
    report = Desk().failed(about)
    assert report is not None
    data = octets(report)
    assert b"Subject: a\r\nX-One: b c\r\nX-Two: d\r\n" in data
    assert only_crlf(data)
    assert b"\0" not in data


INTERNATIONAL = "Subject: Grüße\r\n\r\nhallo\r\n".encode()


def test_an_international_message_to_a_sender_who_knows_it() -> None:
    about = original(recipient(0, "grün@there.example", orcpt=r"utf-8;gr\x{FC}n@first.example"), smtp_utf8=True)
    about.sender = Address("süd@here.example", "süd", "here.example")
    about.content = Content(INTERNATIONAL)
    report = Desk().failed(about)
    assert report is not None
    assert (report.parameters.smtp_utf8, report.parameters.body) == (True, "8BITMIME")
    data = octets(report)
    assert "To: <süd@here.example>\r\n".encode() in data
    assert b"report-type=global-delivery-status" in data
    assert b"Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" in data
    assert "Original-Recipient: utf-8;grün@first.example\r\nFinal-Recipient: utf-8; grün@there.example\r\n".encode() in data
    assert b"Content-Type: message/global\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + INTERNATIONAL in data


def test_an_international_message_to_a_sender_in_ascii() -> None:
    about = original(recipient(0, "grün@there.example"), smtp_utf8=True, ret="HDRS")
    about.content = Content(INTERNATIONAL)
    report = Desk().failed(about)
    assert report is not None
    assert not report.parameters.smtp_utf8
    data = octets(report)
    assert b"Content-Type: message/delivery-status\r\n\r\n" in data
    assert rb"Final-Recipient: utf-8; gr\x{FC}n@there.example" in data
    assert b"Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n" in data


def test_several_recipients() -> None:
    people = [recipient(number, f"user{number}@there.example") for number in range(150)]
    report = Desk().failed(original(*people))
    assert len(fields(report)) == 151
    assert "and 50 more" in next(iter(parsed(report).iter_parts())).get_content()


def test_delay_notice() -> None:
    late = original(recipient(0, "user@there.example", Reply(451, "4.4.1", "Connection refused"), ""))
    report = Desk().delayed(late)
    (per_message, per_recipient) = fields(report)
    assert per_message["Reporting-MTA"]
    assert (per_recipient["Action"], per_recipient["Status"]) == ("delayed", "4.4.1")
    assert per_recipient["Will-Retry-Until"] == "Wed, 14 Jan 1970 13:46:40 -0000"
    message = parsed(report)
    assert message["Subject"].startswith("Delivery delayed: ")
    assert [part.get_content_type() for part in message.iter_parts()][2] == "text/rfc822-headers"
    assert "You do not need to send it again" in next(iter(message.iter_parts())).get_content()


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(
    "data",
    [
        ORIGINAL,
        ORIGINAL + bytes(range(128, 256)) * 40 + b"\r\n" + b"x" * 5000 + b"\r\n",
        b"",
        b"\r\nno header\r\n",
        b"Subject: only a header\r\n",
        b"Subject: b\r\n\r\n--=_x--\r\n.\r\n..\r\nno final line end",
    ],
)
def test_the_original_is_embedded_octet_by_octet(data: bytes, in_memory: bool) -> None:
    report = Desk().failed(original(data=data, in_memory=in_memory))
    written = octets(report)
    boundary = parsed(report).get_boundary()
    assert isinstance(boundary, str)
    part = written.split(f"\r\n--{boundary}\r\n".encode())[3]
    head, _, body = part.partition(b"\r\n\r\n")
    assert b"message/rfc822" in head
    assert body == data + f"\r\n--{boundary}--\r\n".encode()
    assert report is not None
    eight_bit = not data.isascii()
    assert (report.parameters.body == "8BITMIME") is eight_bit
    assert (b"Content-Transfer-Encoding: 8bit" in head) is eight_bit


def test_headers_only_where_asked_or_too_large() -> None:
    def last(report: Message | None) -> Any:
        return list(parsed(report).iter_parts())[2]

    assert last(Desk().failed(original(ret="HDRS"))).get_content_type() == "text/rfc822-headers"
    assert last(Desk().failed(original(ret="FULL"))).get_content_type() == "message/rfc822"
    report = Desk(ReportSettings(external=Side(attach_limit=20))).failed(original())
    assert last(report).get_content_type() == "text/rfc822-headers"
    assert b"Body" not in octets(report)
    assert b"From: a@b\r\n" in octets(report)


def test_none_for_a_null_sender_or_about_a_report() -> None:
    desk = Desk()
    assert desk.failed(original(sender="")) is None
    about = original()
    about.origin = Origin(source="DSN")
    assert desk.failed(about) is None
    assert desk.spool.made == []


def test_notify_is_respected() -> None:
    never = recipient(0, "never@there.example", notify=frozenset({"NEVER"}))
    delay = recipient(1, "delay@there.example", notify=frozenset({"DELAY"}))
    failure = recipient(2, "failure@there.example", notify=frozenset({"FAILURE", "SUCCESS"}))
    desk = Desk()
    message = original(never, delay, failure)
    assert [each["Final-Recipient"] for each in fields(desk.failed(message))[1:]] == ["rfc822; failure@there.example"]
    assert [each["Final-Recipient"] for each in fields(desk.delayed(message))[1:]] == ["rfc822; delay@there.example"]
    assert desk.failed(message, [never, delay]) is None


def test_an_answer_to_the_message() -> None:
    report = parsed(Desk().failed(original(data=b"Message-ID:\r\n <1.x@here.example>\r\n\r\n")))
    assert report["In-Reply-To"] == report["References"] == "<1.x@here.example>"
    for odd in (b"", b"<a b@c>", b"<a@b>\x00", b"<" + b"a" * 900 + b"@b>", b"<\xfc@b>", b"<a@b> <c@d>"):
        assert parsed(Desk().failed(original(data=b"Message-ID: " + odd + b"\r\n\r\n")))["In-Reply-To"] is None


REPORT = b"From: postmaster@other.example\r\nContent-Type: multipart/report;\r\n\tboundary=x; report-type=%b\r\n\r\n--x--\r\n"


@pytest.mark.parametrize("kind", [b"delivery-status", b'"Delivery-Status"; charset=x', b"global-delivery-status"])
def test_none_about_a_report_with_a_wrong_return_path(kind: bytes) -> None:
    """Two systems that make such reports about each other's would never end."""
    desk = Desk()
    about = original(data=REPORT.replace(b"%b", kind))
    assert desk.failed(about) is desk.delayed(about) is desk.succeeded(about, "relayed") is None
    assert desk.spool.made == []


@pytest.mark.parametrize(
    "header",
    [
        REPORT.replace(b"%b", b"feedback-report"),
        REPORT.replace(b"%b", b"disposition-notification"),
        b"Auto-Submitted: auto-generated\r\nPrecedence: bulk\r\n\r\n",
        b"Subject: Content-Type: multipart/report; report-type=delivery-status\r\n\r\n",
    ],
)
def test_robots_and_lists_get_reports_like_all_others(header: bytes) -> None:
    assert Desk().failed(original(data=header)) is not None


def config(**transport: Any) -> ReportSettings:
    """As the service makes it: here.example is ours."""
    texts = [SystemMessage(dsn_code="5.1.1", text="Ask the help desk."), SystemMessage(dsn_code="5.1.1", internal=True, text="Ask Jo.")]
    return ReportSettings.of(Transport(**transport), texts, lambda who: who.domain == "here.example", lambda who: who)


def text_of(report: Message | None) -> str:
    part: Any = next(iter(parsed(report).iter_parts()))
    return str(part.get_content()).replace("\r\n", "\n")


def test_the_language_of_the_sender() -> None:
    data = b"Accept-Language: de-DE, en\r\nSubject: Tach\r\n\r\n"
    report = Desk().failed(original(recipient(0, "x@there.example", Reply(550, "5.2.2", "Full")), data=data))
    assert parsed(report)["Subject"] == "Unzustellbar: Tach"
    part = next(iter(parsed(report).iter_parts()))
    assert part["Content-Language"] == "de"
    assert "Das Postfach des Empfängers ist voll." in text_of(report)
    assert "Diagnostic information for administrators:" in text_of(report)
    assert octets(report).isascii()
    notice = Desk().delayed(original(recipient(0, "x@there.example", Reply(451, "4.2.1", "Busy")), data=b"Content-Language: tr\r\n\r\n"))
    assert parsed(notice)["Subject"] == "Teslimat gecikti: iletiniz"
    assert "1970-01-14" in text_of(notice)


def test_the_default_language_of_each_side() -> None:
    desk = Desk(config(internal_dsn_default_language="fr", external_dsn_default_language="es"))
    full = recipient(0, "x@there.example", Reply(550, "5.2.2", "Full"))
    assert "est pleine" in text_of(desk.failed(original(full)))
    assert "está lleno" in text_of(desk.failed(original(full, sender="user@there.example")))


def test_our_own_texts() -> None:
    desk = Desk(config())
    assert "\n    user@there.example\n    Ask Jo.\n\n" in text_of(desk.failed(original()))
    assert "\n    user@there.example\n    Ask the help desk.\n\n" in text_of(desk.failed(original(sender="user@there.example")))


def test_delay_notices_have_a_switch_for_each_side() -> None:
    desk = Desk(config(internal_delay_dsn_enabled=False))
    late = recipient(0, "x@there.example", Reply(451, "4.2.1", "Busy"))
    assert desk.delayed(original(late)) is None
    assert desk.delayed(original(late, sender="user@there.example")) is not None
    assert desk.delayed(original(late, deliver_by=DeliverBy(60, "N"))) is not None
    assert desk.failed(original()) is not None
    assert Desk(config(external_delay_dsn_enabled=False)).delayed(original(late, sender="user@there.example")) is None


def test_how_much_comes_back_to_each_side() -> None:
    desk = Desk(config(internal_dsn_max_message_attach_size=len(ORIGINAL), external_dsn_max_message_attach_size=len(ORIGINAL) - 1))
    kinds = [
        list(parsed(desk.failed(original(sender=sender))).iter_parts())[2].get_content_type()
        for sender in ("a@here.example", "a@x.example")
    ]
    assert kinds == ["message/rfc822", "text/rfc822-headers"]


def test_postmaster_hears_of_some_failures() -> None:
    desk = Desk(config(generate_copy_of_dsn_for=["5.4.6", "5.1.1"]))

    def readers(report: Message | None) -> list[str]:
        assert report is not None
        assert report.sender.is_null
        assert [each.index for each in report.recipients] == list(range(len(report.recipients)))
        return [each.address.text for each in report.recipients]

    both = ["sender@here.example", "postmaster@akkaya.local"]
    other = recipient(0, "x@there.example", Reply(550, "5.2.2", "Full"))
    assert readers(desk.failed(original())) == both
    assert readers(desk.failed(original(other))) == both[:1]
    assert readers(desk.failed(original(other, recipient(1, "y@there.example")))) == both
    assert (
        readers(desk.delayed(original(recipient(0, "x@there.example", Reply(451, "5.1.1", "?"), notify=frozenset({"DELAY"}))))) == both[:1]
    )
    assert readers(desk.failed(original(sender="postmaster@akkaya.local"))) == both[1:]
    assert readers(Desk().failed(original())) == both[:1]
    copy = desk.failed(original())
    assert copy is not None
    assert desk.failed(copy, [Recipient(1, address("postmaster@akkaya.local"), last_reply=UNKNOWN)]) is None, "it never comes back"


def test_a_report_goes_to_who_is_inside_an_address_of_ours() -> None:
    """As it does where an SRS address comes back to us as a sender."""
    settings = ReportSettings(is_internal=lambda who: who.domain == "here.example", resolve=lambda who: address("first@there.example"))
    report = Desk(settings).failed(original())
    assert report is not None
    assert [each.address.text for each in report.recipients] == ["first@there.example"]
    assert parsed(report)["To"] == "first@there.example"


@pytest.mark.parametrize("number", [1, 3])
def test_other_programs_understand_it(number: int) -> None:
    """flufl.bounce, the reader of reports in Mailman."""
    people = [recipient(index, f"user{index}@there.example", orcpt=f"rfc822;user{index}@there.example") for index in range(number)]
    report = email.message_from_bytes(octets(Desk().failed(original(*people))))
    temporary, permanent = all_failures(report)
    assert permanent == {f"user{index}@there.example".encode() for index in range(number)}
    assert not temporary
    late = [recipient(0, "user@there.example", Reply(451, "4.2.1", "Busy"))]
    temporary, permanent = all_failures(email.message_from_bytes(octets(Desk().delayed(original(*late)))))
    assert temporary == {b"user@there.example"}
    assert not permanent


def test_a_broken_original_leaves_nothing_behind() -> None:
    desk = Desk()
    message = original(data=ORIGINAL + b"x" * 3000)
    message.content = Broken(message.content.data, in_memory=False)  # type: ignore[attr-defined]
    failures: list[Any] = []
    desk.reporter.failed(message, message.recipients).addErrback(failures.append)
    assert failures[0].check(SpoolError)
    assert [made.aborted for made in desk.spool.made] == [True]


def test_the_disk_is_waited_for() -> None:
    desk = Desk()
    assert desk.failed(original(data=ORIGINAL + b"x" * 3_000_000, in_memory=False)) is not None
    assert desk.spool.made[0].drains > 3


@settings(max_examples=30, deadline=None)
@given(text=st.text(max_size=1200), subject=st.binary(max_size=300))
def test_remote_text_does_no_harm(text: str, subject: bytes) -> None:
    person = recipient(0, "user@there.example", Reply(550, "", text), text[:60])
    report = Desk().failed(original(person, data=b"Subject: " + subject.replace(b"\r", b"").replace(b"\n", b"") + b"\r\n\r\nx\r\n"))
    written = octets(report)
    boundary = parsed(report).get_boundary()
    ours = written.split(f"\r\n--{boundary}\r\n".encode())[:3]
    for line in b"\r\n".join(ours).split(b"\r\n"):
        assert len(line) <= 998
        assert b"\r" not in line
        assert b"\n" not in line
        assert line.isascii()
    assert len(fields(report)) == 2


LINES = st.lists(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")) | st.just(" "), max_size=120), max_size=5)


@given(LINES)
def test_the_text_in_every_language(lines: list[str]) -> None:
    text = "\n".join(lines) + "\n"
    written = text_part(text, "de")
    assert written.isascii()
    assert not any(len(line) > 998 for line in written.split(b"\r\n"))
    part: Any = email.message_from_bytes(written, policy=email.policy.default)
    assert part["Content-Language"] == "de"
    assert part.get_content().replace("\r\n", "\n") == text


@pytest.mark.parametrize("title", ["Undeliverable: x", "Ü" * 300, "a" * 300, "=?utf-8?q?x?= y", "Unzustellbar: Grüße an alle"])
def test_the_subject_of_a_report(title: str) -> None:
    written = subject_field(title)
    assert written.isascii()
    assert all(len(line) <= 78 or b" " not in line.strip() for line in written.split(b"\r\n"))
    assert email.message_from_bytes(written + b"\r\n", policy=email.policy.default)["Subject"] == title.replace("=?utf-8?q?x?=", "x")


def test_long_addresses_are_not_torn() -> None:
    assert field("Final-Recipient", "rfc822; " + "a" * 300) == "Final-Recipient: rfc822;\r\n " + "a" * 300 + "\r\n"
    assert max(map(len, field("X", "a" * 5000).split("\r\n"))) <= 998


def test_small_things() -> None:
    assert remote_name("mx [192.0.2.1]:25") == "mx"
    assert remote_name("[192.0.2.1]:25") == "[192.0.2.1]"
    assert remote_name("") == ""
    assert typed_address("jörg@example") == "utf-8; j\\x{F6}rg@example"


def test_many_recipients_do_not_keep_the_relay_from_its_work() -> None:
    desk = Desk()
    message = original(*(recipient(index, f"u{index}@there.example") for index in range(3 * AT_ONCE)))
    made = desk.reporter.failed(message, message.recipients)
    assert not made.called
    desk.clock.advance(0)
    assert len(fields(desk._result(made))) == 1 + 3 * AT_ONCE


@given(text=st.text(min_size=1, max_size=400))
@settings(max_examples=200)
def test_no_line_of_a_subject_is_blank(text: str) -> None:
    found = subject(b"Subject: " + text.replace("\n", " ").encode("utf-8", "surrogatepass") + b"\r\n")
    written = subject_field(f"Undeliverable: {found}" if found else "Undeliverable")
    assert all(line.strip() for line in written.removesuffix(b"\r\n").split(b"\r\n"))


def test_the_domain_of_postmaster_is_ascii() -> None:
    spool: Any = Spool()
    clock = Clock()
    reporter = Reporter("relay.akkaya.local", "postmaster@b\u00fccher.example", spool, clock)
    message = original()
    reporter.failed(message, message.recipients)
    assert b"<postmaster@xn--bcher-kva.example>" in spool.made[0].data
