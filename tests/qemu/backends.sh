#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Memory in other shapes: two NUMA nodes, each a file in a folder; a backend that comes and goes at run time;
# and what is refused, with its reason.
set -u
. "$(dirname "$0")/lib.sh"

start_manager <<CONFIG
memory = 256M
[guest-default]
memory = 1G
CONFIG

# wrapped NAME OPTIONS...: QEMU to its end; its words in NAME.log.
wrapped()
{
	name=$1
	shift
	timeout "$PATIENCE" "$BALLAST" wrap --name "$name" --host "$host" -- qemu-system-x86_64 -nodefaults \
		-display none "$@" >"$work/$name.log" 2>&1 </dev/null
}

refused()
{
	words=$1
	shift
	wrapped refused -m 64M "$@" && fail "not refused: $*"
	says refused "$words" || fail "refused, but not by $words: $*"
}

file="memory-backend-file,id=m,size=64M,mem-path=$work/ram"
refused 'share=on' -object "$file" -machine memory-backend=m
refused 'multiple of 2 MiB' -object memory-backend-memfd,id=m,size=65M -machine memory-backend=m -m 65M
refused 'may have 1024' -m 2G
refused 'mem-lock' -overcommit mem-lock=on

# Two nodes; a monitor that takes a third part in and out.
mkfifo "$work/hmp.in" "$work/hmp.out"
start_guest nodes -object "memory-backend-file,id=n0,size=256M,mem-path=$work/n0,share=on" \
	-object "memory-backend-memfd,id=n1,size=256M,share=on" \
	-numa node,memdev=n0 -numa node,memdev=n1 -m 512M,slots=2,maxmem=768M \
	-chardev "pipe,id=hmp,path=$work/hmp" -mon chardev=hmp,mode=readline
cat "$work/hmp.out" >"$work/hmp.out.txt" &
pids="$pids $!"
exec 5>"$work/hmp.in"
wait_for "the guest boots" says nodes '^BOOTED'

has() { [ "$(get /vm/nodes/mem/memsz)" -eq $(($1 * 1024 * 1024)) ]; }
has 512 || fail "it has $(get /vm/nodes/mem/memsz) bytes"
for turn in 1 2 3; do
	echo "object_add memory-backend-memfd,id=more$turn,size=128M" >&5
	wait_for "128 MiB more" has 640
	echo "object_del more$turn" >&5
	wait_for "128 MiB less" has 512
done
echo "object_add memory-backend-memfd,id=much,size=512M" >&5
wait_for "the refusal of too much" says nodes 'no room for 512 MiB more'
has 512 || fail "it has $(get /vm/nodes/mem/memsz) bytes after a refusal"
echo "migrate_set_capability background-snapshot on" >&5
wait_for "the refusal of a background snapshot" says nodes "no background snapshot"
tell nodes 'echo "STILL $((6 * 7))"'
wait_for "the guest, as before" says nodes '^STILL 42'
echo "all as it should be"
