"""What mechanisms need, and whether a configuration has it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from tests.policy.conftest import MakeConfig
from tests.policy.oauth.issuer import EC, jwk, jwks
from twistedrelay.policy.certificates import CertificateChecker
from twistedrelay.policy.mechanisms import mechanism_checkers, mechanism_problems

PROVIDER = {"issuer": "https://login.example", "audience": "relay", "keys_url": "https://login.example/keys"}


def problems(make_config: MakeConfig, *mechanisms: str, enabled: bool = True, **keys: Any) -> list[str]:
    config = make_config({"Client Frontend": {"auth_mechanism": list(mechanisms), "enabled": enabled}}, **keys)
    return [problem.text for problem in mechanism_problems(config)]


def test_what_the_users_file_can_do(make_config: MakeConfig) -> None:
    assert problems(make_config, "Tls", "BasicAuth", "BasicAuthRequireTLS", "ScramSha256") == []


def test_cram_md5_needs_plain_passwords(make_config: MakeConfig, tmp_path: Path) -> None:
    [text] = problems(make_config, "CramMd5")
    assert "holds plain passwords" in text
    plain = tmp_path / "plain"
    plain.write_text("user:x\n")
    assert problems(make_config, "CramMd5", credential_checkers=[f"file:{plain}"]) == []
    [text] = problems(make_config, "CramMd5", credential_checkers=[f"twistedrelay:{plain}"])
    assert "ScramSha256" in text
    assert problems(make_config, "CramMd5", enabled=False) == []


def test_tokens_need_a_provider_and_tls(make_config: MakeConfig) -> None:
    assert problems(make_config, "Tls", "XOAuth2", oauth_providers=[PROVIDER]) == []
    assert "oauth_providers" in problems(make_config, "Tls", "XOAuth2")[0]
    assert problems(make_config, "XOAuth2", "External", oauth_providers=[PROVIDER]) == [
        "External needs Tls beside it",
        "XOAuth2 needs Tls beside it",
    ]


def test_a_file_of_keys_is_looked_at(make_config: MakeConfig, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    provider = {"issuer": "https://login.example", "audience": "relay", "keys_file": str(path)}

    def found() -> list[str]:
        return problems(make_config, "Tls", "XOAuth2", oauth_providers=[provider])

    assert found() == [f"{path}: cannot be read: No such file or directory"]
    path.write_text("{}")
    assert found() == [f"{path}: it is no JWK set"]
    path.write_bytes(jwks(jwk(EC, "ec")))
    assert found() == []


def test_tokens_need_the_library(make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    [text] = problems(make_config, "Tls", "XOAuth2", oauth_providers=[PROVIDER])
    assert "twistedrelay[oauth]" in text


def test_checkers_are_made_where_they_are_needed(make_config: MakeConfig) -> None:
    from twisted.internet import reactor

    users: Any = None
    assert (
        mechanism_checkers(make_config({"A": {"auth_mechanism": ["Tls", "BasicAuth"]}}, oauth_providers=[PROVIDER]), users, reactor) == []
    )
    both = make_config(
        {"A": {"auth_mechanism": ["Tls", "External"]}, "B": {"auth_mechanism": ["Tls", "XOAuth2"]}}, oauth_providers=[PROVIDER]
    )
    made = mechanism_checkers(both, users, reactor)
    assert [type(checker).__name__ for checker in made] == [CertificateChecker.__name__, "OAuthChecker"]
