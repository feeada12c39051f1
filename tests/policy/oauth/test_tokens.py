"""Which tokens are good, and for whom."""

from __future__ import annotations

import hmac
import json
import time
from base64 import urlsafe_b64encode
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.policy.oauth.issuer import AUDIENCE, DAY, EC, ED, ISSUER, RSA, jwk, jwks, token
from twistedrelay.config.domains import DomainIndex
from twistedrelay.config.schema import AcceptedDomain, OAuthProvider
from twistedrelay.policy.credentials import BearerToken
from twistedrelay.policy.oauth.checker import OAuthChecker
from twistedrelay.policy.oauth.keys import Key, Keys, KeysError, KeySet
from twistedrelay.policy.oauth.tokens import Provider
from twistedrelay.policy.threads import LoginUnavailable

NOW = int(time.time())


class Known:
    """Keys that are there."""

    def __init__(self, octets: bytes) -> None:
        self._set = KeySet(octets)

    def find(self, identity: str | None) -> Deferred[Key | None]:
        return succeed(self._set.find(identity))


class Lost:
    """Keys that cannot be had."""

    def find(self, identity: str | None) -> Deferred[Key | None]:
        return fail(KeysError("no route"))


class User:
    """An account."""

    address = "User@own.example"
    send_as = ()


class Users:
    """A users file with one account."""

    def find(self, name: str) -> Deferred[Any]:
        return succeed(User if name.lower() in ("user@own.example", "user") else None)


def segment(values: dict[str, Any] | bytes) -> str:
    octets = values if isinstance(values, bytes) else json.dumps(values).encode()
    return urlsafe_b64encode(octets).decode().rstrip("=")


