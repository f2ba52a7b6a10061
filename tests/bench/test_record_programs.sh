#!/bin/bash
# SPDX-License-Identifier: MIT
# record, replay and exec from the outside, on programs whose allocations are known. TAP.
set -u
. "$(dirname "$0")/tap.sh"
recorder=libkmembench-record.so

# The recorder's cost is measured where that is tested.
record() { "$kmembench" record --no-cost "$@"; }
counts() { python3 "$here/programs/trace_counts.py" "$1" >counts; }
has() { grep -qx -- "$1" counts || { echo "no line '$1' in:"; cat counts; return 1; }; }
hasnt() { ! grep -E -- "$1" counts; }
says() { grep -qF -- "$1" err || { echo "'$1' is not in:"; cat err; return 1; }; }
says_not() { ! grep -F -- "$1" err; }
only_files() { [ "$(ls -A)" = "$(printf '%s\n' "$@" | sort)" ] || { ls -lA; return 1; }; }

for file in "$kmembench" "$build/$recorder"; do
	[ -e "$file" ] || { echo "1..0 # SKIP '$file' is not built"; exit 1; }
done
cc=${CC:-cc}
$cc -std=gnu11 -O1 -g -pthread -o allocates "$here/programs/allocates.c" || exit 1

# --- every entry point, exact counts ---
ok "a program is recorded" exits 0 record -o t -- ./allocates known
ok "the trace is sound" counts t
for line in \
	"malloc 70001 0 1000" "free 70001 0 1000" "calloc 70049 0 500" "free 70049 0 500" \
	"malloc 70009 0 30" "malloc 70003 0 2000" "free 70003 0 2000" \
	"remote-free 70003 0 2000" "malloc 50001 0 1" "realloc 150006 0 1" \
	"realloc 150030 0 1" "free 150030 0 1" "malloc 51001 0 1" "realloc 51021 0 1" \
	"free 51021 0 1" "memalign 60001 8 1" "memalign 61440 12 2" "free 61440 0 2" \
	"memalign 60003 6 1" "memalign 60007 12 1" "unknown 0" "threads 3" "program allocates" "measured 0 1 1" "after 0 0 4"; do
	ok "known: $line" has "$line"
done
ok "blocks that were never freed stay" hasnt '^free 70009 '
ok "failed calls are not recorded" hasnt '^(malloc|realloc) [0-9]{12}'
ok "no free was missed" says_not warning
ok "the summary is one line on standard error" test "$(wc -l <err)" -eq 1 -a ! -s out
ok "nothing but the trace is left" only_files allocates counts err out t
ok "the recorder's cost" exits 0 "$kmembench" record -o t -- ./allocates known
if grep -q 'the recorder takes' err; then
	ok "is in the trace" eval 'counts t && has "measured 1 1 1"'
else
	skip "is in the trace" "a sanitized program cannot be recorded"
fi

# --- order over threads ---
for threads in 2 8; do
	ok "$threads threads that share blocks" exits 0 record -o t ./allocates churn $threads
	ok "no address was live twice" says_not warning
	ok "their trace is sound" counts t
	ok "all threads are in it" has "threads $((threads + 1))"
done

# --- children ---
ok "a program with children" exits 0 record -o t -- ./allocates children
ok "its trace is sound" counts t
ok "the parent is recorded throughout" has "malloc 80003 0 20"
ok "memory that a child freed too is freed once" has "free 80001 0 1"
ok "children are not recorded" hasnt ' 80009 '
ok "no free was missed in the parent" says_not warning
ok "forks while threads allocate" exits 0 record -o t -- ./allocates forks
ok "leave a sound trace" counts t
ok "with every event of the parent" has "malloc 60301 0 10"
ok "and none of the children" hasnt ' (60101|70003|70001) '
ok "no address was live twice then" says_not warning
ok "children may be recorded" exits 0 record --children -o t -- ./allocates forks
ok "the parent's trace is the same" eval 'counts t && has "malloc 60301 0 10" && hasnt " 60101 "'
ok "there is a trace for each child" test "$(ls t.* | wc -l)" -eq 14
forked=0 spawned=0
for child in t.*; do
	counts "$child" || break
	has "malloc 60101 0 20" >/dev/null && has "remote-free 70003 0 2000" >/dev/null &&
		forked=$((forked + 1))
	has "malloc 70001 0 1000" >/dev/null && has "threads 3" >/dev/null && spawned=$((spawned + 1))
