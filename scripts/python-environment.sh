#!/usr/bin/env bash
# Prints the path of a Python interpreter that has the packages of a lock file, with their hashes, and nothing else.
# Its environment is kept in .venv beside the lock file, and made anew only when the lock file or Python changes.
set -euo pipefail
lock=$(realpath "$1")
python=${PYTHON:-python3}

fail() {
  printf '\nopencomputer: %s\n' "$1" >&2
  shift
  for line in "$@"; do printf '  %s\n' "$line" >&2; done
  exit 1
}

command -v "$python" >/dev/null 2>&1 || fail "Python is missing." "Install Python 3.10 or newer: apt-get install python3 python3-venv"
version=$("$python" -c 'import sys; print(sys.version); sys.exit(sys.version_info < (3, 10))') ||
  fail "Python $version is too old." "Install Python 3.10 or newer."
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
  fail "Python cannot make virtual environments." "Run apt-get install python3-venv."

environment=$(dirname "$lock")/.venv/$(basename "$lock" .lock)
mkdir -p "$environment"
# Tests that run side by side ask at the same time.
exec 9>"$environment.lock"
flock 9
stamp=$environment/.installed
if [ ! -e "$stamp" ] || [ "$(cat "$stamp")" != "$version$(cat "$lock")" ]; then
  rm -rf "$environment"
  "$python" -m venv "$environment" >&2
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
    -r "$lock" >&2 || fail "pip could not install $lock" "Its messages are above."
  printf '%s%s' "$version" "$(cat "$lock")" >"$stamp"
fi
printf '%s\n' "$environment/bin/python"
