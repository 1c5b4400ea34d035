#!/usr/bin/env bash
# Runs test.sh in an empty Debian that has nothing but the languages a user brings: shows what set-up forgets to install.
# Takes as long as the suites that it is given, and a few minutes more. Needs root.
#   scripts/fresh-host.sh [--suite bookworm] [arguments of test.sh, e.g. --only unit,agent,python]
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/setup.sh
. scripts/setup.sh

suite=bookworm
if [ "${1:-}" = --suite ]; then
  suite=$2
  shift 2
fi
[ "$(id -u)" = 0 ] || fail "scripts/fresh-host.sh makes a root directory of its own." "Run it as root."
need_languages
need_runtime

cache=${OPENCOMPUTER_CACHE_DIR:-/var/lib/opencomputer/cache}
mkdir -p "$cache"
# Beside the cache, whose files get second names in it: another mount of the same directory would allow none.
host=$(mktemp -d "$(dirname "$cache")/fresh-host.XXXXXX")
trap 'rm -rf --one-file-system "$host"' EXIT

say "making an empty Debian ($suite)"
mmdebstrap --quiet --variant=minbase --include=ca-certificates "$suite" "$host"
# Languages come from wherever their user got them; authorities that this host trusts are trusted there too.
npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
mkdir -p "$host/usr/local/lib/node_modules" "$host/root/opencomputer"
cp -L "$(command -v node)" "$host/usr/local/bin/node"
cp -a "$npm" "$host/usr/local/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$host/usr/local/bin/npm"
ln -s ../lib/node_modules/npm/bin/npx-cli.js "$host/usr/local/bin/npx"
cp -a "$(go env GOROOT)" "$host/usr/local/go"
cp -L /etc/ssl/certs/ca-certificates.crt "$host/etc/ssl/certs/ca-certificates.crt"
mkdir -p "$host$(dirname "$cache")"
cp -al "$cache" "$host$cache"
git ls-files -z --cached --others --exclude-standard | tar -c --null --files-from=- | tar -x -C "$host/root/opencomputer"

say "running test.sh in it"
unshare --mount --pid --fork --kill-child --propagation private -- bash -euc '
  host=$1 cache=$2
  shift 2
  mount --bind "$host" "$host"
  mount --rbind /dev "$host/dev"
  mount --rbind /sys "$host/sys"
  mount -t proc proc "$host/proc"
  mount -t tmpfs tmpfs "$host/run"
  mount -t tmpfs tmpfs "$host/tmp"
  cd "$host"
  pivot_root . mnt
  umount --lazy mnt
  exec /usr/bin/env -i HOME=/root TERM="${TERM:-dumb}" OPENCOMPUTER_CACHE_DIR="$cache" \
    PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    bash /root/opencomputer/test.sh "$@"
' bash "$host" "$cache" "$@"