done
ok "those by fork, with their threads" test $forked -eq 12
ok "and those by vfork and posix_spawn" test $spawned -eq 2
ok "nothing else is left" test "$(ls -A | grep -vc '^t')" -eq 4
rm -f t t.*
ok "a program that becomes another one" exits 0 record --children -o t -- ./allocates exec
ok "is recorded as both" eval 'counts t && has "malloc 90001 0 100" &&
	counts t.* && has "malloc 80009 0 1000"'
ok "and nobody is warned" says_not "replaced itself"
rm -f t.*
ok "a program that replaces itself" exits 0 record -o t -- ./allocates exec
ok "its trace ends there" counts t
ok "it is recorded before that" has "malloc 90001 0 100"
ok "and not after" hasnt ' 80009 '
ok "and that is said" says "replaced itself"
ok "the caller's own LD_PRELOAD comes back" \
	exits 0 env EXPECT_PRELOAD=libm.so.6 LD_PRELOAD=libm.so.6 \
	ASAN_OPTIONS=verify_asan_link_order=0 "$kmembench" record -o t -- ./allocates exec
ok "and was not taken for a failure" says_not "exited with 2"

# --- bad ends ---
for end in crash:SIGSEGV kill:SIGKILL abort:SIGABRT; do
	rm -f t
	ok "a program that ends by ${end#*:}" exits 0 record -o t -- ./allocates ${end%:*}
	ok "is said to have" says "was killed by ${end#*:}"
	ok "leaves a sound trace" counts t
	ok "of what it did" has "malloc 90001 0 100"
done
ok "a program that fails" exits 0 record -o t -- ./allocates fail
ok "is warned of" says "warning: './allocates' exited with 3"
rm -f t
"$kmembench" record -o t -- ./allocates sleep >out 2>err &
pid=$!
for _ in $(seq 100); do grep -q ready out && break; sleep 0.05; done
kill -TERM $pid
wait $pid
ok "SIGTERM to kmembench ends the program" test $? -eq 0
ok "which is said" says "was killed by SIGTERM"
ok "the trace is written" counts t

# --- limits ---
ok "a full recording" exits 0 record -o t --max-events 500 -- ./allocates known
ok "is said to be" says "the recording was full"
ok "keeps what fitted" counts t
ok "up to the last event" \
	test "$(awk '/^total-/ {n += $4} END {print n}' counts)" -eq 500

# A disk of 3 MiB, where this user may mount one in a name space of his own.
mkdir small
if unshare -rm mount -t tmpfs -o size=3M tmpfs small 2>/dev/null; then
	ok "a full disk" exits 0 unshare -rm sh -c "mount -t tmpfs -o size=3M tmpfs small &&
		'$kmembench' record -o small/t -- ./allocates churn 8 && cp small/t full"
	ok "does the program no harm" says "exited with 0"
	ok "is said to be" says "the disk was full"
	ok "and keeps what fitted" counts full
else
	skip "a full disk" "no mounts for this user"
fi

# --- what cannot be recorded ---
rm -f t
ok "a program that is not there" exits 2 record -o t -- ./nothing
ok "is named" says "cannot start './nothing': No such file or directory"
echo text >data && chmod +x data
ok "a folder is no program" exits 2 record -o t -- /
ok "no trace is left of either" test ! -e t
if $cc -std=gnu11 -O1 -pthread -static -o static "$here/programs/allocates.c" 2>/dev/null; then
	ok "a static program is refused" exits 4 record -o t -- ./static known
	ok "with the reason" says "statically linked"
	ok "exec refuses it too" exits 4 "$kmembench" exec -a "$build/$recorder" -- ./static known
else
	skip "a static program is refused" "no static libc"
fi
ok "a trace in a folder that is not there" exits 2 record -o no/t -- ./allocates known
ok "a trace that is a folder" exits 2 record -o . -- ./allocates known
ok "no output" exits 2 record -- ./allocates known
ok "no program" exits 2 record -o t
ok "a bad number of events" exits 2 record -o t --max-events 0 -- ./allocates known
ok "options after the program are its own" exits 0 record -o t ls --help
ok "and arrive there" test -s out

# --- a big program ---
if command -v sqlite3 >/dev/null; then
	sql="create table t(a,b); with recursive n(i) as (select 1 union all select i+1 from n
		where i<20000) insert into t select i, hex(i) from n; create index x on t(b);
		select count(*), max(b) from t;"
	ok "sqlite3" exits 0 record -o t -- sqlite3 :memory: "$sql"
	ok "computes the same" test "$(cat out)" = "$(sqlite3 :memory: "$sql")"
	ok "its trace is sound" counts t
	ok "no free was missed in it" says_not warning
