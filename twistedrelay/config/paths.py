"""Relative paths count from the file that holds them.

Knows which values are paths; whether something is at a path is not asked here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from twistedrelay.config.problems import Path, Places

_PREFIXES = ("maildir:", "lmtp:unix:", "unix:")  #: next hops and addresses to listen on that hold a path


def resolve(tree: dict[str, Any], places: Places) -> None:
    """Make the paths of a tree absolute, in place.  Values that are no text are left to the models."""
    for holder, key, path in [*_plain_paths(tree), *_next_hops(tree)]:
        value, place = holder[key], places.find(path)
        if not isinstance(value, str) or place is None:
            continue
        is_hop = path[-1] in ("next_hop", "listen") or "smart_hosts" in path
        prefix = next((start for start in _PREFIXES if is_hop and value.strip().lower().startswith(start)), "")
        rest = value.strip()[len(prefix) :] if is_hop else value
        if rest and (prefix or not is_hop):
            base = os.path.dirname(os.path.abspath(place.file))
            holder[key] = prefix + os.path.normpath(os.path.join(base, rest))


def _plain_paths(tree: dict[str, Any]) -> Iterator[tuple[Any, Any, Path]]:
    """Each value that is a path, as its holder, its key there, and its path in the tree."""
    if "users" in tree:
        yield tree, "users", ("users",)
    server = tree.get("server")
    for key in ("state_directory", "control_socket"):
        if isinstance(server, dict) and key in server:
            yield server, key, ("server", key)
    for index, item in enumerate(tree.get("certificates", [])):
        for key in ("certificate", "private_key"):
            if isinstance(item, dict) and key in item:
                yield item, key, ("certificates", index, key)
    for index, item in enumerate(tree.get("oauth_providers", [])):
        if isinstance(item, dict) and "keys_file" in item:
            yield item, "keys_file", ("oauth_providers", index, "keys_file")
    for index, item in enumerate(tree.get("webhooks", [])):
        for key in ("secret_file", "ca_file"):
            if isinstance(item, dict) and key in item:
                yield item, key, ("webhooks", index, key)
    if isinstance(acme := tree.get("acme"), dict) and "ca_file" in acme:
        yield acme, "ca_file", ("acme", "ca_file")
    for name, item in tree.get("receive_connectors", {}).items():
        if "tls_client_ca_file" in item:
            yield item, "tls_client_ca_file", ("receive_connectors", name, "tls_client_ca_file")
    for name, item in tree.get("send_connectors", {}).items():
        credential = item.get("authentication_credential")
        if not isinstance(credential, dict):
            continue
        place: Path = ("send_connectors", name, "authentication_credential")
        if "password_file" in credential:
            yield credential, "password_file", (*place, "password_file")
        oauth = credential.get("oauth")
        for key in ("client_secret_file", "refresh_token_file", "ca_file"):
            if isinstance(oauth, dict) and key in oauth:
                yield oauth, key, (*place, "oauth", key)
    for name, item in tree.get("accepted_domains", {}).items():
        recipients = item.get("recipients")
        for key in ("file", "ldap"):
            if isinstance(recipients, dict) and key in recipients:
                yield recipients, key, ("accepted_domains", name, "recipients", key)
    transport = tree.get("transport")
    logs = ("message_tracking_log_path", "receive_protocol_log_path", "send_protocol_log_path", "connectivity_log_path")
    for key in ("pickup_directory_path", "replay_directory_path", "tls_report_socket", *logs):
        if isinstance(transport, dict) and key in transport:
            yield transport, key, ("transport", key)


def _next_hops(tree: dict[str, Any]) -> Iterator[tuple[Any, Any, Path]]:
    """Each next hop, smart host and address to listen on, likewise."""
    if isinstance(metrics := tree.get("metrics"), dict) and "listen" in metrics:
        yield metrics, "listen", ("metrics", "listen")
    for name, item in tree.get("accepted_domains", {}).items():
        if "next_hop" in item:
            yield item, "next_hop", ("accepted_domains", name, "next_hop")
    for name, item in tree.get("send_connectors", {}).items():
        hops = item.get("smart_hosts")
        for index in range(len(hops) if isinstance(hops, list) else 0):
            yield hops, index, ("send_connectors", name, "smart_hosts", index)
