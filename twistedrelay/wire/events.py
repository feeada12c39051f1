"""What a client asks of the server engine, one value per thing asked.

An event whose docstring says "waits" stops the engine until it is answered by L{twistedrelay.wire.server.SMTPServer.respond}.
"""

from __future__ import annotations

import attrs

from twistedrelay.values.address import Address
from twistedrelay.values.envelope import NO_MAIL_PARAMETERS, NO_RCPT_PARAMETERS, MailParameters, RcptParameters
from twistedrelay.values.netrange import IPAddress
from twistedrelay.values.reply import Reply
from twistedrelay.wire.sasl import Credentials


@attrs.frozen(slots=True)
class Event:
    """The base of all events."""


@attrs.frozen(slots=True)
class Hello(Event):
    """HELO, EHLO or LHLO; waits.  A positive reply is replaced by the engine's own lines; on a refusal nothing changes.

    @ivar verb: C{"HELO"}, C{"EHLO"} or C{"LHLO"}.
    @ivar name: what the client calls itself: printable ASCII without spaces, C{""} where it said nothing.
    """

    verb: str
    name: str


@attrs.frozen(slots=True)
class StartTLS(Event):
    """STARTTLS; waits.  Answered with 220, the engine is C{awaiting_tls}, unless it is C{closing}."""


@attrs.frozen(slots=True)
class ScramChallenge(Event):
    """SCRAM cannot go on without the user's verifier; waits: L{twistedrelay.wire.server.SMTPServer.challenge} or a negative reply.

    @ivar binding: the channel binding whose octets are needed too, or C{""}.
    """

    mechanism: str
    name: str
    binding: str


@attrs.frozen(slots=True)
class Authenticate(Event):
    """What an AUTH exchange has shown; waits.  235 lets the session log in, which is done when L{Authenticated} says so."""

    mechanism: str
    credentials: Credentials


@attrs.frozen(slots=True)
class Authenticated(Event):
    """The login that was granted last is in force, and its 235 is said.  Does not wait."""


@attrs.frozen(slots=True)
class Mail(Event):
    """MAIL; waits.  The parameters are well formed; whether the declared size is too large is for policy to say."""

    sender: Address
    parameters: MailParameters = NO_MAIL_PARAMETERS


@attrs.frozen(slots=True)
class Rcpt(Event):
    """RCPT; waits."""

    recipient: Address
    parameters: RcptParameters = NO_RCPT_PARAMETERS


@attrs.frozen(slots=True)
class Data(Event):
    """DATA with at least one accepted recipient; waits.  354 lets the content begin; after any other reply the transaction stays open."""


@attrs.frozen(slots=True)
class Bdat(Event):
    """The first BDAT of a message with at least one accepted recipient; waits.

    Any positive reply lets the content begin; the engine has its own words for the client.  After another one the octets are thrown away
    before it is sent, and the transaction is void: L{Reset} follows.  Further chunks of the message make no events but L{Content}.

    @ivar size: octets of the chunk.
    @ivar last: there is no further chunk.
    """

    size: int
    last: bool


@attrs.frozen(slots=True)
class Content(Event):
    """Octets of the message: dots unstuffed, CRLF line ends (but as they came under BODY=BINARYMIME).  Does not wait."""

    chunk: bytes = attrs.field(repr=lambda chunk: f"<{len(chunk)} octets>")


@attrs.frozen(slots=True)
class EndOfContent(Event):
    """The end of the message, or the chunk that spoils it; waits.  Whatever the reply is, the transaction is over.

    In LMTP the engine gives the reply once for each accepted recipient.

    @ivar fault: why the content cannot be taken (552, 550), or None.  Content emitted before the fault was found is void.
    """

    fault: Reply | None = None


@attrs.frozen(slots=True)
class Reset(Event):
    """RSET, an accepted hello, a refused chunk, XCLIENT or the start of TLS: the transaction is void.  Does not wait."""


@attrs.frozen(slots=True)
class Vrfy(Event):
    """VRFY; waits."""

    argument: str


@attrs.frozen(slots=True)
class XClient(Event):
    """XCLIENT: whom a trusted peer speaks for; waits.  A positive reply (the banner, 220) begins the session anew, up to TLS.

    What was not given or not known to the peer is empty, None or 0.

    @ivar name: the client's host name.
    @ivar proto: C{"SMTP"}, C{"ESMTP"} or C{"LMTP"}.
    @ivar helo: what the client said in HELO or EHLO.
    @ivar login: the client's login.
    @ivar destination_address: where the client had connected to.
    """

    name: str = ""
    address: IPAddress | None = None
    port: int = 0
    proto: str = ""
    helo: str = ""
    login: str = ""
    destination_address: IPAddress | None = None
    destination_port: int = 0


@attrs.frozen(slots=True)
class Quit(Event):
    """QUIT; waits.  The engine is C{closing} once it is answered."""


@attrs.frozen(slots=True)
class ProtocolError(Event):
    """The client broke a rule of the protocol; waits.

    @ivar reply: what to answer; the session may answer 421 instead.
    @ivar command: what the client sent, printable and cut short, for the log; nothing behind AUTH is ever in it.
    """

    reply: Reply
    command: str
