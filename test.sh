#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test. Arguments go to the runner, e.g. --only unit,e2e.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=scripts/setup.sh
. scripts/setup.sh

need_languages
need_runtime
need_packages as binutils iptables iptables
install_and_build
node images/build.ts >/dev/null
exec node scripts/test.ts "$@"
