# shellcheck shell=bash
# SPDX-License-Identifier: MIT
# What scripts that run the built program begin with. Afterwards: $here, their folder,
# $build, $kmembench, an empty folder $dir that is the current one, and the lines of TAP.
here=$(cd "$(dirname "$0")" && pwd)
build=$(realpath "${BUILD:-build}")
kmembench=$build/kmembench
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
number=0 failures=0

# ok DESCRIPTION COMMAND...: one test; the command's output is shown when it fails.
ok() {
	local text=$1 out
	shift
	number=$((number + 1))
	if out=$("$@" 2>&1); then
		echo "ok $number - $text"
	else
		failures=$((failures + 1))
		echo "not ok $number - $text"
		printf '%s\n' "failed: $*" "$out" | sed 's/^/# /'
	fi
}
skip() { number=$((number + 1)); echo "ok $number - $1 # SKIP $2"; }
# skip_all DESCRIPTION REASON: ends the script, nothing here can be tested.
skip_all() { echo "1..1"; echo "ok 1 - $1 # SKIP $2"; exit 0; }
# exits STATUS COMMAND...: output goes to ./out and ./err
exits() {
	local want=$1 got
	shift
	"$@" >out 2>err
	got=$?
	[ $got -eq "$want" ] || { echo "exit status $got, not $want"; cat out err; return 1; }
}
# Ends the script with the plan.
finish() { echo "1..$number"; exit $((failures != 0)); }
