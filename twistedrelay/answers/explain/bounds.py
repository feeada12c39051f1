"""Which limits apply to a client, and how much of each is used."""

from __future__ import annotations

from collections.abc import Iterator

from twistedrelay.answers.connectors import time_span
from twistedrelay.answers.explain import document
from twistedrelay.answers.explain.choice import SECTION, Placed
from twistedrelay.answers.explain.question import Question
from twistedrelay.answers.explain.rehearsal import Rehearsal
from twistedrelay.config.schema import Config, ReceiveConnector
from twistedrelay.net.factory import Reception
from twistedrelay.values.netrange import IPAddress, parse_ip


class Bounds:
    """The limits of one client."""

    def __init__(self, config: Config, question: Question, found: Rehearsal, place: Placed, running: Reception | None) -> None:
        self._config = config
        self._question = question
        self._found = found
        self._place = place
        self._running = running

    def limits(self) -> list[document.Limit]:
        """All of them."""
        site = self._found.site
        if site is None:
            return []
        return [*self._of_connector(site.name, site.connector), *self._of_server()]

    def _of_connector(self, name: str, connector: ReceiveConnector) -> Iterator[document.Limit]:
        peer, running = parse_ip(self._question.client), self._running
        total, source = (running.counts.total(name), running.counts.of_source(name, peer)) if running is not None else (0, 0)
        refused = self._found.steps[0].limit

        def limit(key: str, value: str, current: str = "", reached: bool = False) -> document.Limit:
            return document.Limit(name=key, value=value, current=current, reached=reached, place=self._place((SECTION, name, key)))

        most = _unlimited(connector.max_inbound_connection)
        yield limit("max_inbound_connection", most, self._now(total), refused == "max_inbound_connection")
        for key, value in (
            ("max_inbound_connection_per_source", _unlimited(connector.max_inbound_connection_per_source)),
            ("max_inbound_connection_percentage_per_source", f"{connector.max_inbound_connection_percentage_per_source} % of what is free"),
        ):
            yield limit(key, value, self._now(source), refused == key)
        yield self._rate(name, connector, peer)
        avatar = self._found.avatar
        size = f"{connector.max_message_size} octets"
        if avatar is not None and avatar.bypasses_size_limit:
            size += " (passed by: Bypass-Message-Size-Limit)"
        asked = self._question.size
        too_large = asked is not None and asked > connector.max_message_size and not (avatar is not None and avatar.bypasses_size_limit)
        yield limit("max_message_size", size, f"{asked} asked" if asked is not None else "", too_large)
        yield limit("max_header_size", f"{connector.max_header_size} octets")
        yield limit("max_recipients_per_message", str(connector.max_recipients_per_message))
        yield limit("max_protocol_errors", _unlimited(connector.max_protocol_errors))
        if self._question.user:
            yield limit("max_logon_failures", str(connector.max_logon_failures))
        yield limit("connection_timeout", time_span(connector.connection_timeout))
        yield limit("connection_inactivity_timeout", time_span(connector.connection_inactivity_timeout))

    def _rate(self, name: str, connector: ReceiveConnector, peer: IPAddress) -> document.Limit:
        most, avatar = connector.message_rate_limit, self._found.avatar
        login = avatar.login if avatar is not None else self._question.user
        used = 0
        if self._running is not None and most is not None and connector.message_rate_source != "None":
            used = self._running.rates.counted(name, connector, peer, login, self._question.sender)
        shown = "unlimited" if most is None else f"{most} a minute by {connector.message_rate_source}"
        return document.Limit(
            name="message_rate_limit",
            value=shown,
            current=self._now(used) if most is not None else "",
            reached=most is not None and self._running is not None and used >= most,
            place=self._place((SECTION, name, "message_rate_limit")),
        )

    def _of_server(self) -> Iterator[document.Limit]:
        server, running = self._config.server, self._running

        def limit(key: str, value: str, current: str = "", reached: bool = False) -> document.Limit:
            return document.Limit(name=f"server.{key}", value=value, current=current, reached=reached, place=self._place(("server", key)))

        most = running.counts.max_connections if running is not None else server.max_connections
        opened = running.counts.open if running is not None else 0
        yield limit("max_connections", _unlimited(most), self._now(opened), most is not None and opened >= most)
        held = running.buffers.used if running is not None else 0
        full = running is not None and running.buffers.full
        yield limit("max_buffered_size", f"{server.max_buffered_size} octets", self._now(held), full)
        rate = self._config.transport.max_connection_rate_per_minute
        if rate is not None:
            name = "max_connection_rate_per_minute"
            used = running.connection_rate.counted(running.clock.seconds()) if running is not None else 0
            full, place = running is not None and used >= rate, self._place(("transport", name))
            yield document.Limit(name=f"transport.{name}", value=str(rate), current=self._now(used), reached=full, place=place)
        if self._question.user:
            locked = running is not None and running.lockout.is_locked(parse_ip(self._question.client), self._question.user)
            current = "" if running is None else "locked" if locked else "not locked"
            yield limit("logon_lockout_threshold", f"{server.logon_lockout_threshold} failures in a row", current, locked)

    def _now(self, count: int) -> str:
        return f"{count} now" if self._running is not None else ""


def _unlimited(value: int | None) -> str:
    return "unlimited" if value is None else str(value)
