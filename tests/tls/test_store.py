"""Tests for L{twistedrelay.tls.store}, L{twistedrelay.tls.names}, L{twistedrelay.tls.pem} and L{twistedrelay.tls.selfsigned}."""

from __future__ import annotations

import datetime
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.x509.oid import NameOID

from tests.tls.files import write
from twistedrelay.config.schema import Certificate
from twistedrelay.tls import names
from twistedrelay.tls.pem import CertificateError, read_pair
from twistedrelay.tls.store import CertificateStore, is_rsa

if TYPE_CHECKING:
    from conftest import Authority


def store_of(tmp_path: Path, *certificates: Certificate) -> CertificateStore:
    store = CertificateStore(certificates, str(tmp_path / "state"))
    assert store.load() == []
    return store


def test_names_as_exchange_prints_them() -> None:
    name = x509.Name([
        x509.NameAttribute(NameOID.COUNTRY_NAME, "NL"),
        x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, "Utrecht"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, 'Mail, "Inc"'),
        x509.NameAttribute(NameOID.EMAIL_ADDRESS, "a@b.example"),
        x509.NameAttribute(NameOID.POSTAL_CODE, "1234"),
        x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.org"),
    ])  # fmt: skip
    assert names.x500(name) == 'CN=mail.example.org, OID.2.5.4.17=1234, E=a@b.example, O="Mail, ""Inc""", S=Utrecht, C=NL'


@pytest.mark.parametrize(
    "text",
    [
        "<I>CN=Some CA, O=X<S>CN=Mail.example.org",
        "<i>CN=Some CA,O=X<s>CN=mail.example.org",
        " <I> cn = some ca ,  o=x <S> CN=mail.example.org ",
    ],
)
def test_certificate_names_in_any_spelling(text: str) -> None:
    assert names.certificate_name(text) == ("cn=some ca,o=x", "cn=mail.example.org")


def test_what_is_no_certificate_name() -> None:
    assert names.certificate_name("CN=a") is None
    assert names.thumbprint("F3D0") is None
    assert names.thumbprint("f3:d0" + " 00" * 18) == "F3D0" + "00" * 18
    assert names.comparable("CN=a, ST=Utrecht") == names.comparable("cn=A,S=Utrecht")


@pytest.mark.parametrize(
    ("pattern", "host", "fits"),
    [
        ("a.example", "a.example", True),
        ("*.example", "a.example", True),
        ("*.example", "b.a.example", False),
        ("*.example", "example", False),
        ("a.example", "b.example", False),
    ],
)
def test_wildcards_stand_for_one_label(pattern: str, host: str, fits: bool) -> None:
    assert names.fits(pattern, host) is fits


def test_info(authority: Authority, tmp_path: Path) -> None:
    store = store_of(tmp_path, authority.issue("mail.akkaya.local", "relay.akkaya.local", services=("SMTP", "IIS", "IMAP")))
    (info,) = store.list()
    assert info.subject.startswith("CN=mail.akkaya.local, ")
    assert "O=Test Authority" in info.issuer
    assert info.names == ("mail.akkaya.local", "relay.akkaya.local")
    assert len(info.thumbprint) == 40
    assert info.thumbprint == info.thumbprint.upper()
    assert not info.self_signed
    assert info.not_before < datetime.datetime.now(datetime.UTC) < info.not_after


def test_find_by_name_and_by_thumbprint(authority: Authority, tmp_path: Path) -> None:
    store = store_of(tmp_path, authority.issue("a.example"), authority.issue("b.example"))
    first = store.list()[0]
    for text in (first.tls_certificate_name, first.tls_certificate_name.replace("<I>", "<i>").replace("<S>", "<s>").replace(", ", ","),
                 first.thumbprint, first.thumbprint.lower()):  # fmt: skip
        found = store.find(text)
        assert found is not None
        assert found.info == first
    assert store.find("<I>CN=x<S>CN=y") is None
    assert store.find("0" * 40) is None
    assert store.find("") is None


def test_for_fqdn(authority: Authority, tmp_path: Path) -> None:
    past, future = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC), datetime.datetime(2020, 2, 1, tzinfo=datetime.UTC)
    store = store_of(
        tmp_path,
        authority.issue("*.a.example", file="wild"),
        authority.issue("mail.a.example", file="own"),
        authority.issue("mail.a.example", file="old", not_before=past, not_after=future),
        authority.issue("web.b.example", file="web", services=("IIS",)),
    )

    def file_for(host: str) -> str | None:
        pair = store.for_fqdn(host)
        return os.path.basename(pair.info.file) if pair else None

    assert file_for("Mail.a.example.") == "own.crt"
    assert file_for("relay.a.example") == "wild.crt"
    assert file_for("a.example") is None
    assert file_for("web.b.example") is None


