"""Credentials say what they are and show no secret."""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path

import pytest
from twisted.cred.checkers import FilePasswordDB
from twisted.cred.credentials import IUsernameHashedPassword, IUsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.wire.test_scram import verifier
from twistedrelay.policy.credentials import (
    BearerToken,
    DigestResponse,
    IBearerToken,
    IClientCertificate,
    IRemoteHost,
    IScramProof,
    NamedCertificate,
    RemoteHost,
    ScramProof,
    login_identity,
    password_credentials,
)
from twistedrelay.values.netrange import parse_ip

#: The example of RFC 2195.
RESPONSE = DigestResponse(b"tim", b"<1896.697170952@postoffice.reston.mci.net>", bytes.fromhex("b913a602c7eda7a495b4e6e7334d3890"))


def test_interfaces() -> None:
    for interface, made in (
        (IRemoteHost, RemoteHost(parse_ip("192.0.2.1"))),
        (IUsernamePassword, password_credentials("", "user", "x")),
        (IUsernameHashedPassword, RESPONSE),
        (IScramProof, ScramProof(b"user", b"", b"")),
        (IBearerToken, BearerToken(b"user", "x")),
        (IClientCertificate, NamedCertificate(["user"])),
    ):
        assert verifyObject(interface, made)


def test_nobody_acts_as_another() -> None:
    assert login_identity("USER", "user") == b"user"
    with pytest.raises(UnauthorizedLogin):
        login_identity("boss", "user")


def test_cram_md5() -> None:
    assert RESPONSE.checkPassword("tanstaaftanstaaf")
    assert RESPONSE.checkPassword(b"tanstaaftanstaaf")
    assert not RESPONSE.checkPassword("x")


def test_a_scram_proof_is_for_one_verifier() -> None:
    proof = ScramProof(b"user", b"message", bytes(32))
    assert not proof.proves(verifier())


def test_no_secret_is_shown() -> None:
    secret = b"the secret"
    made = [
        DigestResponse(b"user", b"<1@x>", secret),
        ScramProof(b"user", b"message", secret),
        BearerToken(b"user", secret.decode()),
        password_credentials("", "user", secret.decode()),
    ]
    shown = repr(made) + str(made)
    assert "secret" not in shown
    assert base64.b64encode(secret).decode() not in shown


class StrcredTests(SynchronousTestCase):
    """Twisted's own checker takes our digests."""

    def test_file(self) -> None:
        path = str(Path(self.enterContext(tempfile.TemporaryDirectory())) / "accounts")
        with open(path, "w") as stream:
            stream.write("tim:tanstaaftanstaaf\ntom:x\n")
        checker = FilePasswordDB(path)
        assert IUsernameHashedPassword in checker.credentialInterfaces
        assert self.successResultOf(checker.requestAvatarId(RESPONSE)) == b"tim"
        self.failureResultOf(checker.requestAvatarId(DigestResponse(b"tom", RESPONSE.challenge, RESPONSE.digest)), UnauthorizedLogin)
