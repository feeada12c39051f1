"""Tests for C{relayctl certificate} and L{twistedrelay.answers.certificates}."""

from __future__ import annotations

import datetime
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
from click.testing import Result
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates

from twistedrelay.answers.certificates import services_mask
from twistedrelay.config.load import load
from twistedrelay.tls.store import CertificateStore

Relayctl = Callable[..., Result]


class Files:
    """A certificate with its key in all forms."""

    def __init__(self, directory: Path, *names: str, **options: Any) -> None:
        made = trustme.CA(organization_name="Some Authority").issue_cert(*names, common_name=names[0], **options)
        chain = [x509.load_pem_x509_certificate(part.bytes()) for part in made.cert_chain_pems]
        key: Any = load_pem_private_key(made.private_key_pem.bytes(), None)
        self.thumbprint = chain[0].fingerprint(SHA1()).hex().upper()
        self.certificate, self.key, self.both = directory / "mail.crt", directory / "mail.key", directory / "mail.pem"
        self.certificate.write_bytes(b"".join(part.bytes() for part in made.cert_chain_pems))
        self.key.write_bytes(made.private_key_pem.bytes())
        self.both.write_bytes(self.key.read_bytes() + self.certificate.read_bytes())
        self.locked_key, self.pfx, self.open_pfx = directory / "locked.key", directory / "mail.pfx", directory / "open.pfx"
        locked = BestAvailableEncryption(b"s3cret")
        self.locked_key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
        self.pfx.write_bytes(serialize_key_and_certificates(b"mail", key, chain[0], chain[1:], locked))
        self.open_pfx.write_bytes(serialize_key_and_certificates(b"mail", key, chain[0], chain[1:], NoEncryption()))


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path, "relay.akkaya.local", "mail.cozumpark.com")


def configured(config_file: Path, files: Files, services: str = "[SMTP, IIS, IMAP, POP]") -> None:
    with config_file.open("a") as file:
        file.write(f"certificates:\n  - {{certificate: {files.certificate}, private_key: {files.key}, services: {services}}}\n")


def test_the_list_is_exchanges(relayctl: Relayctl, config_file: Path, files: Files) -> None:
    configured(config_file, files)
    assert relayctl("certificate", "self-signed", "scan.akkaya.local").exit_code == 0
    shown = relayctl("certificate", "list")
    assert shown.exit_code == 0
    titles, dashes, first, second = shown.stdout.splitlines()
    assert titles.split() == ["Thumbprint", "Services", "Subject"]
    assert set(dashes) == {"-", " "}
    assert first.startswith(f"{files.thumbprint}  IP.WS..   CN=relay.akkaya.local, ")
    assert second.split(None, 1)[1] == "....S..   CN=scan.akkaya.local"
    (row, _) = json.loads(relayctl("certificate", "list", "--json").stdout)
    assert row["thumbprint"] == files.thumbprint
    assert row["services"] == ["SMTP", "IIS", "IMAP", "POP"]
    assert row["certificate_domains"] == ["relay.akkaya.local", "mail.cozumpark.com"]
    assert (row["status"], row["is_self_signed"]) == ("Valid", False)
    assert datetime.datetime.fromisoformat(row["not_after"]) > datetime.datetime.now(datetime.UTC)
    assert row["tls_certificate_name"] == f"<I>{row['issuer']}<S>{row['subject']}"
    assert relayctl("certificate", "list", "--csv").stdout.splitlines()[0].startswith("thumbprint,services,subject,issuer,")


def test_an_empty_store(relayctl: Relayctl) -> None:
    assert relayctl("certificate", "list").stdout == ""
    assert json.loads(relayctl("certificate", "list", "--json").stdout) == []


def test_files_that_cannot_be_used_are_told(relayctl: Relayctl, config_file: Path, files: Files) -> None:
    configured(config_file, files)
    files.key.unlink()
    shown = relayctl("certificate", "list")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert shown.stderr.startswith(f"Warning: {files.key}: cannot be read: No such file or directory\nError: There is no certificate")


def test_show(relayctl: Relayctl, config_file: Path, files: Files) -> None:
    configured(config_file, files)
    (row,) = json.loads(relayctl("certificate", "show", files.thumbprint, "--json").stdout)
    assert row["receive_connectors"] == ["Default Frontend", "Client Frontend", "IP_Relay"]
    for name in (files.thumbprint[:6].lower(), row["tls_certificate_name"], "Mail.cozumpark.com"):
        assert json.loads(relayctl("certificate", "show", name, "--json").stdout) == [row]
    text = relayctl("certificate", "show", files.thumbprint).stdout
    assert "\nServices           : IP.WS..\n" in text
    assert "\nReceiveConnectors  : {Default Frontend, Client Frontend, IP_Relay}\n" in text
    missing = relayctl("certificate", "show", "nobody.example")
    assert missing.exit_code == 1
    assert missing.stderr.startswith("Error: There is no certificate nobody.example.\n")


