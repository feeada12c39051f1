"""Tests for L{twistedrelay.tls.contexts} and L{twistedrelay.tls.checks}."""

from __future__ import annotations

import datetime
import gc
import importlib.util
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator
from zope.interface.verify import verifyObject

from tests.tls.files import write
from tests.tls.handshakes import config_of, connector, contexts_of, shown
from twistedrelay.config.load import ConfigError, load
from twistedrelay.config.schema import Acme, Certificate
from twistedrelay.config.units import Binding
from twistedrelay.interfaces import ICertificates
from twistedrelay.tls.checks import certificate_problems, certificate_warnings
from twistedrelay.tls.contexts import ServerContexts, ServerCreator, not_there
from twistedrelay.tls.outbound import ClientContexts
from twistedrelay.tls.pem import CertificateError
from twistedrelay.tls.selfsigned import write_pair
from twistedrelay.tls.store import CertificateStore
from twistedrelay.values.events import ServiceEvent
from twistedrelay.values.route import TLSPolicy

if TYPE_CHECKING:
    from conftest import Authority


def test_interfaces(tmp_path: Path) -> None:
    contexts, _ = contexts_of(config_of(tmp_path, {"A": connector()}))
    assert verifyObject(ICertificates, contexts)
    assert verifyObject(IOpenSSLServerConnectionCreator, ServerCreator(SSL.Context(SSL.TLS_METHOD)))
    assert verifyObject(IOpenSSLClientConnectionCreator, ClientContexts().creator(TLSPolicy("may"), "a.example"))


def test_the_certificate_by_fqdn_by_name_and_self_signed(authority: Authority, tmp_path: Path) -> None:
    certificates = (authority.issue("relay.example"), authority.issue("other.example"))
    store = CertificateStore(certificates, str(tmp_path))
    store.load()
    named = store.list()[1].tls_certificate_name
    config = config_of(
        tmp_path,
        {
            "ByFqdn": connector(),
            "Named": connector(tls_certificate_name=named),
            "Alone": connector(fqdn="alone.example"),
            "Likewise": connector(fqdn="alone.example"),
            "Clear": connector(auth_mechanism=["None"]),
            "Off": connector(enabled=False),
        },
        certificates,
    )
    contexts, warnings = contexts_of(config)
    connectors = config.receive_connectors
    assert shown(contexts.server_context(connectors["ByFqdn"])) == "relay.example"
    assert shown(contexts.server_context(connectors["Named"])) == "other.example"
    assert shown(contexts.server_context(connectors["Alone"])) == "alone.example"
    assert warnings == ["a self-signed certificate is shown for alone.example by Alone, Likewise; clients will warn or refuse"]
    assert contexts.server_context(connectors["ByFqdn"]) is contexts.server_context(connectors["ByFqdn"])
    for name in ("Clear", "Off"):
        with pytest.raises(CertificateError, match=r"no certificate is ready for relay\.example"):
            contexts.server_context(connectors[name])


def test_the_name_that_clients_ask_for(authority: Authority, tmp_path: Path) -> None:
    certificates = (authority.issue("relay.example"), authority.issue("other.example"))
    config = config_of(tmp_path, {"A": connector(), "B": connector(tls_certificate_name="")}, certificates)
    contexts, _ = contexts_of(config)
    context = contexts.server_context(config.receive_connectors["A"])
    assert [shown(context, name) for name in ("", "relay.example", "OTHER.example", "nobody.example")] == [
        "relay.example", "relay.example", "other.example", "relay.example",
    ]  # fmt: skip
    store = CertificateStore(certificates, str(tmp_path))
    store.load()
    named = config_of(tmp_path, {"A": connector(tls_certificate_name=store.list()[0].thumbprint)}, certificates)
    contexts, _ = contexts_of(named)
    assert shown(contexts.server_context(named.receive_connectors["A"]), "other.example") == "relay.example"


def test_refresh_changes_new_connections(authority: Authority, tmp_path: Path) -> None:
    certificate = authority.issue("relay.example", file="mail")
    config = config_of(tmp_path, {"A": connector()}, (certificate,))
    contexts, _ = contexts_of(config)
    before = contexts.server_context(config.receive_connectors["A"])
    assert contexts.refresh() == []
    assert contexts.server_context(config.receive_connectors["A"]) is before
    Path(certificate.certificate).write_text("garbage")
    assert contexts.refresh() == []
    said = f"{certificate.certificate}: holds no certificate in PEM form; its last good version stays in use"
    assert contexts.refresh() == [ServiceEvent("error", said)]
    assert contexts.refresh() == []
    assert contexts.server_context(config.receive_connectors["A"]) is before
    authority.issue("relay.example", "second.example", file="mail")
    (event,) = contexts.refresh()
    assert event.level == "info"
    assert "A: from now on the certificate " in event.text
    after = contexts.server_context(config.receive_connectors["A"])
    assert after is not before
    assert shown(before) == shown(after) == "relay.example"


