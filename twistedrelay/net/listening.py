"""Opening the listeners of a relay: what stands in the way is said with what to do about it."""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.error import CannotListenError

from twistedrelay.net.descriptors import Reserve
from twistedrelay.net.factory import ESMTPFactory
from twistedrelay.net.transport import ListeningPort, Turn
from twistedrelay.values.reply import TOO_MANY_CONNECTIONS

#: What to do where an address cannot be had.
BIND_ADVICE: dict[int | None, str] = {
    errno.EADDRINUSE: "stop the program that listens there, or change the bindings",
    errno.EADDRNOTAVAIL: "this machine has no such address: change the bindings",
    errno.EACCES: "start as root (twistd changes to --uid and --gid), grant CAP_NET_BIND_SERVICE, or change the bindings",
}


class ListenError(Exception):
    """An address cannot be had; C{str()} says why and what to do."""


def listen(factory: ESMTPFactory, turn: Turn, reserve: Reserve, reactor: Any) -> ListeningPort:
    """Open the listener of a binding.

    @raise ListenError: its address cannot be had.
    """
    binding = factory.binding
    last_words = b"" if binding.implicit_tls else TOO_MANY_CONNECTIONS.wire
    port = ListeningPort(binding.port, factory, binding.host, turn, reactor, reserve, last_words)
    try:
        port.startListening()
    except CannotListenError as error:
        cause = error.socketError
        number = getattr(cause, "errno", None)
        reason = f"{getattr(cause, 'strerror', None) or cause}; {BIND_ADVICE.get(number, 'change the bindings')}"
        names = ", ".join(binding.connectors)
        raise ListenError(f"cannot listen on {binding.host} port {binding.port} ({names}): {reason}") from None
    return port
