#!/bin/sh
# Turns the installed packages into the base root file system. mmdebstrap runs it with the
# root's path once every package is there; the package lists are still available then.
set -eu
root=$1
recipe=$(dirname "$(readlink -f "$0")")

# Made by the build: node_modules with checked packages, and the compiled claude-agent-wrapper.
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

say "npm packages"
mkdir -p "$root/usr/local/lib"
mv "$additions/node_modules" "$root/usr/local/lib/node_modules"
rm -rf "$root/usr/local/lib/node_modules/npm/docs" "$root/usr/local/lib/node_modules/npm/man"
# npm would otherwise derive its prefix from Debian's node binary and install into /usr.
printf 'prefix=/usr/local\nupdate-notifier=false\n' > "$root/usr/local/lib/node_modules/npm/npmrc"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
ln -s ../lib/node_modules/npm/bin/npx-cli.js "$root/usr/local/bin/npx"
# The agent SDK brings the program that claude-code would fetch a second time. As a package of its own it can be
# replaced by a newer one with npm.
ln -sf ../../claude-agent-sdk-linux-x64/claude "$root/usr/local/lib/node_modules/@anthropic-ai/claude-code/bin/claude.exe"
ln -s ../lib/node_modules/@anthropic-ai/claude-code/bin/claude.exe "$root/usr/local/bin/claude"
mv "$additions/claude-agent-wrapper" "$root/usr/local/lib/claude-agent-wrapper"
ln -s ../lib/claude-agent-wrapper/claude-agent-wrapper "$root/usr/local/bin/claude-agent-wrapper"

say "configuration"
chroot "$root" useradd --uid 1000 --user-group --create-home --shell /bin/bash sandbox
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
