#!/bin/sh
# Debian and Ubuntu ship Python without the venv module: install it as root, else say how.
set -eu
version=$(python3 -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Python's venv module is missing.  Install it with:  sudo apt-get install python3-venv   (or $version)" >&2
    exit 1
fi
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3-venv
python3 -c 'import ensurepip, venv' 2>/dev/null || DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$version"