else
	skip "sqlite3" "not installed"
fi

# --- replay ---
ok "replay refuses what is no trace" exits 2 "$kmembench" replay data -a glibc
ok "replay refuses what is not there" exits 2 "$kmembench" replay nothing -a glibc
ok "replay takes no sizes" exits 2 "$kmembench" replay t -a glibc -s 64
ok "record for replay" exits 0 record -o t -- ./allocates churn 2
ok "replay" exits 0 "$kmembench" replay t -a glibc --reps 1 --time 0.01 -o replay.json
ok "has the recorded threads" grep -Eq '"threads": ?3' replay.json
truncate -s -1 t
ok "replay refuses a cut trace" exits 2 "$kmembench" replay t -a glibc

# --- import and fit ---
debug=$(ldconfig -p 2>/dev/null | awk '/libc_malloc_debug.so.0/ && /x86-64|AArch64/ {print $NF; exit}')
[ -n "$debug" ] || debug=$(find /lib /usr/lib -name libc_malloc_debug.so.0 2>/dev/null | head -n 1)
if [ -n "$debug" ]; then
	MALLOC_TRACE=$dir/log LD_PRELOAD=$debug ./allocates mtrace
	ok "import of glibc's mtrace log" exits 0 "$kmembench" import log -o t
	ok "is a sound trace" counts t
	for line in "malloc 70001 0 100" "free 70001 0 100" "realloc 90001 0 1" "free 90001 0 1" \
		"malloc 3000 0 1" "malloc 60003 0 1" "malloc 70009 0 1" "unknown 0" "threads 1"; do
		ok "mtrace: $line" has "$line"
	done
	ok "which can be replayed" exits 0 "$kmembench" replay t -a glibc --reps 1 --time 0.01 -o replay.json
else
	skip "import of glibc's mtrace log" "no libc_malloc_debug.so.0"
fi
printf '%s\n' 'malloc(24) = 0x1000' 'malloc(' >log
ok "a bad line is refused" exits 2 "$kmembench" import log -o t2
ok "by its number" says "line 2: argument 1 of 'malloc' is missing or no number"
ok "and leaves no trace" test ! -e t2
ok "unless told to go on" exits 0 "$kmembench" import log -o t2 --keep-going --format ltrace
ok "which says what was left out" says "1 bad lines were left out, the first: 'log', line 2"
ok "import wants an output" exits 2 "$kmembench" import log
ok "import knows its formats" exits 2 "$kmembench" import log -o t2 --format strace
ok "record a program to fit" exits 0 record -o t -- ./allocates churn 2
ok "fit" exits 0 "$kmembench" fit t -o model
ok "says what it found" says "threads"
ok "fit wants an output" exits 2 "$kmembench" fit t
ok "fit refuses what is no trace" exits 2 "$kmembench" fit data -o model
ok "fit bounds the cells" exits 2 "$kmembench" fit t -o model --cells 5000
ok "few cells" exits 0 "$kmembench" fit t -o few --cells 40
ok "are few" test "$(grep -c '^cell' few)" -le 40
ok "the model runs" exits 0 "$kmembench" run -a slab -w empirical --param "model=$dir/model" \
	-t 2 --reps 1 --time 0.01 -o empirical.json
ok "and counts its hand-overs" grep -q '"handovers"' empirical.json

# --- exec ---
ok "exec under glibc" exits 3 "$kmembench" exec -a glibc -- ./allocates fail
ok "exec of what is not there" exits 2 "$kmembench" exec -a glibc -- ./nothing
ok "exec under an unknown allocator" exits 2 "$kmembench" exec -a gilbc -- ./allocates known
ok "exec under a floor" exits 4 "$kmembench" exec -a bump -- ./allocates known
ok "exec under a page allocator" exits 4 "$kmembench" exec -a buddy -- ./allocates known
ok "exec under a library" exits 3 "$kmembench" exec -a "$build/$recorder" ./allocates fail
ok "exec under what is no library" exits 4 "$kmembench" exec -a ./data -- ./allocates known
for name in jemalloc mimalloc tcmalloc; do
	"$kmembench" exec -a $name -- true 2>/dev/null
	if [ $? -eq 4 ]; then
		skip "exec under $name" "not installed"
	else
		ok "exec under $name" exits 0 "$kmembench" exec -a $name -- cat /proc/self/maps
		ok "$name is there" grep -q "$name" out
	fi
done

finish
