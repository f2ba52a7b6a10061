#!/bin/bash
# SPDX-License-Identifier: MIT
# A gate for continuous integration on counted instructions, from the outside: a
# baseline is stored once; a change that adds an instruction is found, the same source
# passes. This is also the ready example: gate() is all that a project needs. TAP.
set -u
. "$(dirname "$0")/tap.sh"

command -v valgrind >/dev/null && [ -x "$kmembench" ] ||
	skip_all "instruction-count gate" "needs valgrind and the built program"
case $build in
*address* | *thread*) skip_all "instruction-count gate" "valgrind cannot run sanitizers' programs" ;;
esac

# count LIBRARY RESULT: counts the instructions of some workloads. One block suffices,
# and time is not looked at.
count() {
	"$kmembench" run --library "mine=$1" -a mine -w pair,batch -s 64 -t 1 \
		--icount --method plain --reps 1 --time 0.001 --quiet -o "$2"
}
# gate LIBRARY BASELINE: 0 when no workload takes 0.5 % more instructions than when the
# baseline was stored, 1 when one does.
gate() {
	count "$1" new.json >/dev/null && "$kmembench" compare \
		--metric instructions_per_op --fail-above 0.5 --force "$2" new.json
}

# The counts themselves, in the order of the file.
counts() { grep -o '"instructions_per_op": *[0-9.e+-]*' "$1"; }
same_counts() { [ -n "$(counts "$1")" ] && [ "$(counts "$1")" = "$(counts "$2")" ]; }

for extra in 0 1 40; do
	cc -shared -fPIC -O2 -fno-builtin -DEXTRA=$extra -o "mine-$extra.so" \
		"$here/programs/counted_malloc.c" || exit 1
done

ok "a baseline is stored" exits 0 count ./mine-0.so baseline.json
ok "counting again" exits 0 count ./mine-0.so again.json
ok "the same source counts the same, to the instruction" same_counts baseline.json again.json
ok "the same source passes the gate" exits 0 gate ./mine-0.so baseline.json
ok "forty instructions more fail the gate" exits 1 gate ./mine-40.so baseline.json
ok "one instruction more fails the gate" exits 1 gate ./mine-1.so baseline.json
ok "the entry says how it was counted" grep -q '"cache_model"' baseline.json
ok "without valgrind it says what to install" \
	bash -c "PATH=/nowhere '$kmembench' run -a glibc -w pair --icount 2>&1 |
		grep -q \"install the Debian package 'valgrind'\""
ok "and the exit status says that it is not supported" \
	exits 4 env PATH=/nowhere "$kmembench" run -a glibc -w pair --icount

finish
