#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Makes what the tests with QEMU boot, once: fixture.sh FOLDER. Debian's stock cloud kernel, and an initial RAM
# disk with busybox, redis and the functions of guest.sh. Kernel and redis are taken out of their packages and not
# installed: this machine shall neither boot the one nor serve the other.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
folder=$1
stamp=$(cat "$here/fixture.sh" "$here/guest.sh" | md5sum | cut -d' ' -f1)
[ -f "$folder/stamp" ] && [ "$(cat "$folder/stamp")" = "$stamp" ] && exit 0

missing=
for package in qemu-system-x86 busybox-static; do
	dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' ||
		missing="$missing $package"
done
if [ -n "$missing" ]; then
	[ "$(id -u)" -eq 0 ] || {
		echo "packages are missing: apt-get install$missing" >&2
		exit 1
	}
	apt-get -qq update
	DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing >/dev/null
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$folder" "$work/root/bin" "$work/root/lib" "$work/root/lib64" "$work/root/etc"
mkdir -p "$work/root/proc" "$work/root/sys" "$work/root/dev" "$work/root/tmp"

# take_out FOLDER PACKAGE...: with what they need and this machine has not; nothing is installed.
take_out()
{
	into=$1
	shift
	mkdir -p "$work/debs/partial"
	apt-get -qq --download-only --reinstall --no-install-recommends -o Dir::Cache::Archives="$work/debs" \
		-o Debug::NoLocking=1 install -y "$@" >"$work/apt.log" 2>&1 || {
		cat "$work/apt.log" >&2
		echo "$* cannot be downloaded: apt-get update?" >&2
		exit 1
	}
	for deb in "$work"/debs/*.deb; do
		dpkg-deb -x "$deb" "$work/$into"
		rm "$deb"
	done
}

package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p')
take_out kernel "$package"
cp "$work"/kernel/boot/vmlinuz-* "$folder/vmlinuz"

# What insmod needs, in its order.
modules="virtio/virtio_ring virtio/virtio virtio/virtio_pci_modern_dev virtio/virtio_pci_legacy_dev
	virtio/virtio_pci virtio/virtio_balloon"
for module in $modules; do
	cp "$work"/kernel/lib/modules/*/kernel/drivers/"$module".ko "$work/root/lib/"
	echo "insmod /lib/$(basename "$module").ko" >>"$work/root/etc/modules"
done

# With redis come the libraries of its that this machine has not.
take_out redis redis-server redis-tools
cp /bin/busybox "$work/redis/usr/bin/redis-server" "$work/redis/usr/bin/redis-cli" "$work/root/bin/"
for library in $(LD_LIBRARY_PATH=$work/redis/usr/lib/x86_64-linux-gnu ldd "$work/root/bin/redis-server" \
	"$work/root/bin/redis-cli" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | sort -u); do
	cp -L "$library" "$work/root/lib/"
done
cp -L /lib64/ld-linux-x86-64.so.2 "$work/root/lib64/"
cp "$here/guest.sh" "$work/root/etc/"
cat >"$work/root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
. /etc/modules
ifconfig lo 127.0.0.1 up
. /etc/guest.sh
stty -echo </dev/ttyS0
echo
echo "BOOTED in $(seconds)"
while read -r line; do
	eval "$line"
done </dev/ttyS0
poweroff -f
INIT
chmod +x "$work/root/init"
(cd "$work/root" && find . | busybox cpio -o -H newc 2>/dev/null | gzip -1) >"$folder/initrd.gz"
echo "$stamp" >"$folder/stamp"
