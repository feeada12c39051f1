"""What C{twistd twistedrelay} understands, and how the service is made of it.

Imports no reactor at top level: twistd chooses one first (C{--reactor}).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from twisted.python import usage

if TYPE_CHECKING:
    from types import TracebackType

    from twisted.application.service import IService
    from twisted.logger import ILogObserver


class Options(usage.Options):
    """The options behind C{twistd twistedrelay}."""

    synopsis = "[--config FILE] [--check]"
    longdesc = "A mail relay with the receive-connector model of Exchange Server. See the manual, and relayctl for everything else."
    optParameters = [  # noqa: RUF012 - usage.Options reads the class attribute
        ["config", "c", "/etc/twistedrelay/relay.yaml", "The configuration."],
    ]
    optFlags = [  # noqa: RUF012
        ["check", None, "Check the configuration and exit: 0, or 1 with what was found."],
    ]

    def postOptions(self) -> None:
        """C{--check} ends here: nothing is bound, nothing is written.  Else a start begins, as early as twistd lets us know."""
        if self["check"]:
            from twistedrelay.answers.check import check

            findings = check(self["config"])
            for finding in findings:
                print(finding)
            if not findings:
                print(f"{self['config']}: the configuration is good")
            sys.exit(1 if findings else 0)
        from twistedrelay.signals import start_undisturbed

        start_undisturbed()


def makeService(options: Options) -> IService:
    """The whole relay as a service.

    @raise SystemExit: the configuration is not good; each problem was printed.
    """
    from twisted.internet import reactor

    from twistedrelay.config.problems import ConfigError
    from twistedrelay.service import StartError, make_relay
    from twistedrelay.signals import end_on_signals, has_terminal, reload_on_hangup

    twistd: Any = options.parent or {}
    owner = (twistd.get("uid"), twistd.get("gid"))
    reload_on_hangup(reactor, lambda: relay.reload(), has_terminal)  # what changes while the files are read is read again once it runs
    try:
        relay = make_relay(options["config"], owner, reactor, lambda style: _observer(twistd, as_json=style == "json"))
    except (ConfigError, StartError) as problems:
        sys.exit(f"twistedrelay does not start:\n{problems}")

    def tell(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        if isinstance(error, StartError):
            print(f"twistedrelay does not start: {error}", file=sys.__stderr__)
        else:
            sys.__excepthook__(kind, error, traceback)

    sys.excepthook = tell  # what stops a start is a line for people, not a traceback
    end_on_signals(reactor)  # as early as it listens, so that a start is never cut in two
    reactor.callWhenRunning(end_on_signals, reactor)  # the reactor has put its own handlers there meanwhile
    return relay


def _observer(twistd: Any, *, as_json: bool) -> ILogObserver | None:
    """Where twistd would write text lines, our observer writes the same lines faster and without its stutter, or as JSON."""
    from twistedrelay.observe.logs import file_observer, observer, text_observer

    file, foreground = twistd.get("logfile"), twistd.get("nodaemon")
    if twistd.get("logger") or twistd.get("syslog") or (file == "-" and not foreground):
        return None
    if foreground and file in (None, "-"):
        return observer() if as_json else text_observer()
    return file_observer(file or "twistd.log", as_json=as_json)
