"""The lanes that there are: by what makes them one way, by name, and by route for the quick look of each message.

It decides when a way gets a lane: when the first message goes it; and which route object counts where the router makes a new one for the
same way: the newest.  What goes on in a lane is not decided here.
"""

from __future__ import annotations

from twistedrelay.schedule.lane_owner import LaneOwner
from twistedrelay.schedule.lanes import Lane
from twistedrelay.values.route import Route, RouteKey


class LaneTable:
    """See the module.

    @ivar by_key: one lane for each way.
    @ivar by_name: likewise.
    @ivar by_route: by the route objects that count now.
    """

    def __init__(self, owner: LaneOwner) -> None:
        self.by_key: dict[RouteKey, Lane] = {}
        self.by_name: dict[str, Lane] = {}
        self.by_route: dict[Route, Lane] = {}
        self._owner = owner

    def lane_of(self, route: Route) -> Lane:
        """The lane of a way, a new one where there is none; it goes by this route from now on."""
        lane = self.by_key.get(route.key)
        if lane is None:
            lane = self.by_key[route.key] = Lane(route, self._owner)
            self.by_name[lane.name] = lane
        else:
            self.by_route.pop(lane.route, None)
            lane.change(route)
        self.by_route[route] = lane
        return lane

    def drop(self, lane: Lane) -> None:
        """Nothing waits for it any more."""
        if self.by_key.get(lane.route.key) is lane:
            del self.by_key[lane.route.key], self.by_name[lane.name]
        self.by_route.pop(lane.route, None)