def forged(header: dict[str, Any], secret: bytes) -> str:
    """A token that a library would not make."""
    claims = {"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + DAY, "email": "user@own.example"}
    text = f"{segment({'typ': 'JWT', 'kid': 'rsa', **header})}.{segment(claims)}"
    return f"{text}.{segment(hmac.digest(secret, text.encode(), 'sha256'))}"


PUBLIC = RSA.public_key()
PEM = PUBLIC.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
DER = PUBLIC.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
GOOD = token()
NUMBERS = PUBLIC.public_numbers().n.to_bytes(256, "big")

BAD = {
    "expired": token(exp=NOW - 120),
    "without expiry": token(exp=None),
    "not yet valid": token(nbf=NOW + 10**6),
    "another audience": token(aud="another"),
    "no audience": token(aud=None),
    "another issuer": token(iss="https://evil.example"),
    "no issuer": token(iss=None),
    "none": forged({"alg": "none"}, b""),
    "None": forged({"alg": "None"}, b""),
    "none without signature": forged({"alg": "none"}, b"").rpartition(".")[0] + ".",
    "HS256 by the PEM key": forged({"alg": "HS256"}, PEM),
    "HS256 by the DER key": forged({"alg": "HS256"}, DER),
    "HS256 by the modulus": forged({"alg": "HS256"}, NUMBERS),
    "HS256 by nothing": forged({"alg": "HS256"}, b""),
    "RS256 by HMAC": forged({"alg": "RS256"}, PEM),
    "another key": token(rsa.generate_private_key(65537, 2048)),
    "an unknown kid": token(kid="other"),
    "no kid": token(kid=None),
    "the kid of another key": token(kid="ec"),
    "an EC signature under an RSA kid": token(EC, "ES256", "rsa"),
    "a kid that is a path": token(kid="../../../dev/null"),
    "a key of its own": token(rsa.generate_private_key(65537, 2048), headers={"jwk": jwk(RSA, "rsa"), "jku": "https://evil.example"}),
    "an algorithm that the key is not for": token(algorithm="RS384", kid="rsa256"),
    "a critical extension": token(headers={"crit": ["b64"], "b64": True}),
    "a logout token": token(headers={"typ": "logout+jwt"}),
    "no claim": token(email=None),
    "an empty claim": token(email=""),
    "a claim that is a list": token(email=["user@own.example"]),
    "a claim with a line end": token(email="user@own.example\n"),
    "an unverified address": token(email_verified=False),
    "a stranger": token(email="user@gmail.com"),
    "no address": token(email="stranger"),
    "another user": token(email="boss@own.example"),
    "cut": GOOD[:-10],
    "one letter changed": GOOD[:-20] + ("A" if GOOD[-20] != "A" else "B") + GOOD[-19:],
    "nothing": "",
    "dots": "..",
    "text": "a.b.c",
    "an encrypted token": "a.b.c.d.e",
    "very deep": f"{segment({'alg': 'RS256', 'kid': 'rsa'})}.{segment(b'[' * 5000)}.x",
}


class TokenTests(SynchronousTestCase):
    """The checker as a whole, with one provider."""

    def checker(self, keys: Keys | None = None, **settings: Any) -> OAuthChecker:
        known = Known(jwks(jwk(RSA, "rsa"), jwk(RSA, "rsa256", alg="RS256"), jwk(EC, "ec"), jwk(ED, "ed")))
        provider = Provider(OAuthProvider(issuer=ISSUER, audience=AUDIENCE, keys_file="x", **settings), keys or known)
        return OAuthChecker([provider], Users(), DomainIndex({"own.example": AcceptedDomain()}))  # type: ignore[arg-type]

    def ask(self, text: str, name: str = "", **settings: Any) -> Any:
        return self.checker(**settings).requestAvatarId(BearerToken(name.encode(), text))

    def test_interface(self) -> None:
        assert verifyObject(ICredentialsChecker, self.checker())

    def test_good_tokens(self) -> None:
        for text in (
            token(),
            token(EC, "ES256", "ec"),
            token(ED, "EdDSA", "ed"),
            token(algorithm="RS512"),
            token(kid="rsa256"),
            token(aud=["other", AUDIENCE]),
            token(exp=int(time.time()) - 30),
            token(headers={"typ": "at+jwt"}),
            token(email_verified=True),
        ):
            found = self.successResultOf(self.ask(text, "USER@own.example"))
            assert (found, found.user) == ("User@own.example", User)
        assert self.successResultOf(self.ask(token())) == "User@own.example"

    def test_a_user_of_our_domain_without_an_account(self) -> None:
        found = self.successResultOf(self.ask(token(email="new@own.example"), "new@own.example"))
        assert (found, found.user) == ("new@own.example", None)

    def test_bad_tokens(self) -> None:
        for what, text in BAD.items():
            failure = self.failureResultOf(self.ask(text, "user@own.example"), UnauthorizedLogin)
            assert not text or len(text) < 6 or text not in failure.getErrorMessage(), what

    def test_the_log_says_why(self) -> None:
        for what, said in (
            ("expired", "the token has expired"),
            ("without expiry", "the token lacks one of exp, iss, aud"),
            ("not yet valid", "the token is not valid yet"),
            ("another audience", "the token is for another audience"),
            ("one letter changed", "the token's signature is wrong"),
        ):
            failure = self.failureResultOf(self.ask(BAD[what], "user@own.example"), UnauthorizedLogin)
            assert failure.getErrorMessage() == said, what

    def test_scopes(self) -> None:
        for claims, good in (
            ({"scope": "openid smtp.send"}, True),
            ({"scp": "smtp.send other"}, True),
            ({"scp": ["other", "smtp.send"]}, True),
            ({"scope": "smtp.sender"}, False),
            ({"scope": 7, "scp": {"smtp.send": 1}}, False),
            ({}, False),
        ):
            answer = self.ask(token(**claims), required_scope="smtp.send")
            if good:
                self.successResultOf(answer)
            else:
                self.failureResultOf(answer, UnauthorizedLogin)

    def test_another_claim(self) -> None:
        text = token(email=None, upn="user@own.example")
        assert self.successResultOf(self.ask(text, user_claim="upn")) == "User@own.example"

    def test_keys_that_cannot_be_had(self) -> None:
        self.failureResultOf(self.ask(token(), keys=Lost()), LoginUnavailable)
        # Not even then is a token of somebody else more than wrong.
        self.failureResultOf(self.ask(token(iss="https://evil.example"), keys=Lost()), UnauthorizedLogin)


@pytest.mark.parametrize("text", [token(), BAD["expired"]])
def test_the_library_alone_agrees(text: str) -> None:
    """The tokens of these tests are what they are said to be."""
    claims = jwt.decode(text, PUBLIC, algorithms=["RS256"], audience=AUDIENCE, options={"verify_exp": False})
    assert claims["iss"] == ISSUER
