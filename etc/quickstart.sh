#!/bin/sh
# Starts the relay of etc/quickstart.yaml in the foreground, with a fresh password for the demo account.  Called by `make run`.
set -eu
cd "$(dirname "$0")/.."
bin=${VENV:-.venv}/bin
config=etc/quickstart.yaml
account=demo@akkaya.local

mkdir -p .quickstart
if "$bin/relayctl" --config "$config" status >/dev/null 2>&1; then
    echo "This relay is running already; end it with Ctrl-C in its terminal first." >&2
    exit 1
fi
"$bin/relayctl" --config "$config" user remove "$account" >/dev/null 2>&1 || true
password=$("$bin/python" -c 'import secrets; print(secrets.token_hex(8))')
printf '%s\n' "$password" | "$bin/relayctl" --config "$config" user add "$account" --password-stdin >/dev/null

# What to try is said when it works: the daemon takes this shell's place, so a process of its own waits for the ports.
try() {
    tries=60
    until "$bin/relayctl" --config "$config" health >/dev/null 2>&1 || [ $tries -eq 0 ]; do
        tries=$((tries - 1))
        sleep 0.5
        kill -0 $$ 2>/dev/null || return 0
    done
    cat <<END

A relay runs on this machine; Ctrl-C ends it.  Try in another terminal:

  to our own domain, no login, port 2525:
    swaks --server 127.0.0.1:2525 --from scanner@akkaya.local --to user@akkaya.local
    $bin/relayctl --config $config send --from scanner@akkaya.local --to user@akkaya.local

  to anywhere, from an address that IP_Relay lists, no login, port 2525:
    swaks --server 127.0.0.1:2525 --from scanner@akkaya.local --to someone@example.org

  to anywhere, with a login, ports 5587 (STARTTLS) and 4465 (TLS from the first octet):
    swaks --server 127.0.0.1:5587 -tls --auth-user $account --auth-password $password --from $account --to someone@example.org
    swaks --server 127.0.0.1:4465 -tlsc --auth-user $account --auth-password $password --from $account --to someone@example.org

  as cron and PHP do it, also while the relay is down:
    echo "all is well" | $bin/twistedrelay-sendmail --config $config -f scanner@akkaya.local someone@example.org

  look at it:
    $bin/relayctl --config $config connector list
    $bin/relayctl --config $config queue list
    $bin/relayctl --config $config track
    $bin/relayctl --config $config explain --from 127.0.0.1 --to :2525 --mail scanner@akkaya.local --rcpt someone@example.org
    $bin/relayctl --config $config audit --probe
    $bin/relayctl --config $config safety-net list
    $bin/relayctl --config $config status

The mail ends up in maildirs: $PWD/.quickstart/mail/*/new

END
}
(try &)
exec "$bin/twistd" -n --pidfile= twistedrelay --config "$config"
