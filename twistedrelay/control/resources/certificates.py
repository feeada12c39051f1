"""Certificates that connectors show."""

from __future__ import annotations

import datetime
from http import HTTPStatus
from typing import Any

from twisted.web.iweb import IRequest

from twistedrelay.answers.certificates import Certificates
from twistedrelay.control.bounds import in_time
from twistedrelay.control.changing import in_thread
from twistedrelay.control.documents import Document
from twistedrelay.control.live import Relay
from twistedrelay.control.operations import Resource
from twistedrelay.control.requests import RequestProblem

resource = Resource()


class Certificate(Document):
    """A certificate of the store (Get-ExchangeCertificate)."""

    thumbprint: str
    services: list[str]
    subject: str
    issuer: str
    certificate_domains: list[str]
    not_before: datetime.datetime
    not_after: datetime.datetime
    status: str
    is_self_signed: bool
    serial_number: str
    receive_connectors: list[str]
    tls_certificate_name: str
    file: str


@resource.get("/v1/certificates", "The certificates of the store.", Certificate, many=True)
async def certificates(relay: Relay, request: IRequest) -> list[Certificate]:
    """All of them."""
    config = relay.config
    rows: list[dict[str, Any]] = await in_time(relay, in_thread(relay, lambda: Certificates(config).rows()))
    return [Certificate(**row) for row in rows]


@resource.get("/v1/certificates/{name}", "The certificate of a thumbprint (or how it begins), or for a host.", Certificate)
async def certificate(relay: Relay, request: IRequest, name: str) -> Certificate:
    """One of them."""
    config = relay.config
    row: dict[str, Any] | None = await in_time(relay, in_thread(relay, lambda: Certificates(config).row(name)))
    if row is None:
        raise RequestProblem(HTTPStatus.NOT_FOUND, f"There is no certificate {name}; `relayctl certificate list` shows them.")
    return Certificate(**row)
