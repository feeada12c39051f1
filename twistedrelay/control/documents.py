"""What all answers of the API are made of, and its errors (RFC 9457)."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Document(BaseModel):
    """What all answers share."""

    model_config = ConfigDict(extra="forbid")


class Finding(Document):
    """One thing that is wrong with a configuration, and where; C{steps} are those of the path one by one."""

    file: str
    line: int
    path: str
    steps: list[str | int]
    text: str


class ProblemPart(Document):
    """One of the things that are wrong with a request.

    C{pointer}: where in its body (RFC 6901); C{parameter}: which one of its query.
    """

    detail: str
    pointer: str = ""
    parameter: str = ""


class Problem(Document):
    """An error (RFC 9457).  C{instance}: the path that was asked for."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    instance: str = ""
    errors: list[ProblemPart] = []
    findings: list[Finding] = []
