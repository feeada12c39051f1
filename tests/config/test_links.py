"""Receive connectors that name a send connector."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Files

RECEIVE = """\
receive_connectors:
  Scanners:
    bindings: ["0.0.0.0:25"]
    permission_groups: [AnonymousUsers]
    linked_send_connector: {link}
"""


def test_a_link_to_a_connector_that_is_there(files: Files) -> None:
    text = RECEIVE.format(link="Out") + "send_connectors:\n  Out: {address_spaces: []}\n"
    assert files.load(text).receive_connectors["Scanners"].linked_send_connector == "Out"


def test_a_link_to_nowhere(files: Files) -> None:
    problems = files.problems(
        RECEIVE.format(link="Outt") + "send_connectors:\n  Out: {address_spaces: ['*']}\n  Other: {address_spaces: ['*']}\n"
    )
    assert problems == [
        (
            "relay.yaml:6: receive_connectors.Scanners.linked_send_connector: 'Outt' is no send connector; did you mean 'Out'?; "
            "allowed: Out, Other"
        )
    ]
    assert files.problems(RECEIVE.format(link="Out")) == [
        "relay.yaml:6: receive_connectors.Scanners.linked_send_connector: 'Out' is no send connector; allowed: none is configured"
    ]


def test_an_error_in_the_connector_hides_nothing_and_adds_nothing(files: Files) -> None:
    problems = files.problems(RECEIVE.format(link="Out") + "send_connectors:\n  Out: {address_spaces: [], enabled: perhaps}\n")
    assert len(problems) == 1
    assert "enabled" in problems[0]


def test_a_webhook_of_a_connector_that_is_not_there(files: Files) -> None:
    hook = "webhooks:\n  - {{url: 'https://desk.example/', events: [FAIL], secret_file: s, connectors: {names}}}\n"
    receive = RECEIVE.format(link="''")
    assert files.load(receive + hook.format(names="[Scanners, Pickup]")).webhooks[0].connectors == ["Scanners", "Pickup"]
    [problem] = files.problems(receive + hook.format(names="[Scanner]"))
    assert "'Scanner' is no receive connector; did you mean 'Scanners'?; allowed: Scanners, Pickup, Replay" in problem
    assert problem.startswith("relay.yaml:8: webhooks[0].connectors[0]: ")
