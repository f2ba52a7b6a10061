#!/bin/bash
# The recipe of README and CONTRIBUTING: a copy of a template, renamed and registered,
# compiles with nothing else changed. TAP.
set -u
cd "$(dirname "$0")/../.."
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
count=0 failed=0

compiles() { # TEMPLATE REGISTRATION
	sed 's/skeleton/mine/g' "$1" >"$root/mine.c"
	echo "$2" >>"$root/mine.c"
	"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -I. -Iallocators/include -Wall -Wextra -Werror \
		-c -o "$root/mine.o" "$root/mine.c" >"$root/err" 2>&1
	local status=$?
	count=$((count + 1))
	sed 's/^/# /' "$root/err"
	[ $status -eq 0 ] && echo "ok $count - $1" && return
	echo "not ok $count - $1"
	failed=1
}

compiles allocators/peers/skeleton.c 'ALLOCATOR_REGISTER(mine_ops);'
compiles workloads/skeleton.c 'WORKLOAD_REGISTER(mine_workload);'
echo "1..$count"
exit $failed
