#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The report's page in headless Chromium: tests/bench/screenshots.sh REPORT.html FOLDER makes a picture
# each of wide and phone-wide, light and dark, and checks that each shows something, that light is
# light and dark is dark, and that nothing sticks out of the phone's screen.
set -eu

page=$(readlink -f "$1")
out=$2
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
	echo "skip screenshots: no chromium"
	exit 77
}
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
mkdir -p "$out"

chromium()
{
	timeout 120 "$browser" --headless --no-sandbox --disable-gpu --disable-quic --no-first-run \
		--disable-background-networking --disable-component-update --disable-sync \
		--user-data-dir="$profile" --hide-scrollbars "$@" 2>/dev/null
}

# shoot NAME WIDTH OPTION...
shoot()
{
	name=$1 width=$2
	shift 2
	chromium --window-size="$width,1400" --screenshot="$out/$name.png" "$@" "file://$page" >/dev/null
	[ "$(wc -c <"$out/$name.png")" -gt 20000 ] || {
		echo "FAIL screenshots: $name.png shows next to nothing"
		exit 1
	}
	echo "ok screenshots/$name"
}

shoot wide-light 1200 --blink-settings=preferredColorScheme=1
shoot wide-dark 1200 --blink-settings=preferredColorScheme=0
shoot phone-light 500 --blink-settings=preferredColorScheme=1
shoot phone-dark 500 --blink-settings=preferredColorScheme=0
! cmp -s "$out/wide-light.png" "$out/wide-dark.png" || {
	echo "FAIL screenshots: dark looks like light"
	exit 1
}

# The page says itself how wide it came out, on a frame of a phone's width.
cat >"$profile/phone.html" <<-END
	<!DOCTYPE html><title>phone</title><iframe id="f" style="width:360px;height:800px"></iframe>
	<pre id="r">?</pre><script>
	f.onload=()=>{r.textContent="WIDTH="+f.contentDocument.documentElement.scrollWidth};
	f.src="file://$page"</script>
END
chromium --allow-file-access-from-files --virtual-time-budget=5000 --dump-dom "file://$profile/phone.html" \
	>"$profile/dom"
width=$(sed -n 's/.*WIDTH=\([0-9]*\).*/\1/p' "$profile/dom" | head -1)
[ "${width:-9999}" -le 360 ] || {
	echo "FAIL screenshots: ${width:-unknown} pixels wide on a phone of 360"
	exit 1
}
echo "ok screenshots/fits_a_phone"
