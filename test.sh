#!/usr/bin/env bash
# Installs what is missing, builds, and runs every test. Arguments go to the runner, e.g. --only unit,e2e.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=scripts/setup.sh
. scripts/setup.sh

need_languages
need_runtime
need_python
need_postgres
need_packages as binutils cpio cpio iptables iptables jq jq mount mount
install_and_build
for lock in sdk-python/requirements-dev.lock tests/conformance/clients/python/*.lock; do scripts/python-environment.sh "$lock" >/dev/null; done
npm run --silent images >/dev/null
exec node scripts/test.ts "$@"
