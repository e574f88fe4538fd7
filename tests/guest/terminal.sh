#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# As a user at two terminals sees it: a run with its block of progress in one, `top` in the other, Ctrl-C in
# the first; and then no mount, no process and no file is left.
. "${0%/*}/lib.sh"
command -v tmux >/dev/null || skip "no tmux"

term() { tmux -f /dev/null -L "$host" "$@"; }
trap 'code=$?; set +e; term kill-server 2>/dev/null; (exit $code); clean_up' EXIT

# shows WINDOW EXPRESSION: its screen has such a line.
shows() { term capture-pane -p -t "$1" 2>/dev/null | grep -Eq "$2"; }
expect_shown() { within 60 shows "$@" || fail "window $1 does not show '$2': $(term capture-pane -p -t "$1")"; }
heading() { term capture-pane -p -t view | grep '^GUEST'; }
ended() { [ -s "$work/$1" ]; }

configure "memory = 96M" "swap-file = $swap" "swap-size = 1G" "for = 600" <<END
[guest store]
memory = 96M
workload = kv
workload-args = fill=80%
[guest batch]
memory = 64M
workload = phase
workload-args = fill=80% phase=1s
END

# A pane's process is a shell, for the status; the run is its child. Ctrl-C goes to both.
term new-session -d -x 80 -y 24 -s s -n host \
	"sh -c 'trap : INT; echo \$\$ >$work/pid; \"$BALLAST\" run $ini --report $report; echo \$? >$work/run.status; cat'"
term set-option -g remain-on-exit on
within 20 ended pid || fail "tmux runs nothing"
shell=$(cat "$work/pid")
child() { run=$(sed 's/ .*//' "/proc/$shell/task/$shell/children" 2>/dev/null) && [ -n "$run" ]; }
within 20 child || fail "the run has not begun"
expect_shown host 'batch +run '
expect_shown host '^budget \[[#+ ]{24}\] +[0-9]+%'
guests=$(vmms)
[ -n "$guests" ] || fail "no guests"

term new-window -d -t s -n view \
	"sh -c '\"$BALLAST\" top --host $host --interval 200; echo \$? >$work/top.status; cat'"
expect_shown view '^store +run +96 '
shows view '%STL' || fail "80 columns have no %STL: $(heading)"
! shows view 'F.DISK' || fail "80 columns have too much: $(heading)"
shows view "^$host +(high|clear|soft|hard|low) " || fail "no state of the host"
term send-keys -t view '<'
term send-keys -t view Enter
expect_shown view '^not used for +MiB +faults +zero'
expect_shown view '^last decisions'
term send-keys -t view NPage
expect_shown view '^  [0-9.]+ (high|clear|soft|hard|low) '
# Its lines become more while decisions are made: what was the end is not the end for long.
scrolled_to() { term send-keys -t view NPage && shows view "$1"; }
within 60 scrolled_to 'reclaim +0' || fail "the end has no 'reclaim 0': $(term capture-pane -p -t view)"
term send-keys -t view Escape
expect_shown view '^store +run +96 '
term resize-window -t view -x 220 -y 24
expect_shown view 'F.DISK.*ZIPSV$'
term send-keys -t view q
within 20 ended top.status || fail "top does not end"
[ "$(cat "$work/top.status")" = 0 ] || fail "top ended with $(cat "$work/top.status")"

term send-keys -t host C-c
within 120 ended run.status || fail "Ctrl-C does not end the run: $(term capture-pane -p -t host)"
[ "$(cat "$work/run.status")" = 0 ] || fail "the run ended with $(cat "$work/run.status")"
expect_shown host '^OK: 2 guests '
are_gone "$run" $guests || fail "processes are left"
run=
expect '.ok and all(.guests[]; .verify_failures == 0 and .pages_verified > 0)'
expect_nothing_left
[ ! -e "${tree%/*}" ] || [ -n "$(ls -A "${tree%/*}")" ] || fail "left behind: ${tree%/*}, empty"
