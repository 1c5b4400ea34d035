# Sourced by quickstart.sh and test.sh: brings a Debian host to where the platform builds and runs.
# Everything here may run again and again; what is there already is left alone.

say() { printf '\033[1m==>\033[0m %s\n' "$*" >&2; }

fail() {
  printf '\nopencomputer: %s\n' "$1" >&2
  shift
  for line in "$@"; do printf '  %s\n' "$line" >&2; done
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Debian packages by the program or file that shows whether they are there.
need_packages() {
  local missing=()
  while [ $# -gt 0 ]; do
    command -v "$1" >/dev/null 2>&1 || [ -e "$1" ] || missing+=("$2")
    shift 2
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  command -v apt-get >/dev/null 2>&1 ||
    fail "these packages are missing and this host has no apt-get: ${missing[*]}" "Install them, then run this again."
  say "installing ${missing[*]}"
  as_root apt-get update -qq || fail "apt-get update failed" "Check the network and /etc/apt, then run this again."
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null ||
    fail "apt-get could not install: ${missing[*]}" "Run apt-get install ${missing[*]} to see why."
}

need_runtime() {
  PATH="$PATH:/usr/sbin:/sbin"
  need_packages \
    qemu-system-x86_64 qemu-system-x86 qemu-img qemu-utils mmdebstrap mmdebstrap ip iproute2 nft nftables \
    mke2fs e2fsprogs setpriv util-linux curl curl /etc/ssl/certs/ca-certificates.crt ca-certificates \
    /usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring xz xz-utils
}

at_least() { [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }

need_languages() {
  command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 ||
    fail "Node.js is missing." "Install Node.js 20 or newer with npm: https://nodejs.org"
  at_least 20 "$(node --version | tr -d v)" || fail "Node.js $(node --version) is too old." "Install Node.js 20 or newer."
  command -v go >/dev/null 2>&1 || fail "Go is missing." "Install Go 1.24 or newer: https://go.dev/dl"
  local go_version
  go_version=$(go env GOVERSION)
  at_least 1.24 "${go_version#go}" || fail "$go_version is too old." "Install Go 1.24 or newer."
}

# Python with what virtual environments need, which Debian keeps in a package of its own.
need_python() {
  need_packages python3 python3
  at_least 3.10 "$(python3 -c 'import platform; print(platform.python_version())')" ||
    fail "$(python3 --version) is too old." "Install Python 3.10 or newer."
  need_packages "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')/ensurepip/__init__.py" python3-venv
}

# PostgreSQL for tests, which start a cluster of their own: Debian's package would make one and start it at each boot.
need_postgres() {
  ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 && return 0
  local settings=/etc/postgresql-common/createcluster.d
  as_root mkdir -p "$settings"
  echo 'create_main_cluster = false' | as_root tee "$settings/no-main-cluster.conf" >/dev/null
  need_packages /usr/lib/postgresql postgresql
}

# Installs the locked dependencies when the lock file has changed since the last time, and builds the client library,
# the command line, and the packages of the clients that the server hands out.
install_and_build() {
  local stamp=node_modules/.installed
  if [ ! -e "$stamp" ] || ! cmp -s package-lock.json "$stamp"; then
    say "installing dependencies"
    npm ci --no-audit --no-fund --loglevel=error >&2 || fail "npm ci failed" "Its messages are above."
    cp package-lock.json "$stamp"
  fi
  PATH="$PWD/node_modules/.bin:$PATH"
  local sources
  sources=$(find packages/{sdk,cli}/{src,tsconfig.build.json} packages/sdk/{package.json,README.md} \
    sdk-python/{src,pyproject.toml,README.md} -type f -not -path '*/__pycache__/*' -newer dist/clients 2>/dev/null | head -n 1 || true)
  if [ ! -e packages/cli/dist/main.js ] || [ ! -e dist/clients ] || [ -n "$sources" ]; then
    say "building the clients and the command line"
    npm run --silent build >&2 || fail "the clients or the command line do not build" "Their messages are above."
  fi
}
