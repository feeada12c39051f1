"""The whole API against its own description: whatever is asked, the answer is one that the OpenAPI document promises, and never a 500.

It takes all operations of the table, so each new one is covered as soon as it is there.  What is asked is derived from the document with a
fixed seed.  The API is served over TCP on the loopback, as a client in a thread of its own wants it; behind it are stand-ins.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import hypothesis
import requests
import schemathesis
from schemathesis import checks
from twisted.internet import reactor as installed
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.control.fakes import Schedule, Spool, make_api, make_config, make_message
from tests.network import PATIENCE
from twistedrelay.control.api import OPERATIONS
from twistedrelay.control.openapi import document
from twistedrelay.control.server import ControlSite

reactor: Any = installed

EXAMPLES = 5  #: requests for each operation, of what fits and of what does not
SETTINGS = hypothesis.settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
checks.load_all_checks()
NAMES = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")
CHECKS = [checks.CHECKS.get_one(name) for name in NAMES]


class SchemaTests(TestCase):
    """One server for all operations."""

    timeout = 4 * PATIENCE

    def setUp(self) -> None:
        directory = Path(self.enterContext(tempfile.TemporaryDirectory()))
        users = directory / "users"
        users.write_text("")
        self.spool = Spool({number: make_message(number) for number in range(1, 30)})
        config = make_config().model_copy(update={"users": str(users)})
        self.api = make_api(reactor, self.spool, Schedule(self.spool), config=config)
        site = ControlSite(self.api, reactor)
        port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.url = f"http://127.0.0.1:{port.getHost().port}"

    async def test_answers_are_what_the_document_promises(self) -> None:
        described = json.loads(json.dumps(document(OPERATIONS, "9.9")))
        schema = schemathesis.openapi.from_dict(described)
        asked = await deferToThread(self._ask, schema)
        streams = sum(operation.content_type == "text/event-stream" for operation in OPERATIONS)
        assert asked == len(OPERATIONS) - streams

    def _ask(self, schema: Any) -> int:
        """In a thread."""
        endless = {(operation.method.upper(), operation.path) for operation in OPERATIONS if operation.content_type == "text/event-stream"}
        asked = 0
        for result in schema.get_all_operations():
            operation = result.ok()
            if (operation.method.upper(), operation.path) in endless:
                continue
            asked += 1
            with requests.Session() as session:
                for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
                    self._one(operation, mode, session)
        return asked

    def _one(self, operation: Any, mode: Any, session: requests.Session) -> None:
        @SETTINGS
        @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Any) -> None:
            response = case.call(base_url=self.url, session=session, timeout=PATIENCE)
            case.validate_response(response, checks=CHECKS)

        try:
            ask()
        except hypothesis.errors.Unsatisfiable:  # nothing about it can be wrong
            assert mode is schemathesis.GenerationMode.NEGATIVE
