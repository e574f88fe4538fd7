#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Builds the kernel that `make check-linux` boots: tests/linux/build-kernel.sh FOLDER. Leaves
# FOLDER/vmlinux, and builds nothing when one of the same recipe is there. The source is Debian's package
# linux-source-6.1; it and what building it takes are installed when run as root.
#
# One line of the source is changed. The kernel's self test of its breakpoint handler, int3_selftest(),
# takes a breakpoint inside the kernel. A KVM that emulates kernel mode (KVM-PVM) cannot: `int3` and
# `int n` are beyond its emulator. Nothing else of this kernel uses breakpoints, so the test is left out.
set -eu

mkdir -p "${1:?usage: $0 FOLDER}"
out=$(cd "$1" && pwd)
here=$(cd "${0%/*}" && pwd)
packages="linux-source-6.1 flex bison bc libelf-dev xz-utils"
archive=/usr/src/linux-source-6.1.tar.xz
log=$out/build.log

die()
{
	echo "kernel fixture: $*" >&2
	exit 1
}

# On a terminal one line that changes, else nothing until the end.
progress()
{
	[ ! -t 2 ] || printf '\r\033[Kkernel fixture: %s' "$*" >&2
}

# bar WHAT DONE TOTAL UNIT BEGAN: how far that is, how fast, and how long still. TOTAL is a guess.
bar()
{
	[ -t 2 ] || return 0
	awk -v what="$1" -v now="$2" -v total="$3" -v unit="$4" -v seconds=$(($(date +%s) - $5)) 'BEGIN {
		part = now < total ? now / total : 0.99
		for (i = 0; i < 24; i++)
			drawn = drawn (i < int(part * 24) ? "=" : " ")
		rate = seconds ? now / seconds : 0
		left = rate && now < total ? int((total - now) / rate) : 0
		printf "\r\033[Kkernel fixture: %s [%s] %2d%%  %d of some %d %s, %.1f/s, %d:%02d left", what,
			drawn, part * 100, now, total, unit, rate, left / 60, left % 60
	}' >&2
}

# counted WHAT TOTAL UNIT EACH COMMAND...: runs a command that prints a line for each EACH units of its work, with
# a bar; TOTAL of them, if it did not say otherwise the last time. What it prints goes to the log.
counted()
{
	what=$1 unit=$3 each=$4
	total=$(cat "$out/$what.lines" 2>/dev/null || echo $(($2 / each)))
	shift 4
	status=$tree/.status
	{
		made=0
		"$@" 2>&1 || made=$?
		echo $made >"$status"
	} | {
		began=$(date +%s) count=0
		while IFS= read -r line; do
			count=$((count + 1))
			[ $((count % 5)) -ne 0 ] ||
				bar "$what" $((count * each)) $((total * each)) "$unit" "$began"
			printf '%s\n' "$line"
		done
		echo $count >"$out/$what.lines.new"
	} >>"$log"
	[ "$(cat "$status")" -eq 0 ] || die "$what failed: see $log"
	mv "$out/$what.lines.new" "$out/$what.lines"
}

end_progress() { [ ! -t 2 ] || printf '\r\033[K' >&2; }

installed()
{
	dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'install ok installed'
}

install_packages()
{
	missing=
	for package in $packages; do
		installed "$package" || missing="$missing $package"
	done
	[ -n "$missing" ] || return 0
	[ "$(id -u)" -eq 0 ] ||
		die "packages are missing; install them with: sudo apt-get install -y$missing"
	progress "installing$missing"
	apt-get -qq update >>"$log" 2>&1 || :
	DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing \
		>>"$log" 2>&1 || die "cannot install$missing: see $log"
}

# Other architectures and most drivers are named by Kconfig files, but not compiled. tar says so every 10 MiB.
unpack()
{
	rm -rf "$tree"
	mkdir -p "$tree"
	counted unpacking 1300 MiB 10 tar -xf "$archive" -C "$tree" --strip-components=1 \
		--record-size=1M --checkpoint=10 \
		--exclude='linux-source-6.1/arch/[!x]*.[chS]' --exclude='*.dts' --exclude='*.dtsi' \
		--exclude='*/drivers/gpu/*.[ch]' --exclude='*/drivers/net/*.[ch]' \
		--exclude='*/drivers/media/*.[ch]' --exclude='*/sound/*.[ch]' \
		--exclude='*/Documentation/*.rst' --exclude='*/tools/testing/*' \
		--exclude='*/tools/perf/*'
}

patch_source()
{
	file=$tree/arch/x86/kernel/alternative.c
	sed -i 's/^\tint3_selftest();$/\t(void)int3_selftest; \/* not under an emulator *\//' "$file"
	grep -q '(void)int3_selftest;' "$file" || die "arch/x86/kernel/alternative.c has changed"
}

# Its user space, for hosts on which there can be one: a console, and a program that says hello.
make_user_space()
{
	gcc -Wall -Wextra -O1 -nostdlib -static -ffreestanding -fno-stack-protector -fno-pic -no-pie \
		-o "$tree/ballast.init" "$here/init.c" >>"$log" 2>&1 || die "cannot compile init.c: see $log"
	cat >"$tree/ballast.initramfs" <<-END
	dir /dev 0755 0 0
	nod /dev/console 0600 0 0 c 5 1
	file /init $tree/ballast.init 0755 0 0
	END
}

# What tinyconfig is made of, and ours, at once: added afterwards, an option would bring along everything
# that is on by default once it is.
configure_kernel()
{
	progress "configuring"
	configs=$tree/kernel/configs
	cat "$configs/tiny-base.config" "$configs/tiny.config" "$here/kernel.config" >"$tree/ballast.config"
	make -C "$tree" ARCH=x86_64 KCONFIG_ALLCONFIG=ballast.config allnoconfig >>"$log" 2>&1 ||
		die "cannot configure: see $log"
	grep -E '^CONFIG_[A-Z0-9_]+=' "$here/kernel.config" | while read -r line; do
		grep -qx "$line" "$tree/.config" || die "the kernel refuses $line"
	done
}

# Compiling prints a line for each object: some 700 of them.
compile()
{
	counted compiling 700 files 1 make -C "$tree" ARCH=x86_64 -j"$(nproc)" vmlinux
}

: >"$log"
trap 'end_progress' EXIT
install_packages
recipe=$(cat "$here/kernel.config" "$here/init.c" "$0" | sha256sum | cut -c 1-16)-$(dpkg-query -W \
	-f '${Version}' linux-source-6.1)
if [ -s "$out/vmlinux" ] && [ "$(cat "$out/recipe" 2>/dev/null)" = "$recipe" ]; then
	exit 0
fi
tree=$out/tree.$$
trap 'end_progress; rm -rf "$tree"' EXIT
trap 'exit 130' INT TERM HUP
rm -f "$out/recipe"
unpack
patch_source
make_user_space
configure_kernel
compile
cp "$tree/vmlinux" "$out/vmlinux.new"
cp "$tree/System.map" "$tree/.config" "$out/"
mv "$out/vmlinux.new" "$out/vmlinux"
echo "$recipe" >"$out/recipe"
end_progress
echo "kernel fixture: built $out/vmlinux"
