#!/usr/bin/env bash
# From a fresh clone to a running platform and a first sandbox. Safe to run again: what is there stays.
set -euo pipefail
cd "$(dirname "$0")"
# shellcheck source=scripts/setup.sh
. scripts/setup.sh

started=$(date +%s)
need_languages
need_runtime
need_python
install_and_build
npm run --silent images >/dev/null
say "looking at this host"
npm run --silent doctor >&2
./oc up >/dev/null
node scripts/first-sandbox.ts
printf '\nDone in %s s.\n' "$(($(date +%s) - started))"