def test_an_ended_certificate(relayctl: Relayctl, config_file: Path, tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    ended = Files(tmp_path, "relay.akkaya.local", not_before=now - datetime.timedelta(9), not_after=now - datetime.timedelta(1))
    refused = relayctl("certificate", "import", str(ended.both))
    assert refused.exit_code == 1
    assert "is no longer valid: it ended on" in refused.stderr
    configured(config_file, ended)
    (row,) = json.loads(relayctl("certificate", "show", "relay.akkaya.local", "--json").stdout)
    assert (row["status"], row["receive_connectors"]) == ("DateInvalid", [])


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [
        (["{both}"], None),
        (["{certificate}", "--private-key", "{key}"], None),
        (["{certificate}", "--private-key", "{locked_key}", "--password-stdin"], "s3cret\n"),
        (["{pfx}", "--password-stdin"], "s3cret\n"),
        (["{open_pfx}"], None),
    ],
)
def test_import(relayctl: Relayctl, config_file: Path, files: Files, arguments: list[str], stdin: str | None) -> None:
    words = [word.format(**{key: str(value) for key, value in vars(files).items()}) for word in arguments]
    planned = relayctl("certificate", "import", *words, "--what-if", stdin=stdin)
    assert planned.exit_code == 0, planned.output
    assert planned.stdout == f"What if: the certificate {files.thumbprint} (relay.akkaya.local, mail.cozumpark.com) would be imported.\n"
    assert not (config_file.parent / "state/certificates").exists()
    done = relayctl("certificate", "import", *words, stdin=stdin)
    assert done.exit_code == 0, done.output
    kept = config_file.parent / f"state/certificates/{files.thumbprint}.pem"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "Within a minute it is shown by: Default Frontend, Client Frontend, IP_Relay.\n" in done.stdout
    store = CertificateStore([], load(config_file).server.state_directory)
    assert store.load() == []
    pair = store.for_fqdn("mail.cozumpark.com")
    assert pair is not None
    assert f"    tls_certificate_name: '{pair.info.tls_certificate_name}'\n" in done.stdout
    assert not store.made_here(pair)
    again = relayctl("certificate", "import", *words, stdin=stdin)
    assert (again.exit_code, again.stderr) == (1, f"Error: The certificate {files.thumbprint} is in the store already: {kept}.\n")


@pytest.mark.parametrize(
    ("arguments", "stdin", "said"),
    [
        (["{pfx}", "--password-stdin"], "wrong\n", "{pfx}: the password is wrong."),
        (["{certificate}", "--private-key", "{locked_key}", "--password-stdin"], "wrong\n", "{locked_key}: the password is wrong."),
        (["{certificate}"], None, "{certificate}: holds no private key in PEM form."),
        (["{certificate}", "--private-key", "{other}"], None, "{other}: cannot be read: No such file or directory."),
        (["{garbage}"], None, "{garbage}: holds neither PEM nor PKCS#12."),
        (["{key}"], None, "{key}: holds no certificate in PEM form."),
    ],
)
def test_what_cannot_be_imported(
    relayctl: Relayctl, files: Files, tmp_path: Path, arguments: list[str], stdin: str | None, said: str
) -> None:
    (tmp_path / "garbage").write_bytes(b"\x30\x03\x02\x01\x03")
    names = {key: str(value) for key, value in vars(files).items()} | {"other": "/absent/key", "garbage": str(tmp_path / "garbage")}
    refused = relayctl("certificate", "import", *(word.format(**names) for word in arguments), stdin=stdin)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == f"Error: {said.format(**names)}\n"
    assert relayctl("certificate", "import", "nowhere.pem").stderr == "Error: nowhere.pem: cannot be read: No such file or directory.\n"
    assert not (tmp_path / "state/certificates").exists()


def test_a_password_that_nobody_can_type(relayctl: Relayctl, files: Files) -> None:
    refused = relayctl("certificate", "import", str(files.pfx))
    assert refused.exit_code == 2
    assert "--password-stdin" in refused.stderr


def test_self_signed(relayctl: Relayctl, config_file: Path) -> None:
    planned = relayctl("certificate", "self-signed", "relay.akkaya.local", "--what-if")
    assert planned.stdout == "What if: a self-signed certificate would be made for relay.akkaya.local.\n"
    file = config_file.parent / "state/certificates/relay.akkaya.local.pem"
    assert not file.exists()
    done = relayctl("certificate", "self-signed", "relay.akkaya.local")
    assert done.exit_code == 0
    first = file.read_bytes()
    assert "Within a minute it is shown by: Default Frontend, Client Frontend, IP_Relay." in done.stdout
    again = relayctl("certificate", "self-signed", "relay.akkaya.local")
    assert again.exit_code == 1
    assert "There is a self-signed certificate for relay.akkaya.local already" in again.stderr
    assert file.read_bytes() == first
    assert relayctl("certificate", "self-signed", "relay.akkaya.local", "--renew").exit_code == 0
    assert file.read_bytes() != first
    assert relayctl("certificate", "self-signed", "a/b").stderr == "Error: 'a/b' is no host name.\n"


def test_the_letters_of_services() -> None:
    assert services_mask(["SMTP"]) == "....S.."
    assert services_mask(["SMTP", "IIS", "POP", "IMAP"]) == "IP.WS.."
    assert services_mask(["None"]) == "......."
