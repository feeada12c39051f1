"""Handing a composed message to the relay: a file in the replay directory, or a session with one of its connectors.

Decides where: the directory, where it may be written to, so that it works whether or not the relay runs; else a receive connector that
takes mail from this host without a login, first of all one that lets it relay.  What a failure is worth says L{SubmitError}.

Source: sysexits(3).
"""

from __future__ import annotations

import contextlib
import datetime
import os
import secrets
import smtplib
import time
from collections.abc import Iterator

from twistedrelay.config.schema import Config
from twistedrelay.pickup.compose import Composed
from twistedrelay.pickup.files import sync_directory
from twistedrelay.pickup.letter import readers
from twistedrelay.policy.connector import ConnectorTable, ListeningBinding
from twistedrelay.policy.rights import Rights, principal_at_connect, rights_of
from twistedrelay.values.netrange import IPAddress, parse_ip

PATIENCE = 60.0  #: seconds for each step of a session

_LOOPBACK = {4: "127.0.0.1", 6: "::1"}

Place = tuple[str, int]


class SubmitError(Exception):
    """The message was not taken, or not for all; C{str()} says why.

    @ivar status: the exit status.
    """

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


def submit(message: Composed, config: Config) -> None:
    """Hand it over.

    @raise SubmitError: it could not be done.
    @raise LetterError: the relay would not send it.
    """
    directory = config.transport.replay_directory_path
    if directory and os.access(directory, os.W_OK | os.X_OK):
        to_directory(replay_file(message, config), directory)
    else:
        by_smtp(message, connector(config))


def replay_file(message: Composed, config: Config) -> bytes:
    """The message as a file of the replay directory.  What stands in its own header never counts as the envelope.

    @raise LetterError: the relay would set it aside, and nobody would hear of it.
    """
    head = [f"X-Sender: {' '.join((f'<{message.sender}>', *message.mail))}"]
    head += [f"X-Receiver: {' '.join((f'<{recipient}>', *message.rcpt))}" for recipient in message.recipients]
    text = "".join(f"{line}\r\n" for line in [*head, "X-EndOfInjectedXHeaders: 1"]).encode() + message.content
    readers(config)["Replay"].read(text[: text.index(b"\r\n\r\n") + 2], time.time())
    return text


def to_directory(text: bytes, directory: str) -> None:
    """Put a file into the replay directory.  Returns once it is there for good.

    @raise SubmitError: it could not be written.
    """
    name = os.path.join(directory, f"sendmail-{time.time_ns():x}-{secrets.token_hex(8)}")
    try:
        descriptor = os.open(f"{name}.new", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                with contextlib.suppress(OSError):  # where the directory gives its files no group
                    os.fchown(descriptor, -1, os.stat(directory).st_gid)
                os.fchmod(descriptor, 0o640)
                stream.write(text)
                stream.flush()
                os.fsync(descriptor)
            os.rename(f"{name}.new", f"{name}.eml")
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(f"{name}.new")
            raise
        with contextlib.suppress(PermissionError):  # who may only write there cannot open it
            sync_directory(directory)
    except OSError as error:
        raise SubmitError(f"{directory}: {error.strerror}", os.EX_TEMPFAIL) from None


def connector(config: Config) -> Place:
    """Where this host may submit mail without a login.

    @raise SubmitError: nowhere.
    """
    table = ConnectorTable(config)
    places = [found for binding in table.bindings for found in _places(table, binding)]
    if not places:
        text = "the replay directory cannot be written to, and no receive connector takes mail from this host without a login"
        raise SubmitError(f"{text}; set transport.replay_directory_path, and belong to its group", os.EX_NOPERM)
    return max(places, key=lambda found: found[0])[1]


def _places(table: ConnectorTable, binding: ListeningBinding) -> Iterator[tuple[bool, Place]]:
    """Whether a socket lets this host relay, and its address; nothing where this host may not even submit."""
    local = parse_ip(binding.host)
    if local.is_unspecified:
        local = parse_ip(_LOOPBACK[local.version])
    peer: IPAddress = parse_ip(_LOOPBACK[local.version]) if local.is_loopback else local
    choice = None if binding.proxies else table.choose(binding, local, peer, datetime.date.today())
    if choice is None or choice.connector.implicit_tls or choice.connector.require_tls or choice.connector.protocol == "LMTP":
        return
    rights = rights_of(choice.connector, principal_at_connect(choice.connector))
    if Rights.SUBMIT in rights:
        yield Rights.ACCEPT_ANY_RECIPIENT in rights, (str(local), binding.port)


def by_smtp(message: Composed, place: Place) -> None:
    """Send it in a session.  Recipients that are refused do not keep it from the others.

    @raise SubmitError: it was not taken, or not for all.
    """
    try:
        with smtplib.SMTP(*place, local_hostname="localhost", timeout=PATIENCE) as session:
            session.ehlo()
            _transaction(session, message)
    except smtplib.SMTPResponseException as error:
        raise _refused([(str(place[0]), error.smtp_code, error.smtp_error if isinstance(error.smtp_error, bytes) else b"")]) from None
    except (OSError, smtplib.SMTPException) as error:
        raise SubmitError(f"the relay does not answer on {place[0]} port {place[1]}: {error}", os.EX_TEMPFAIL) from None


def _transaction(session: smtplib.SMTP, message: Composed) -> None:
    utf8 = not all(str(one).isascii() for one in (message.sender, *message.recipients))
    words = [*message.mail, *(["BODY=8BITMIME"] if message.eight_bit and session.has_extn("8bitmime") else [])]
    session.command_encoding = "utf-8"
    parameters = [*words, *(["SMTPUTF8"] if utf8 else [])]
    _expect(session.mail(str(message.sender), parameters), "MAIL FROM")
    refused = []
    for recipient in message.recipients:
        code, text = session.rcpt(str(recipient), list(message.rcpt))
        if code >= 400:
            refused.append((str(recipient), code, text))
    if len(refused) < len(message.recipients):
        _expect(session.data(message.content), "end of data")
    if refused:
        raise _refused(refused)


def _expect(answer: tuple[int, bytes], step: str) -> None:
    if answer[0] >= 400:
        raise _refused([(step, *answer)])


def _refused(replies: list[tuple[str, int, bytes]]) -> SubmitError:
    text = "; ".join(f"{about}: {code} {said.decode('utf-8', 'replace')}" for about, code, said in replies)
    codes = [code for _, code, _ in replies]
    if any(code < 500 for code in codes):
        return SubmitError(text, os.EX_TEMPFAIL)
    if all(said.startswith(b"5.1.1") for _, _, said in replies):
        return SubmitError(text, os.EX_NOUSER)
    return SubmitError(text, os.EX_NOPERM if any(said.startswith(b"5.7.") for _, _, said in replies) else os.EX_UNAVAILABLE)
