"""C{relayctl send-connector}: of the running daemon, or of the file where none runs.

C{authorize} writes the refresh token where the daemon reads it at its next request, so that nothing has to be restarted.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from urllib.parse import quote

import click

from twistedrelay.answers.connectors import UnknownConnector
from twistedrelay.answers.send_connectors import find_send_connector, send_connector_properties, send_connector_summary
from twistedrelay.config.replace import make_directory, replace
from twistedrelay.config.schema import Config
from twistedrelay.config.sending import OAuthClient
from twistedrelay.relayctl import completing
from twistedrelay.relayctl.groups import Group
from twistedrelay.relayctl.object_verbs import add_verbs
from twistedrelay.relayctl.output import Row, format_options, print_properties, print_rows, what_if_option
from twistedrelay.relayctl.session import Failure, Session, pass_session
from twistedrelay.values.printable import escape


@click.group("send-connector", cls=Group)
def command() -> None:
    """Send connectors: where mail to outside goes, and its logins."""


add_verbs(command, "send_connectors", "SendConnector")


@command.command("list")
@format_options
@pass_session
def list_connectors(session: Session, style: str | None) -> None:
    """List the send connectors (Get-SendConnector)."""

    def read(config: Config) -> list[Row]:
        return [send_connector_summary(config, name) for name in config.send_connectors]

    found = session.daemon_or_file(lambda client: client.get("/v1/send-connectors"), read)
    none = "There is no send connector: mail to outside waits. `relayctl send-connector add` makes one."
    print_rows(found, ("identity", "address_spaces", "enabled"), style, none=none)


@command.command("show")
@click.argument("name", shell_complete=completing.send_connectors)
@format_options
@pass_session
def show(session: Session, name: str, style: str | None) -> None:
    """Show all parameters of a send connector, named NAME or SERVER\\NAME."""

    def read(config: Config) -> Row:
        return send_connector_properties(config, _named(session, name))

    print_properties(session.daemon_or_file(lambda client: client.get(f"/v1/send-connectors/{quote(name, safe='')}"), read), style)


@command.command("authorize")
@click.argument("name", shell_complete=completing.send_connectors)
@click.option("--client-secret-stdin", is_flag=True, help="Read the client secret from the first line of standard input.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for what has to be done, and one for what was done.")
@what_if_option
@pass_session
def authorize(session: Session, name: str, client_secret_stdin: bool, as_json: bool, what_if: bool) -> None:
    """Let a person allow send connector NAME to send mail by OAuth, and keep the grant (a refresh token) for the relay.

    The person can use a browser on any machine.
    """
    found = _named(session, name)
    client = _client(session, found)
    if client.grant_type == "refresh_token" and not client.device_authorization_url and not client.authorization_url:
        raise Failure(f"Nothing says where a person can agree: {found!r} has no device_authorization_url.", "Set one of its oauth keys.")
    if what_if:
        where = client.device_authorization_url or client.authorization_url or client.token_url
        file = client.refresh_token_file if client.grant_type == "refresh_token" else "nothing"
        click.echo(f"What if: would ask {where} for a grant for {client.client_id}, and write {file}.")
        return
    if not os.path.isdir(session.config.server.state_directory):
        raise Failure(
            f"There is no state directory {session.config.server.state_directory}.", "Start the relay once, so that it belongs to its user."
        )
    secret = _secret(client, client_secret_stdin)
    _Consent(client, found, as_json).obtain(secret)


class _Consent:
    """One grant, and what is said about it."""

    def __init__(self, client: OAuthClient, connector: str, as_json: bool) -> None:
        self._client = client
        self._connector = connector
        self._json = as_json
        self._on_terminal = sys.stderr.isatty() and not as_json
        self._waited = False

    def obtain(self, secret: str) -> None:
        """Get it and keep it."""
        from twistedrelay.relayctl import authorization
        from twistedrelay.values.oauth import OAuthError

        client = self._client
        try:
            post = authorization.https_post(client.ca_file)
            if client.grant_type == "client_credentials":
                tokens = authorization.by_itself(client, secret, post)
                self._done(f"No person has to agree: {client.client_id} was given a token, good for {tokens.lifetime / 60:.0f} minutes.")
                return
            if client.device_authorization_url:
                tokens = authorization.by_device(client, secret, post, self._show, self._waiting)
            else:
                tokens = authorization.by_page(client, secret, post, self._ask)
        except OAuthError as error:
            raise Failure(f"No grant for {self._connector!r}: {error.shown([secret])}.", _ADVICE.get(error.code, "")) from None
        except OSError as error:
            raise Failure(f"{client.ca_file} cannot be used: {error.strerror or error}.") from None
        finally:
            if self._waited:
                click.echo(err=True)
        if not tokens.refresh:
            raise Failure(
                "The provider gave no refresh token.", "Its scope may need offline_access, or the grant must be revoked there first."
            )
        self._keep(tokens.refresh)

    def _keep(self, refresh: str) -> None:
        file = self._client.refresh_token_file
        try:
            make_directory(os.path.dirname(file))
            replace(os.path.realpath(file), refresh + "\n")
        except OSError as error:
            raise Failure(f"{file} cannot be written: {error.strerror}.", "Run relayctl as root or the relay's user.") from None
        self._done(f"Done. The grant is in {file}; the relay uses it from now on.")

    def _done(self, text: str) -> None:
        if self._json:
            file = self._client.refresh_token_file if self._client.grant_type == "refresh_token" else None
            click.echo(json.dumps({"connector": self._connector, "authorized": True, "refresh_token_file": file}))
        else:
            click.echo(escape(text))

    def _show(self, code: object) -> None:
        from twistedrelay.values.oauth import DeviceCode

        assert isinstance(code, DeviceCode)
        if self._json:
            shown = {"verification_uri": code.url, "user_code": code.user_code, "expires_in": round(code.lifetime)}
            click.echo(json.dumps({"connector": self._connector, **shown, "verification_uri_complete": code.complete_url or None}))
        else:
            click.echo(f"Open this page in a browser, on any machine:\n\n    {code.url}\n\nand type this code:\n\n    {code.user_code}\n")
            if code.complete_url:
                click.echo(f"Or open this page, which holds the code:\n\n    {code.complete_url}\n")
            click.echo(f"Sign in there as the mailbox that {self._connector!r} sends as.")

    def _waiting(self, left: float) -> None:
        if self._on_terminal:
            self._waited = True
            click.echo(f"\rWaiting: {int(left) // 60}:{int(left) % 60:02d} left ", nl=False, err=True)

    def _ask(self, page: str) -> str:
        if self._json:
            click.echo(json.dumps({"connector": self._connector, "authorization_uri": page}))
        else:
            click.echo(f"Open this page in a browser, on any machine:\n\n    {page}\n")
            click.echo(
                f"Sign in there as the mailbox that {self._connector!r} sends as, and agree. The browser then shows an error, because"
            )
            click.echo("nothing answers at 127.0.0.1: copy the address from its address bar, paste it here, and press Enter.")
        return sys.stdin.readline()


_ADVICE = {
    "invalid_client": "Check client_id and the client secret. Microsoft also says this where 'Allow public client flows' is off.",
    "unauthorized_client": "Check client_id, and what the provider allows this application.",
    "invalid_scope": "Check scope, and what the provider allows this application.",
}


def _named(session: Session, name: str) -> str:
    try:
        return find_send_connector(session.config, name)
    except UnknownConnector as error:
        raise Failure(str(error), error.advice) from None


def _client(session: Session, name: str) -> OAuthClient:
    credential = session.config.send_connectors[name].authentication_credential
    if credential is None or credential.oauth is None:
        raise Failure(f"Send connector {name!r} does not log in by OAuth.", "It needs authentication_credential with oauth.")
    missing = [package for package in ("oauthlib", "treq") if importlib.util.find_spec(package) is None]
    if missing:
        raise Failure(f"OAuth needs a package that is not there: {', '.join(missing)}.", "Run: pip install 'twistedrelay[oauth]'")
    return credential.oauth


def _secret(client: OAuthClient, from_stdin: bool) -> str:
    """The client secret, or nothing."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if client.client_secret_credential:
        raise Failure(
            f"The client secret is the systemd credential {client.client_secret_credential!r}, which only the service can read.",
            "Give it by --client-secret-stdin.",
        )
    if not client.client_secret_file:
        return ""
    try:
        with open(client.client_secret_file, encoding="utf-8") as stream:
            return stream.readline().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Failure(f"{client.client_secret_file} cannot be read: {reason}.") from None
