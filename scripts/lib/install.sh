#!/usr/bin/env bash
# Installs packages of the system: scripts/lib/install.sh PACKAGE…
set -euo pipefail

command -v apt-get >/dev/null || { echo "$* is missing: install it" >&2; exit 1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
as_root apt-get update -q
as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "$@"