def test_named_certificates_that_are_missing(authority: Authority, tmp_path: Path) -> None:
    good = authority.issue("relay.example")
    text = f"""\
server: {{name: E, fqdn: relay.example, state_directory: state}}
receive_connectors:
  A:
    bindings: ["0.0.0.0:25"]
    permission_groups: [AnonymousUsers]
    tls_certificate_name: "<I>CN=x<S>CN=y"
certificates:
  - {{certificate: {good.certificate}, private_key: {good.private_key}}}
  - {{certificate: absent.pem, private_key: absent.key}}
"""
    file = tmp_path / "relay.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(file, [certificate_problems])
    (problem,) = caught.value.problems
    assert str(problem).startswith(
        f"{file}:6: receive_connectors.A.tls_certificate_name: the certificate '<I>CN=x<S>CN=y' is not in the store; there are: <I>"
    )
    assert str(problem).endswith(f"({tmp_path}/absent.pem: cannot be read: No such file or directory)")
    off = config_of(tmp_path, {"A": connector(enabled=False, tls_certificate_name="0" * 40)})
    assert certificate_problems(off) == []
    missing = config_of(tmp_path, {"A": connector(tls_certificate_name="0" * 40)})
    assert [item.path for item in certificate_problems(missing)] == [("receive_connectors", "A", "tls_certificate_name")]
    _, (said,) = contexts_of(missing)
    assert said == f"A: the certificate '{'0' * 40}' is not in the store; there are: none; there is no TLS"


def texts(events: list[ServiceEvent]) -> list[tuple[str, str]]:
    return [(event.level, event.text) for event in events]


def test_a_named_certificate_that_is_gone_stays_in_use(authority: Authority, tmp_path: Path) -> None:
    """Renewed by another issuer, the name means nothing any more: an alarm, once, and no loss of STARTTLS."""
    certificate = authority.issue("relay.example", file="mail")
    store = CertificateStore([certificate], str(tmp_path / "state"))
    store.load()
    name = store.list()[0].tls_certificate_name
    config = config_of(tmp_path, {"A": connector(tls_certificate_name=name)}, (certificate,))
    contexts = ServerContexts(store)
    assert contexts.prepare(config) == []
    context = contexts.server_context(config.receive_connectors["A"])
    first = [Path(file).read_bytes() for file in (certificate.certificate, certificate.private_key)]
    other = type(authority)(tmp_path)
    other.ca = trustme.CA(organization_name="Other Authority")
    other.issue("relay.example", file="mail")
    ((level, text),) = texts(contexts.refresh())
    assert level == "error"
    assert text.startswith(f"A: the certificate {name!r} is not in the store; there are: <I>")
    assert text.endswith("stays in use")
    assert contexts.refresh() == []
    assert f"there are: {store.list()[0].thumbprint} (relay.example)" in not_there("0" * 40, store)
    assert contexts.server_context(config.receive_connectors["A"]) is context
    for file, content in zip((certificate.certificate, certificate.private_key), first, strict=True):
        write(Path(file), content)
    assert contexts.refresh() == []
    assert contexts.server_context(config.receive_connectors["A"]) is not context


def test_files_that_vanish_take_no_certificate_away(authority: Authority, tmp_path: Path) -> None:
    made = authority.issue("relay.example")
    kept = tmp_path / "state/certificates/x.pem"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(Path(made.certificate).read_bytes() + Path(made.private_key).read_bytes())
    config = config_of(tmp_path, {"A": connector()})
    contexts, said = contexts_of(config)
    assert said == []
    context = contexts.server_context(config.receive_connectors["A"])
    kept.unlink()
    ((level, text),) = texts(contexts.refresh())
    assert level == "error"
    assert text.startswith("A: no certificate for relay.example is in the store any more; the certificate ")
    assert contexts.refresh() == []
    assert contexts.server_context(config.receive_connectors["A"]) is context
    assert list(kept.parent.iterdir()) == []  # and none was made in its place


