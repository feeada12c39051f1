"""The command line of C{sendmail}, as programs have used it for forty years.

Decides which options mean something here and which are taken and change nothing.  Options may stand behind addresses, and behind C{--}
all are addresses.

Sources: sendmail(8), sendmail(1) of Postfix; Linux Standard Base Core, sendmail.
"""

from __future__ import annotations

import getopt
import os
from collections.abc import Mapping, Sequence

import attrs

DEFAULT_CONFIG = "/etc/twistedrelay/relay.yaml"

_OPTIONS = "A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:tvx"
_MODES = {"m": "send", "s": "smtp", "p": "queue", "i": "nothing"}
_NOTIFY = {"never", "success", "failure", "delay"}

USAGE = """usage: twistedrelay-sendmail [option ...] [address ...] < message
  -t            take the recipients from To, Cc and Bcc, too
  -i, -oi       a line with a single dot does not end the message
  -f, -r ADDR   the sender ('<>' for none)
  -F NAME       the sender's full name, where the message has no From
  -N WHEN       reports: never, or a list of success, failure, delay
  -R full|hdrs  what of the message a report returns
  -V ID         the envelope id that a report tells
  -B TYPE       taken; the relay looks for itself
  -bs           speak SMTP on standard input and output
  -bp           where the queue is to be seen
  --config FILE the relay's configuration (default: $RELAYCTL_CONFIG, else /etc/twistedrelay/relay.yaml)
"""


class UsageError(Exception):
    """The command line cannot be understood; C{str()} says what."""


@attrs.frozen(slots=True)
class Options:
    """What is wanted.

    @ivar mode: C{"send"}, C{"smtp"}, C{"queue"}, C{"help"} or C{"nothing"} (aliases, queue runs).
    @ivar sender: None where it was not given.
    @ivar parameters: those of MAIL, as words.
    @ivar notify: NOTIFY of each recipient, or C{""}.
    """

    mode: str
    config: str
    recipients: tuple[str, ...]
    from_headers: bool = False
    ignore_dots: bool = False
    sender: str | None = None
    full_name: str = ""
    parameters: tuple[str, ...] = ()
    notify: str = ""


def parse(name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Options:
    """The options of a command line.

    @param name: the command's own name; C{mailq} and C{newaliases} are modes of their own.
    @raise UsageError: it cannot be understood.
    """
    own = list(arguments)
    end = own.index("--") if "--" in own else len(own)
    runs = [word for word in own[:end] if word.startswith("-q")]  # with or without an interval; the relay runs its queue by itself
    rest = [word for word in own[:end] if not word.startswith("-q")] + own[end:]
    try:
        pairs, recipients = getopt.gnu_getopt(rest, _OPTIONS, ["config=", "help"])
    except getopt.GetoptError as error:
        raise UsageError(str(error)) from None
    found: dict[str, object] = {}
    mode = {"mailq": "queue", "newaliases": "nothing"}.get(os.path.basename(name), "nothing" if runs else "send")
    parameters: dict[str, str] = {}
    for option, value in pairs:
        match option:  # those without a case are of other times, or found out by looking: they are taken and change nothing
            case "--help":
                mode = "help"
            case "-b":
                if value not in _MODES:
                    raise UsageError(f"-b{value} is not for this command: the relay itself is started by twistd")
                mode = _MODES[value]
            case "-I":
                mode = "nothing"
            case "-C" | "--config":
                found["config"] = value
            case "-t":
                found["from_headers"] = True
            case "-i":
                found["ignore_dots"] = True
            case "-o" if value == "i":
                found["ignore_dots"] = True
            case "-O" if value.lower().replace(" ", "") in ("ignoredots", "ignoredots=true"):
                found["ignore_dots"] = True
            case "-f" | "-r":
                found["sender"] = value
            case "-F":
                found["full_name"] = value
            case "-N":
                found["notify"] = _notify(value)
            case "-R":
                parameters["RET"] = _one_of(option, value, ("full", "hdrs"))
            case "-V":
                parameters["ENVID"] = value
    config = str(found.pop("config", "") or environment.get("RELAYCTL_CONFIG", "") or DEFAULT_CONFIG)
    words = tuple(f"{key}={value}" for key, value in parameters.items())
    return Options(mode, config, tuple(recipients), parameters=words, **found)  # type: ignore[arg-type]


def _notify(value: str) -> str:
    wishes = value.lower().split(",")
    if not set(wishes) <= _NOTIFY or ("never" in wishes and len(wishes) > 1):
        raise UsageError(f"-N {value}: allowed are never, or a list of success, failure and delay")
    return ",".join(wishes).upper()


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> str:
    if value.lower() not in allowed:
        raise UsageError(f"{option} {value}: allowed are {' and '.join(allowed)}")
    return value.upper()
