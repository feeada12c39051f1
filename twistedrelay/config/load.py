"""Loads a configuration: files to L{Config}, or every error at once, each as C{file:line: path: what is wrong, what is allowed}.

Each object is validated on its own, so that an error in one never hides an error in another.  Nothing is written and nothing but the
configuration's files is read: whether a certificate or a password file is there is found out by those who use it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Annotated, Any, TypeVar

import attrs
from pydantic import Field, ValidationError

from twistedrelay.config import keys, links, login_rules, paths, presets, report_rules, rules, send_rules, translate
from twistedrelay.config.principals import parse_principal
from twistedrelay.config.problems import Check, ConfigError, Path, Places, Problem
from twistedrelay.config.schema import (
    AcceptedDomain,
    Acme,
    AuditException,
    Certificate,
    Config,
    Metrics,
    Model,
    OAuthProvider,
    ReceiveConnector,
    RemoteRange,
    SendConnector,
    Server,
    SystemMessage,
    Transport,
    Webhook,
)
from twistedrelay.config.sources import Sources
from twistedrelay.config.units import Duration, domain_pattern, lasting
from twistedrelay.config.webhooks import named, same_names, webhook
from twistedrelay.values.netrange import IPRange

__all__ = ["Check", "ConfigError", "Loaded", "Problem", "load", "load_with_places"]

_M = TypeVar("_M", bound=Model)
_Rule = Callable[[Any], rules.Findings]
EVERYWHERE = ("0.0.0.0-255.255.255.255", "::/0")


@attrs.frozen(slots=True)
class Loaded:
    """A configuration with the places its objects were read from."""

    config: Config
    places: Places

    @property
    def files(self) -> tuple[str, ...]:
        """The files it was read from, the first one first."""
        return self.places.files


def load(path: str | FilePath, checks: Sequence[Check] = ()) -> Config:
    """Load a configuration.

    @param checks: cross checks of other rooms; each is called with a L{Config} of the objects that are sound by themselves.
    @raise ConfigError: it cannot be used.
    """
    return load_with_places(path, checks).config


def load_with_places(path: str | FilePath, checks: Sequence[Check] = (), overlay: Mapping[str, bytes | None] | None = None) -> Loaded:
    """As L{load}, with the place of each object.

    @param overlay: what files would hold, by their paths; None: there would be no such file.
    """
    return _Builder(os.fspath(path), overlay).build(checks)


class _Plain(Model):
    """The top level keys that are no objects."""

    users: str = ""
    credential_checkers: list[str] = Field(default_factory=list)
    audit_interval: Annotated[Duration, lasting("1m", "30d")] = 86400.0


class _Builder:
    """One load."""

    def __init__(self, file: str, overlay: Mapping[str, bytes | None] | None = None) -> None:
        self._sources = Sources(overlay)
        self._sources.read(file)
        self._tree = self._sources.tree
        self._places = self._sources.places
        self._problems = list(self._sources.problems)

    def build(self, checks: Sequence[Check]) -> Loaded:
        """The configuration; L{ConfigError} with all problems."""
        if not self._places.files or (self._problems and not self._tree):
            raise ConfigError(self._problems)  # nothing could be read: that is the only thing to say
        keys.check(self._tree, self._report)
        paths.resolve(self._tree, self._places)
        config = self._config()
        if config is not None:
            sound = self._sound(config)
            for check in checks:
                self._problems.extend(check(sound))
        located = sorted(map(self._places.locate, self._problems), key=self._places.order)
        if located or config is None:
            raise ConfigError(located)
        return Loaded(config, self._places)

    def _sound(self, config: Config) -> Config:
        """The configuration without the connectors that are wrong by themselves: what a check finds there may only follow from that."""
        wrong = {problem.path[:2] for problem in self._problems}
        left = {
            section: {name: item for name, item in getattr(config, section).items() if (section, name) not in wrong}
            for section in ("receive_connectors", "send_connectors")
        }
        return config.model_copy(update=left)

    def _config(self) -> Config | None:
        domains = self._accepted_domains()
        for item in self._tree.get("send_connectors", {}).values():
            presets.fill(item)
        receive = self._named("receive_connectors", ReceiveConnector, rules.receive_connector)
        send = self._named("send_connectors", SendConnector, send_rules.send_connector)
        for problem in links.problems(self._tree):
            self._report(problem)
        certificates = [
            self._object(item, Certificate, ("certificates", index), rules.certificate)
            for index, item in enumerate(self._tree.get("certificates", []))
        ]
        providers = [
            self._object(item, OAuthProvider, ("oauth_providers", index), rules.oauth_provider)
            for index, item in enumerate(self._tree.get("oauth_providers", []))
        ]
        texts = [
            self._object(item, SystemMessage, ("system_messages", index), report_rules.system_message)
            for index, item in enumerate(self._tree.get("system_messages", []))
        ]
        exceptions = [
            self._object(item, AuditException, ("audit_exceptions", index), rules.audit_exception)
            for index, item in enumerate(self._tree.get("audit_exceptions", []))
        ]
        hooks = [self._object(item, Webhook, ("webhooks", index), webhook) for index, item in enumerate(self._tree.get("webhooks", []))]
        webhooks = named([item for item in hooks if item is not None])
        self._apply(same_names(webhooks), ("webhooks",))
        acme = self._object(self._tree["acme"], Acme, ("acme",), rules.acme) if "acme" in self._tree else None
        metrics = self._object(self._tree["metrics"], Metrics, ("metrics",)) if "metrics" in self._tree else None
        transport = self._object(self._tree.get("transport", {}), Transport, ("transport",), report_rules.reports)
        plain = self._object({key: self._tree[key] for key in _Plain.model_fields if key in self._tree}, _Plain, ())
        server = self._server(domains)
        if server is None or plain is None:
            return None
        return Config(
            server=server,
            accepted_domains=domains,
            receive_connectors={name: _receive_defaults(item, server) for name, item in receive.items()},
            send_connectors={name: _send_defaults(name, item, server) for name, item in send.items()},
            certificates=[item for item in certificates if item is not None],
            users=plain.users or os.path.join(server.state_directory, "users"),
            credential_checkers=plain.credential_checkers,
            oauth_providers=[item for item in providers if item is not None],
            acme=acme,
            transport=_transport_defaults(transport or Transport(), server),
            system_messages=[item for item in texts if item is not None],
            metrics=metrics,
            webhooks=webhooks,
            audit_interval=plain.audit_interval,
            audit_exceptions=[item for item in exceptions if item is not None],
        )

    def _server(self, domains: dict[str, AcceptedDomain]) -> Server | None:
        if "server" not in self._tree:
            self._report(Problem(("server",), "the key 'server' is required; it needs name, fqdn and state_directory"))
            return None
        data = self._tree["server"]
        server = self._object(data, Server, ("server",))
        if server is None:
            return None
        socket = server.control_socket or os.path.join(server.state_directory, "control", "control.sock")
        server = server.model_copy(update={"control_socket": socket})
        self._apply(rules.server(server), ("server",))
        first = next((domain for domain in domains if not domain.startswith("*.")), server.fqdn)
        return server.model_copy(update={"postmaster": server.postmaster or f"postmaster@{first}"})

    def _accepted_domains(self) -> dict[str, AcceptedDomain]:
        found: dict[str, AcceptedDomain] = {}
        written: dict[str, str] = {}
        for name, item in self._tree.get("accepted_domains", {}).items():
            path: Path = ("accepted_domains", name)
            domain = self._domain(name, path)
            if domain is None:
                continue
            if domain in written:
                first = self._places.find(("accepted_domains", written[domain]))
                self._report(Problem(path, f"the domain {name!r} is the same as {written[domain]!r} in {first}"))
                continue
            written[domain] = name
            self._also(("accepted_domains", domain), path)
            model = self._object(item, AcceptedDomain, path, rules.accepted_domain)
            if model is not None:
                found[domain] = model
        return found

    def _domain(self, name: str, path: Path) -> str | None:
        if name.strip() in ("*", "*."):
            text = "the accepted domain '*' would make this an open relay; allowed: domain, or *.domain for its subdomains"
            self._report(Problem(path, text))
            return None
        try:
            return domain_pattern(name)
        except ValueError as error:
            self._report(Problem(path, str(error)))
            return None

    def _named(self, section: str, model: type[_M], rule: _Rule) -> dict[str, _M]:
        found: dict[str, _M] = {}
        for name, item in self._tree.get(section, {}).items():
            path: Path = (section, name)
            if wrong := rules.name(name):
                self._report(Problem(path, wrong))
            self._principals(item, path)
            made = self._object(item, model, path, rule)
            if made is not None:
                found[name] = made
        return found

    def _principals(self, item: dict[str, Any], path: Path) -> None:
        """Give the principals of C{extended_rights} their canonical spelling."""
        rights = item.get("extended_rights")
        if not isinstance(rights, dict):
            return
        canonical: dict[str, Any] = {}
        for who, names in rights.items():
            here: Path = (*path, "extended_rights", who)
            try:
                spelled = parse_principal(who)
            except ValueError as error:
                self._report(Problem(here, str(error)))
                continue
            if spelled in canonical:
                self._report(Problem(here, f"the principal {spelled!r} is given twice"))
                continue
            canonical[spelled] = names
            self._also((*path, "extended_rights", spelled), here)
        item["extended_rights"] = canonical

    def _object(self, data: Any, model: type[_M], path: Path, rule: _Rule | None = None) -> _M | None:
        """A validated object; None where it has problems, which are reported."""
        try:
            made = model.model_validate(data)
        except ValidationError as error:
            for problem in translate.problems(error, path, self._places):
                self._report(problem)
            return None
        if rule is not None and self._apply(rule(made), path):
            return None
        return made

    def _apply(self, findings: rules.Findings, path: Path) -> bool:
        """Report what a rule found; whether it found something."""
        count = len(self._problems)
        for below, text in findings:
            self._report(Problem((*path, *below), text))
        return len(self._problems) > count

    def _also(self, path: Path, written: Path) -> None:
        """Let a normalised path be found at the place of the written one."""
        if place := self._places.find(written):
            self._places.add(path, place)

    def _report(self, problem: Problem) -> None:
        self._problems.append(problem)


def _transport_defaults(item: Transport, server: Server) -> Transport:
    places = {
        "message_tracking_log_path": "tracking",
        "receive_protocol_log_path": "logs/protocol",
        "send_protocol_log_path": "logs/protocol",
        "connectivity_log_path": "logs/connectivity",
    }
    return item.model_copy(update={key: getattr(item, key) or os.path.join(server.state_directory, place) for key, place in places.items()})


def _receive_defaults(item: ReceiveConnector, server: Server) -> ReceiveConnector:
    everywhere = [RemoteRange(range=IPRange.parse(text)) for text in EVERYWHERE]
    return item.model_copy(update={"fqdn": item.fqdn or server.fqdn, "remote_ip_ranges": item.remote_ip_ranges or everywhere})


def _send_defaults(name: str, item: SendConnector, server: Server) -> SendConnector:
    update: dict[str, Any] = {"fqdn": item.fqdn or server.fqdn}
    credential = item.authentication_credential
    if credential is not None and credential.oauth is not None and not credential.oauth.refresh_token_file:
        file = os.path.join(server.state_directory, "tokens", login_rules.token_file(name))
        oauth = credential.oauth.model_copy(update={"refresh_token_file": file})
        update["authentication_credential"] = credential.model_copy(update={"oauth": oauth})
    return item.model_copy(update=update)