def test_what_could_not_be_had_at_the_start_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    config = config_of(tmp_path, {"A": connector()})
    contexts, (said,) = contexts_of(config)
    assert "cannot be written" in said
    assert said.endswith("; there is no TLS")
    assert contexts.refresh() == []
    with pytest.raises(CertificateError):
        contexts.server_context(config.receive_connectors["A"])
    (tmp_path / "state").unlink()
    assert [event.level for event in contexts.refresh()] == ["warn"]
    assert shown(contexts.server_context(config.receive_connectors["A"])) == "relay.example"


def test_a_certificate_that_is_too_weak(authority: Authority, tmp_path: Path) -> None:
    key = rsa.generate_private_key(65537, 1024)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "weak.example")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=99))
        .sign(key, hashes.SHA256())
    )
    write_pair(str(tmp_path / "weak.pem"), [made], key)
    certificates = (Certificate(certificate=str(tmp_path / "weak.pem"), private_key=str(tmp_path / "weak.pem")),)
    config = config_of(tmp_path, {"A": connector(fqdn="weak.example")}, certificates)
    (problem,) = certificate_problems(config)
    assert problem.text.endswith("cannot be used: ee key too small")
    old = config_of(tmp_path, {"A": connector(fqdn="weak.example", tls_cipher_profile="Old")}, certificates)
    assert certificate_problems(old) == []


def test_certificates_that_end_soon_are_findings(authority: Authority, tmp_path: Path) -> None:
    now = datetime.datetime.now(datetime.UTC)
    days = datetime.timedelta(days=1)
    certificates = tuple(
        authority.issue(f"{name}.example", not_before=now - 90 * days, not_after=now + left * days)
        for name, left in (("over", -1), ("soon", 13), ("later", 15))
    )
    connectors = {name: connector(fqdn=f"{name}.example") for name in ("over", "soon", "later")}
    store = CertificateStore(certificates, str(tmp_path))
    store.load()
    connectors["over"] = connector(tls_certificate_name=store.list()[0].thumbprint)
    found = list(certificate_warnings(config_of(tmp_path, connectors, certificates)))
    assert [problem.path[1] for problem in found] == ["over", "soon"]
    assert "is not valid; it ended on" in found[0].text


def test_acme_without_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Acme(directory_url="https://a.example", http_listen=Binding("0.0.0.0", 80), ca_file=str(tmp_path / "absent.pem"))
    config = config_of(tmp_path, {}).model_copy(update={"acme": settings})
    (problem,) = certificate_problems(config)
    assert (problem.path, problem.text) == (("acme", "ca_file"), f"{tmp_path}/absent.pem: cannot be read: No such file or directory")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'twistedrelay[acme]'" in certificate_problems(config)[0].text


def test_a_change_is_seen_by_nobody_before_it_is_used(authority: Authority, tmp_path: Path) -> None:
    first, second = authority.issue("relay.example"), authority.issue("other.example")
    store = CertificateStore([first], str(tmp_path))
    store.load()
    contexts = ServerContexts(store)
    before = config_of(tmp_path, {"A": connector(fqdn="relay.example")}, (first,))
    contexts.prepare(before)
    former = contexts.current
    after = config_of(tmp_path, {"A": connector(fqdn="other.example")}, (second,))
    others = store.with_files([second])
    others.load()
    change = contexts.change(after, others)
    assert shown(contexts.server_context(before.receive_connectors["A"])) == "relay.example"
    assert [info.names for info in store.list()] == [("relay.example",)]
    with pytest.raises(CertificateError):
        contexts.server_context(after.receive_connectors["A"])
    contexts.use(change)
    assert shown(contexts.server_context(after.receive_connectors["A"])) == "other.example"
    assert [info.names for info in store.list()] == [("other.example",)]
    # Sessions that began before have what they had.
    assert shown(former.server_context(before.receive_connectors["A"])) == "relay.example"
    assert contexts.refresh() == []
    assert shown(contexts.server_context(after.receive_connectors["A"])) == "other.example"


def test_contexts_that_nobody_has_any_more_are_gone_at_once(authority: Authority, tmp_path: Path) -> None:
    certificate = authority.issue("relay.example")
    store = CertificateStore([certificate], str(tmp_path))
    store.load()
    contexts = ServerContexts(store)
    contexts.prepare(config_of(tmp_path, {"A": connector(fqdn="relay.example")}, (certificate,)))
    former = weakref.ref(next(iter(contexts.current.entries.values())))
    gc.disable()  # the collector may come as late as it likes
    try:
        others = store.with_files([certificate])
        others.load()
        contexts.use(contexts.change(config_of(tmp_path, {"A": connector(fqdn="relay.example")}, (certificate,)), others))
        assert former() is None
    finally:
        gc.enable()
