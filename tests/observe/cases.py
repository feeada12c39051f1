"""One event of every kind, with its line."""

from __future__ import annotations

from typing import Any

import attrs

from twistedrelay.values import events
from twistedrelay.values.address import NULL, Address
from twistedrelay.values.envelope import Message, Origin, Outcome, OutcomeKind, Recipient
from twistedrelay.values.reply import TOO_MANY_CONNECTIONS, UNABLE_TO_RELAY, Reply
from twistedrelay.values.route import TLSAssessment

SESSION = ("0123456789abcdef", "Default Frontend", "192.168.1.55:4711")


@attrs.define
class Content:
    """Content of a size."""

    size: int = 512


def address(text: str) -> Address:
    """An address without the grammar."""
    local, _, domain = text.partition("@")
    return Address(text, local, domain)


def message(*recipients: str, id: int = 42) -> Message:
    """A message from the article."""
    to = [Recipient(index, address(text), attempts=2) for index, text in enumerate(recipients or ("user@akkaya.local",))]
    origin = Origin(connector="Default Frontend", client="192.168.1.55", helo="scanner", session=SESSION[0])
    return Message(id, address("cengiz@cozumpark.com"), to, "<f7c2@EXCSERVER>", 1.0, Content(), origin=origin)  # type: ignore[arg-type]


def sent(kind: OutcomeKind, reply: Reply, **more: Any) -> events.Send:
    """An attempt's end."""
    to = message()
    return events.Send(to, Outcome(to.recipients[0], kind, reply, "mailbox [127.0.0.1]:25", **more), "mailbox:25")


REPORT = Message(43, NULL, [Recipient(0, address("cengiz@cozumpark.com"))], "<dsn@x>", 1.0, Content(), origin=Origin(source="DSN"))  # type: ignore[arg-type]
ORIGIN = 'connector="Default Frontend" client=192.168.1.55 session=0123456789abcdef'
WHO = 'connector="Default Frontend" client=192.168.1.55:4711 session=0123456789abcdef'

CASES: list[tuple[events.Event, str]] = [
    (
        events.Connected(*SESSION, "10.0.0.1:25"),
        'connect client=192.168.1.55:4711 connector="Default Frontend" server=10.0.0.1:25 session=0123456789abcdef',
    ),
    (
        events.ConnectionRefused(*SESSION, "max_inbound_connection", TOO_MANY_CONNECTIONS),
        f"connection refused by max_inbound_connection: {TOO_MANY_CONNECTIONS} {WHO}",
    ),
    (
        events.PermissionsSet(*SESSION, "Anonymous Logon", ("SMTPSubmit", "SMTPAcceptAnySender")),
        f'permissions "Anonymous Logon" rights=SMTPSubmit,SMTPAcceptAnySender {WHO}',
    ),
    (events.TLSStarted(*SESSION, "TLSv1.3", "TLS_AES_256_GCM_SHA384"), f"TLS started TLSv1.3 TLS_AES_256_GCM_SHA384 {WHO}"),
    (events.TLSFailed(*SESSION, "no shared cipher"), f"TLS failed: no shared cipher {WHO}"),
    (events.LoggedIn(*SESSION, "PLAIN", "a@b"), f"login user=a@b mechanism=PLAIN {WHO}"),
    (
        events.LoginFailed(*SESSION, "LOGIN", "a@b", "wrong password"),
        f'login failed user=a@b mechanism=LOGIN {WHO} reason="wrong password"',
    ),
    (
        events.LogonLocked(*SESSION, "a@b", "192.0.2.0/24", "logon_lockout_threshold", 30.0),
        f"logons locked user=a@b source=192.0.2.0/24 seconds=30 limit=logon_lockout_threshold {WHO}",
    ),
    (
        events.CommandRefused(*SESSION, "RCPT TO:<x@gmail.com>", UNABLE_TO_RELAY, "no right"),
        f'refused "RCPT TO:<x@gmail.com>": 550 5.7.54 SMTP; Unable to relay recipient in non-accepted domain {WHO} reason="no right"',
    ),
    (events.Disconnected(*SESSION, "QUIT", 3, 1.23456), f"disconnect QUIT messages=3 seconds=1.235 {WHO}"),
    (
        events.Receive(message()),
        f"RECEIVE 42 <f7c2@EXCSERVER> from=<cengiz@cozumpark.com> to=<user@akkaya.local> size=512 {ORIGIN}",
    ),
    (
        events.ReceiveUncertain(message()),
        f"RECEIVE UNCERTAIN 42 <f7c2@EXCSERVER>: stored, but the client did not get its 250 {ORIGIN}",
    ),
    (
        sent(OutcomeKind.DELIVERED, Reply(250, "2.0.0", "Ok: queued as 1"), tls="TLSv1.3 X"),
        'SEND 42 to=<user@akkaya.local> via=mailbox [127.0.0.1]:25 250 2.0.0 Ok: queued as 1 tls="TLSv1.3 X"',
    ),
    (
        sent(OutcomeKind.DEFERRED, Reply(451, "4.3.0", "later"), uncertain=True),
        "DEFER 42 to=<user@akkaya.local> via=mailbox [127.0.0.1]:25 451 4.3.0 later uncertain attempts=2",
    ),
    (
        sent(OutcomeKind.FAILED, Reply(550, "5.1.1", "User unknown")),
        "FAIL 42 to=<user@akkaya.local> via=mailbox [127.0.0.1]:25 550 5.1.1 User unknown",
    ),
    (events.ReportSent(REPORT, message(), "failed"), "DSN 43 failed about=42 <f7c2@EXCSERVER> to=<cengiz@cozumpark.com>"),
    (events.Removed(message(), True, message().recipients), "REMOVE 42 <f7c2@EXCSERVER> by an administrator, sender told"),
    (
        events.Resubmitted(attrs.evolve(message(), id=77), 42),
        "RESUBMIT 77 <f7c2@EXCSERVER> again=42 from=<cengiz@cozumpark.com> to=<user@akkaya.local>",
    ),
    (
        events.Poisoned(REPORT, 2),
        "POISONMESSAGE 43 <dsn@x> from=<>: the poison count of 2 has been reached; it waits in the poison queue",
    ),
    (events.Dropped(REPORT, "null sender"), "DROP 43 <dsn@x>: null sender"),
    (
        events.Connectivity("akkaya.local", "mailbox [127.0.0.1]:25", "failed", "refused"),
        "delivery connection failed mailbox [127.0.0.1]:25 next_hop=akkaya.local: refused",
    ),
    (
        events.TLSResult(
            TLSAssessment("x.test", "v=TLSRPTv1;rua=mailto:t@x.test", "sts"), "mx.x.test", "192.0.2.1", "certificate-expired", "old"
        ),
        "TLS result certificate-expired domain=x.test policy=sts host=mx.x.test [192.0.2.1]: old",
    ),
    (events.ServiceEvent("error", "disk full"), "error: disk full"),
]
