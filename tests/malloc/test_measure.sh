#!/bin/bash
# SPDX-License-Identifier: MIT
# real_programs.sh --measure: what it writes is a results file, also when it is interrupted
# or has no time for more. TAP.
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/malloc/preload.sh
. "$here/preload.sh" "measuring real programs"
kmembench=$build/kmembench
[ -x "$kmembench" ] || { echo "1..0 # SKIP '$kmembench' is not built"; exit 1; }
export BUILD=$build
script=$here/real_programs.sh

# --- the program that measures ---
cc=${CC:-cc}
$cc -std=gnu11 -O2 -D_GNU_SOURCE -o measure "$here/programs/measure.c" || exit 1
cat >eater.c <<'C'
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	size_t n = (size_t)atoi(argv[1]) << 20;
	char *p = malloc(n);
	memset(p, 1, n);
	usleep(1000 * (useconds_t)atoi(argv[2]));
	return argc > 3 ? atoi(argv[3]) : 0;
}
C
$cc -O0 -o eater eater.c || exit 1
field() { awk -v n="$1" 'END {print $n}' log; }
between() { [ "$1" -ge "$2" ] && [ "$1" -le "$3" ]; }
./measure log '' ./eater 50 0 3
[ $? -eq 3 ] && between "$(field 3)" 51200 61440
result $? "status, and the peak of one process"
# Two at a time are 100 MiB together; each has the C library's pages.
./measure log '' sh -c './eater 50 2000 & ./eater 50 2000 & wait'
cp log why
between "$(field 3)" 102400 116000
result $? "the peak of two processes at a time"
./measure log '' sh -c './eater 50 300; ./eater 50 300'
cp log why
between "$(field 3)" 51200 66000
result $? "the peak of two processes one after the other"
./measure log '' sh -c '(sleep 0.3; i=0; while [ $i -lt 200000 ]; do i=$((i + 1)); done) & exit 0'
cp log why
awk 'END {exit !($2 > 0.05 && $1 < 0.3)}' log
result $? "CPU time of what outlives the program"
./measure log '' /nonexistent 2>why
[ $? -eq 127 ] && grep -q "measure: cannot start '/nonexistent'" why
result $? "a program that is not there"

# --- the script ---
facts() { # FILE: what is in it
	jq -r '[.context.kmembench.complete, .context.kmembench.reps, (.benchmarks | length),
		([.benchmarks[].kmembench.allocator] | unique | join("+")), ([.benchmarks[] | .cpu_time > 0 and .rss_bytes_peak > 0] | all)]
		| map(tostring) | join(" ")' "$1" 2>/dev/null || python3 - "$1" <<-'PYTHON'
	import json, sys
	root = json.load(open(sys.argv[1]))
	ours, list_ = root["context"]["kmembench"], root["benchmarks"]
	print(str(ours["complete"]).lower(), ours["reps"], len(list_), "+".join(sorted({e["kmembench"]["allocator"] for e in list_})),
	      str(all(e["cpu_time"] > 0 and e["rss_bytes_peak"] > 0 for e in list_)).lower())
	PYTHON
}
"$script" --measure --reps 2 --allocators glibc,kmem -o two.json perl sort >table 2>why
status=$?
facts two.json >>why
[ $status -eq 0 ] && [ "$(facts two.json)" = "true 2 8 glibc+kmem true" ] && [ ! -e two.json.tsv ] &&
	[ "$(grep -c 'geo. mean' table)" -eq 2 ]
result $? "two programs, two rounds: a results file, and a table of time and of memory"
"$script" --measure --allocators glibc,kmem -o cut.json perl >/dev/null 2>why &
job=$!
until [ -e cut.json.tsv ] && [ "$(wc -l <cut.json.tsv)" -ge 5 ]; do
	kill -0 $job 2>/dev/null || break
	sleep 0.1
done
# The shell that runs it has SIGINT ignored where job control is off.
kill -TERM $job
wait $job
facts cut.json >>why
[[ "$(facts cut.json)" =~ ^"false "[1-6]" "[0-9]*[02468]" glibc+kmem true"$ ]]
result $? "interrupted: the rounds that there are, told to be incomplete"
for wrong in "--reps 0" "--minutes x" "--reps 2 --minutes 3" "--allocators none" "nosuch" "--variants kmem" "--variants none"; do
	# shellcheck disable=SC2086
	timeout 60 "$script" --measure $wrong >why 2>&1
	[ $? -eq 2 ] && grep -q '^real_programs.sh: ' why || break
done
result $? "refused: --reps 0, --minutes x, both, unknown allocators, programs and variants"

echo "1..$number"
[ $failures -eq 0 ]
