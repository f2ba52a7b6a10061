# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What scripts that preload libkmem-malloc.so begin with; sourced with what they test as
# the argument. Afterwards: $library, $build, an empty folder $dir that is the current
# one, and the lines of TAP.
build=$(realpath "${BUILD:-build}")
library=$build/libkmem-malloc.so
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
number=0 failures=0

[ -e "$library" ] || { echo "1..0 # SKIP '$library' is not built"; exit 1; }
if nm -D "$library" | grep -qE '__(asan|tsan)_init'; then
	echo "1..1"
	echo "ok 1 - $1 # SKIP a sanitizer has a malloc of its own"
	exit 0
fi

result() { # STATUS DESCRIPTION: the reason lies in ./why
	number=$((number + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $number - $2"
	else
		failures=$((failures + 1))
		echo "not ok $number - $2"
		head -c 2000 why | sed 's/^/# /'
	fi
}
skip() { number=$((number + 1)); echo "ok $number - $1 # SKIP $2"; }
