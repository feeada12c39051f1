"""The configuration's files, read again while the relay runs."""

from __future__ import annotations

from twisted.web.iweb import IRequest

from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource
from twistedrelay.control.reload_models import Reload
from twistedrelay.control.requests import boolean

resource = Resource()

_WHAT_IF = (("what_if", {"type": "boolean", "default": False, "description": "tell what would change, and change nothing"}),)


@resource.post("/v1/reload", "Read the configuration's files again; sessions in progress keep what they have.", Reload, query=_WHAT_IF)
async def reload(relay: Relay, request: IRequest) -> Reload:
    """Use what the files hold now, or tell what that would change."""
    what_if = boolean(request, b"what_if", False)
    if what_if:
        prepared = await relay.applying.prepare()
        await prepared.abort()
    else:
        prepared = await relay.applying.reload()
    return Reload(
        committed=not what_if,
        changes=list(prepared.changes),
        needs_restart=list(prepared.needs_restart),
        warnings=list(prepared.warnings),
    )