def test_of_several_the_newest_is_taken(authority: Authority, tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    days = datetime.timedelta(days=1)
    store = store_of(
        tmp_path,
        authority.issue("a.example", file="new", not_before=now - days, not_after=now + 9 * days),
        authority.issue("a.example", file="old", not_before=now - 9 * days, not_after=now + 99 * days),
    )
    pair = store.for_fqdn("a.example")
    assert pair is not None
    assert pair.info.file.endswith("new.crt")


def test_self_signed_is_made_once_and_kept(tmp_path: Path, authority: Authority) -> None:
    store = store_of(tmp_path)
    assert store.for_fqdn("relay.akkaya.local") is None
    made = store.self_signed("Relay.akkaya.local")
    file = tmp_path / "state/certificates/relay.akkaya.local.pem"
    assert made.info.file == str(file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert made.info.names == ("relay.akkaya.local",)
    assert made.info.subject == made.info.issuer == "CN=relay.akkaya.local"
    assert made.info.self_signed
    assert store.made_here(made)
    public = made.certificate.public_key()
    assert isinstance(public, EllipticCurvePublicKey)
    assert isinstance(public.curve, SECP256R1)
    assert store.self_signed("relay.akkaya.local") is made
    again = store_of(tmp_path)
    assert again.self_signed("relay.akkaya.local").info == made.info
    found = again.for_fqdn("relay.akkaya.local")
    assert found is not None
    assert found.info == made.info
    both = store_of(tmp_path, authority.issue("relay.akkaya.local"))
    chosen = both.for_fqdn("relay.akkaya.local")
    assert chosen is not None
    assert not chosen.info.self_signed


def test_a_self_signed_one_that_was_imported_is_nobodys_to_make_anew(tmp_path: Path) -> None:
    """Such as Exchange's own: it comes before one that was made here, and somebody has to be told of its end."""
    exported = CertificateStore([], str(tmp_path / "elsewhere")).self_signed("relay.akkaya.local")
    store = store_of(tmp_path)
    store.self_signed("relay.akkaya.local")
    kept = store.add(exported)
    assert not store.made_here(kept)
    chosen = store.for_fqdn("relay.akkaya.local")
    assert chosen is not None
    assert chosen.info.thumbprint == exported.info.thumbprint


def test_self_signed_is_made_anew_when_it_ends(tmp_path: Path) -> None:
    first = store_of(tmp_path).self_signed("a.example")
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=6 * 365)
    store = CertificateStore([], str(tmp_path / "state"), now=lambda: later)
    store.load()
    second = store.self_signed("a.example")
    assert second.info.thumbprint != first.info.thumbprint
    assert second.info.valid_at(later)


def test_long_names_and_no_names(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    long = ".".join(["x" * 60] * 3)
    assert store.self_signed(long).info.names == (long,)
    for bad in ("", "../x", "a/b", ".."):
        with pytest.raises(CertificateError, match="is no host name"):
            store.self_signed(bad)


def test_an_unwritable_state_directory_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(CertificateError, match=r"a\.example\.pem: cannot be written: "):
        CertificateStore([], str(tmp_path / "state")).self_signed("a.example")


def test_hot_reload(authority: Authority, tmp_path: Path) -> None:
    certificate = authority.issue("a.example", file="mail")
    store = store_of(tmp_path, certificate)
    before = store.list()[0]
    assert store.refresh() == (False, [])
    authority.issue("a.example", file="mail")
    changed, problems = store.refresh()
    assert (changed, problems) == (True, [])
    after = store.list()[0]
    assert after.thumbprint != before.thumbprint
    Path(certificate.certificate).write_text("garbage")
    assert store.refresh() == (False, [])  # it has one look to become good again
    said = f"{certificate.certificate}: holds no certificate in PEM form; its last good version stays in use"
    assert store.refresh() == (False, [said])
    assert store.list() == [after]
    assert store.refresh() == (False, [])
    os.unlink(certificate.private_key)
    assert [store.refresh() for _ in range(3)] == [(False, [])] * 3
    os.unlink(certificate.certificate)
    found = [problem for _ in range(4) for problem in store.refresh()[1]]
    assert found == [f"{certificate.certificate}: cannot be read: No such file or directory; its last good version stays in use"]
    assert store.list() == [after]


def test_two_files_are_not_replaced_in_one_step(authority: Authority, tmp_path: Path) -> None:
    certificate = authority.issue("a.example", file="mail")
    store = store_of(tmp_path, certificate)
    before = store.list()
    old_key = Path(certificate.private_key).read_bytes()
    authority.issue("a.example", file="mail")
    new_key = Path(certificate.private_key).read_bytes()
    write(Path(certificate.private_key), old_key)
    assert store.refresh() == (False, [])
    assert store.list() == before
    write(Path(certificate.private_key), new_key)
    assert store.refresh() == (True, [])
    assert store.list() != before


def test_files_of_the_state_directory_come_and_go(authority: Authority, tmp_path: Path) -> None:
    store = store_of(tmp_path)
    made = authority.issue("a.example")
    both = Path(made.certificate).read_bytes() + Path(made.private_key).read_bytes()
    for directory in ("certificates", "acme"):
        (tmp_path / "state" / directory).mkdir(parents=True)
        (tmp_path / "state" / directory / "x.pem").write_bytes(both)
        assert store.refresh() == (True, [])
        pair = store.for_fqdn("a.example")
        assert pair is not None
        assert not store.made_here(pair)
        assert store.from_acme(pair) is (directory == "acme")
        (tmp_path / "state" / directory / "x.pem").unlink()
        assert store.refresh() == (True, [])
        assert store.list() == []


def test_a_directory_that_cannot_be_read_takes_nothing_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(tmp_path)
    pair = store.self_signed("a.example")
    listed = os.listdir

    def listdir(path: str) -> list[str]:
        if path == store.directory:
            raise OSError(24, "Too many open files")
        return listed(path)

    monkeypatch.setattr(os, "listdir", listdir)
    said = f"{store.directory}: cannot be read: Too many open files"
    assert [store.refresh() for _ in range(3)] == [(False, []), (False, [said]), (False, [])]
    assert store.for_fqdn("a.example") is pair
    assert CertificateStore([], str(tmp_path / "state")).load() == [said]


def test_the_order_of_origins(authority: Authority, tmp_path: Path) -> None:
    configured = authority.issue("a.example", file="configured")
    store = store_of(tmp_path, configured)
    store.self_signed("a.example")
    now = datetime.datetime.now(datetime.UTC)
    for days, directory in ((1, "acme"), (2, "certificates")):
        made = authority.issue("a.example", file=directory, not_before=now - datetime.timedelta(days=days))
        (tmp_path / "state" / directory).mkdir(exist_ok=True)
        both = Path(made.certificate).read_bytes() + Path(made.private_key).read_bytes()
        (tmp_path / "state" / directory / "imported.pem").write_bytes(both)
    store.refresh()
    order = []
    for file in (configured.certificate, "state/certificates/imported.pem", "state/acme/imported.pem", "state/certificates/a.example.pem"):
        pair = store.for_fqdn("a.example")
        assert pair is not None
        order.append(Path(pair.info.file) == tmp_path / file)
        if file.startswith("state"):
            (tmp_path / file).unlink()
        else:
            store = store_of(tmp_path)
        store.refresh()
    assert order == [True] * 4
    assert store.for_fqdn("a.example") is None


def test_old_clients_get_an_rsa_key(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    store.self_signed("a.example")
    made = store.self_signed("a.example", old_clients=True)
    assert is_rsa(made)
    assert store.for_fqdn("a.example", old_clients=True) is made
    assert store.self_signed("a.example", old_clients=True) is made


def test_unusable_files_are_reported(authority: Authority, tmp_path: Path) -> None:
    good, other = authority.issue("a.example"), authority.issue("b.example")
    encrypted = tmp_path / "encrypted.key"
    encrypted.write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGrMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAjZ\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    store = CertificateStore(
        [
            Certificate(certificate=str(tmp_path / "absent"), private_key=good.private_key),
            Certificate(certificate=good.certificate, private_key=other.private_key),
            Certificate(certificate=good.certificate, private_key=good.certificate),
            good,
        ],
        str(tmp_path),
    )
    assert store.load() == [
        f"{tmp_path}/absent: cannot be read: No such file or directory",
        f"{other.private_key}: is not the private key of the certificate in {good.certificate}",
        f"{good.certificate}: holds no private key in PEM form",
    ]
    assert len(store.list()) == 1
    with pytest.raises(CertificateError, match="private key"):
        read_pair(good.certificate, str(encrypted), ["SMTP"])


def test_one_file_may_hold_both(authority: Authority, tmp_path: Path) -> None:
    certificate = authority.issue("a.example")
    both = tmp_path / "both.pem"
    with both.open("wb") as target:
        for part in (certificate.private_key, certificate.certificate):
            with open(part, "rb") as source:
                shutil.copyfileobj(source, target)
    pair = read_pair(str(both), str(both), ["SMTP"])
    assert pair.info.names == ("a.example",)
    assert "PrivateKey" not in repr(pair)
