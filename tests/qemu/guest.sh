# SPDX-License-Identifier: Apache-2.0
# Inside a guest of the tests with QEMU: what they call over the serial port. Each says how it went in one line.

STEP=100 # values of 64 KiB at a time: all numbers of them are multiples of it

seconds() { cut -d' ' -f1 /proc/uptime; }

# The value of a number: 16 pages, each half of it repeated and half of it random, as memory often is, and all
# of it derived from the seed.
cat >/etc/value.lua <<'LUA'
local parts = {}
for i = 1, 2048 do parts[i] = redis.sha1hex('random' .. ARGV[1] .. i) end
local random = table.concat(parts)
local function value(n)
	local pages = {}
	for page = 1, 16 do
		local mark = redis.sha1hex(ARGV[1] .. ':' .. n .. ':' .. page)
		local at = tonumber(string.sub(mark, 1, 4), 16) + 1
		pages[page] = string.rep(mark, 51) .. string.sub(random, at, at + 2055)
	end
	return table.concat(pages)
end
LUA
cat /etc/value.lua - >/etc/fill.lua <<'LUA'
for n = tonumber(ARGV[2]), tonumber(ARGV[3]) do redis.call('SET', 'v' .. n, value(n)) end
return tonumber(ARGV[3]) - tonumber(ARGV[2]) + 1
LUA
cat /etc/value.lua - >/etc/check.lua <<'LUA'
local right = 0
for n = tonumber(ARGV[2]), tonumber(ARGV[3]) do
	if redis.call('GET', 'v' .. n) == value(n) then right = right + 1 end
end
return right
LUA

start_redis()
{
	redis-server --save '' --appendonly no --daemonize yes --logfile /tmp/redis.log >/dev/null
	until redis-cli ping >/dev/null 2>&1; do sleep 1; done
	echo "REDIS up in $(seconds)"
}

# each FILE SEED FIRST LAST: runs a script over these values, and adds up what it returns.
each()
{
	n=$3 sum=0
	while [ "$n" -le "$4" ]; do
		got=$(redis-cli --eval "$1" , "$2" "$n" $((n + STEP - 1)))
		case $got in
		'' | *[!0-9]*)
			echo "REDIS says $got"
			return
			;;
		esac
		sum=$((sum + got))
		n=$((n + STEP))
	done
	echo "$5 $sum of $(($4 - $3 + 1)) in $(seconds)"
}

# fill SEED FIRST LAST, check SEED FIRST LAST
fill() { each /etc/fill.lua "$1" "$2" "$3" FILLED; }
check() { each /etc/check.lua "$1" "$2" "$3" CHECKED; }
forget() { echo "FORGOT $(redis-cli FLUSHALL) in $(seconds)"; }
