"""A provider's keys and tokens."""

from __future__ import annotations

import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
ED = ed25519.Ed25519PrivateKey.generate()
ISSUER, AUDIENCE = "https://login.example", "relay.own.example"
DAY = 86400


def jwk(key: Any, kid: str | None, **more: Any) -> dict[str, Any]:
    """A public key as a JWK."""
    kind = {rsa.RSAPublicKey: jwt.algorithms.RSAAlgorithm, ec.EllipticCurvePublicKey: jwt.algorithms.ECAlgorithm}
    public = key.public_key()
    algorithm: Any = next((made for base, made in kind.items() if isinstance(public, base)), jwt.algorithms.OKPAlgorithm)
    found = algorithm.to_jwk(public)
    return {**(json.loads(found) if isinstance(found, str) else found), **({} if kid is None else {"kid": kid}), **more}


def jwks(*keys: dict[str, Any]) -> bytes:
    """A JWK set."""
    return json.dumps({"keys": list(keys)}).encode()


def token(key: Any = RSA, algorithm: str = "RS256", kid: str | None = "rsa", headers: dict[str, Any] | None = None, **claims: Any) -> str:
    """A good token, or one with other claims; good for a day, since some are made long before their test."""
    said = {"iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + DAY, "email": "user@own.example", **claims}
    said = {name: value for name, value in said.items() if value is not None}
    return jwt.encode(said, key, algorithm=algorithm, headers={**({} if kid is None else {"kid": kid}), **(headers or {})})
