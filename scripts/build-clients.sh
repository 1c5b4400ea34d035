#!/usr/bin/env bash
# Builds the packages of the clients that the server hands out, into dist/clients. The same sources give the same bytes.
set -euo pipefail
cd "$(dirname "$0")/.."

target=dist/clients
making=$PWD/dist/clients.new
rm -rf "$making"
mkdir -p "$making"

npm pack --silent --ignore-scripts --workspace @opencomputer/sdk --pack-destination "$making" >/dev/null
# The command line brings all that it needs: by their names npm would fetch another project's client.
staged=$making/cli
bundled=(@opencomputer/sdk commander ws)
mkdir -p "$staged/node_modules/@opencomputer/sdk"
cp -r packages/cli/{bin,dist,package.json,README.md,LICENSE} "$staged/"
tar -xzf "$making"/opencomputer-sdk-*.tgz -C "$staged/node_modules/@opencomputer/sdk" --strip-components=1
cp -r node_modules/{commander,ws} "$staged/node_modules/"
(cd "$staged" && npm pkg set "${bundled[@]/#/bundleDependencies[]=}" &&
  npm pack --silent --ignore-scripts --pack-destination "$making" >/dev/null)
rm -r "$staged"

python=$(scripts/python-environment.sh sdk-python/requirements-build.lock)
# Times in the archive: the first that zip can tell is 1980.
(cd sdk-python && SOURCE_DATE_EPOCH=315532800 "$python" -m hatchling build --target wheel --directory "$making") >&2

rm -rf "$target"
mv "$making" "$target"
