"""Which idle connection is used again."""

from __future__ import annotations

from typing import Any

from twistedrelay.delivery.pool import Pool
from twistedrelay.values.route import Login, Route, TLSPolicy


class Idle:
    """As much of a connection as the pool asks for."""

    def __init__(self) -> None:
        self.usable = True
        self.quits = 0

    def quit(self) -> None:
        self.quits += 1


def way(next_hop: str = "x", **more: Any) -> Route:
    return Route("Internet", next_hop, "SmartHostConnectorDelivery", **more)


def pool_of(*pairs: tuple[Any, Route], **more: Any) -> Pool:
    pool = Pool(**more)
    for connection, route in pairs:
        pool.put(connection, route)
    return pool


def test_last_in_first_out() -> None:
    first: Any = Idle()
    second: Any = Idle()
    pool = pool_of((first, way()), (second, way()))
    assert pool.take(way()) is second
    assert pool.take(way()) is first
    assert pool.take(way()) is None
    assert len(pool) == 0


def test_never_across_next_hop_or_login() -> None:
    pool = pool_of((Idle(), way(login=Login("a", "f"))))
    assert pool.take(way()) is None
    assert pool.take(way(login=Login("b", "f"))) is None
    assert pool.take(way("y", login=Login("a", "f"))) is None
    assert pool.take(way(login=Login("a", "f"))) is not None


def test_changed_tls_rule_closes_what_was_made_under_the_old_one() -> None:
    old = Idle()
    pool = pool_of((old, way(tls=TLSPolicy("may"))))
    assert pool.take(way(tls=TLSPolicy("domain"))) is None
    assert (old.quits, len(pool)) == (1, 0)


def test_what_is_to_be_in_the_protocol_log_is_in_it_from_its_connection_on() -> None:
    old = Idle()
    pool = pool_of((old, way()))
    assert pool.take(way(logged=True)) is None
    assert old.quits == 1


def test_unusable_ones_are_closed() -> None:
    good: Any = Idle()
    bad = Idle()
    bad.usable = False
    pool = pool_of((good, way()), (bad, way()))
    assert pool.take(way()) is good
    assert bad.quits == 1


def test_above_the_bound_the_oldest_goes() -> None:
    connections = [Idle() for _ in range(3)]
    pool = pool_of(*((one, way(str(number))) for number, one in enumerate(connections)), max_idle=2)
    assert [one.quits for one in connections] == [1, 0, 0]
    assert len(pool) == 2
    assert pool.take(way("0")) is None


def test_one_that_is_gone() -> None:
    gone: Any = Idle()
    pool = pool_of((gone, way()))
    pool.discard(gone)
    pool.discard(gone)
    assert pool.take(way()) is None


def test_close() -> None:
    connections = [Idle(), Idle()]
    pool = pool_of(*((one, way()) for one in connections))
    pool.close()
    assert [one.quits for one in connections] == [1, 1]
    assert len(pool) == 0
