# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# The programs that real_programs.sh runs; read there. Each function prints what must
# be the same under any malloc. `under` starts a program under the malloc in question;
# $scale is fast, all or measure.

by_scale() { case $scale in fast) echo "$1" ;; all) echo "$2" ;; measure) echo "$3" ;; esac; }

# needs_NAME prints what is missing, run_NAME runs it.
need() { local p; for p; do command -v "$p" >/dev/null || { echo "$p is not installed"; return; }; done; }

# --- python3 ---

# The first python3 that has its own test suite: Debian packs it apart.
python_with_tests() {
	local p
	for p in python3 /usr/bin/python3 python3.13 python3.12 python3.11; do
		"$p" -c 'import test.test_dict' 2>/dev/null && { "$p" -c 'import sys; print(sys.executable)'; return; }
	done
}
needs_python_suite() { [ -n "$(python_with_tests)" ] || echo "no python3 has its test suite (libpython3-testsuite)"; }
needs_python_suite_malloc() { needs_python_suite; }
python_tests_fast="test_dict test_list test_memoryview test_deque test_set test_array test_fork1"
python_tests_all="test_dict test_list test_json test_re test_threading test_multiprocessing_fork test_subprocess
 test_ctypes test_mmap test_gc test_memoryview test_bytes test_unicode test_set test_deque test_weakref test_thread
 test_threading_local test_queue test_concurrent_futures test_asyncio test_sqlite3 test_zlib test_bz2 test_lzma
 test_pickle test_array test_struct test_decimal test_long test_float test_complex test_str test_string test_format
 test_exceptions test_generators test_coroutines test_functools test_itertools test_collections test_heapq test_bisect
 test_copy test_io test_bufio test_fileio test_tempfile test_os test_posix test_signal test_fork1 test_socket
 test_select test_selectors test_mailbox test_email test_xml_etree test_xml_etree_c test_minidom test_sax test_csv
 test_hashlib test_hmac test_random test_statistics test_datetime test_calendar test_locale test_codecs
 test_multibytecodec test_unicodedata test_import test_importlib test_marshal test_compile test_ast test_code
 test_descr test_super test_class test_types test_typing test_enum test_dataclasses test_contextlib test_capi
 test_embed test_faulthandler test_resource test_atexit test_interpreters test_audit test_shelve test_dbm"
python_tests_measure="test_dict test_list test_json test_set"

# One line for each test case: its name, and how it ended.
python_verdicts() {
	"$1" - "$2" <<-'PYTHON'
	import sys, xml.etree.ElementTree as tree
	for case in sorted(tree.parse(sys.argv[1]).iter("testcase"), key=lambda c: c.get("name")):
	    print(case.get("name"), case.get("result"), *sorted({x.tag for x in case}))
	PYTHON
}
# Of the long form each module is a part, with a limit of its own, so that one that hangs
# does not keep the others from being run; and as some lose against a busy machine, what
# fails is run once more. Sockets between virtual machines wait for ever in some.
python_part() { # PYTHON TESTS
	local status limit=() seconds=900
	case $2 in test_asyncio | test_multiprocessing_*) seconds=1800 ;; esac
	[ "$scale" != all ] || limit=(timeout -k 5 "$seconds")
	for _ in once again; do
		rm -f junit.xml
		# shellcheck disable=SC2086
		under "${limit[@]}" "$1" -X faulthandler -m test -q -i "*VSOCK*" --timeout 600 \
			--junit-xml junit.xml $2 >&2
		status=$?
		case $scale,$status in all,124 | all,137 | all,0) break ;; all,*) ;; *) break ;; esac
	done
	case ${limit[0]-},$status in
	timeout,124 | timeout,137) echo "part $2: no end within $seconds s" ;;
	timeout,*) echo "part $2: status $status" ;;
	*) echo "status $status" ;;
	esac
	[ ! -e junit.xml ] || python_verdicts "$1" junit.xml
}
run_python_suite() {
	local python tests part
	python=$(python_with_tests)
	tests=${PYTHON_TESTS:-$(by_scale "$python_tests_fast" "$python_tests_all" "$python_tests_measure")}
	# A list that this version knows; 'test_x' may be a module or a folder.
	tests=$("$python" - $tests <<-'PYTHON'
	import importlib.util, sys
	print(*[t for t in sys.argv[1:] if importlib.util.find_spec("test." + t)])
	PYTHON
	)
	if [ "$scale" = all ]; then
		# shellcheck disable=SC2086
		for part in $tests; do python_part "$python" "$part"; done
	else
		python_part "$python" "$tests"
	fi
}
run_python_suite_malloc() { # without python's own pools: every object is malloc's
	PYTHONMALLOC=malloc run_python_suite
}
needs_python() { need python3; }
run_python() { # the program itself: python3 may be a script that looks for it
	under "$(python3 -c 'import sys; print(sys.executable)')" "$programs/objects.py" "$(by_scale 2 20 16)"
}
needs_python_malloc() { need python3; }
run_python_malloc() { PYTHONMALLOC=malloc run_python; }

# --- sqlite3 ---
needs_sqlite() { need sqlite3; }
run_sqlite() {
	sed "s/@n@/$(by_scale 10000 300000 70000)/" "$programs/tables.sql" >tables.sql
	under sqlite3 tables.db <tables.sql && under sqlite3 tables.db .dump | cksum
}

# --- redis ---
needs_redis() { need redis-check-rdb redis-cli redis-benchmark; }
redis() { redis-cli -s "$PWD/redis.sock" "$@"; }
# Debian's redis-check-rdb is the server's program under another name: redis-tools
# alone brings it, and no service.
redis_start() {
	local i server=redis-server
	command -v redis-server >/dev/null || { ln -sf "$(command -v redis-check-rdb)" redis-server; server=$PWD/redis-server; }
	under "$server" --port 0 --unixsocket "$PWD/redis.sock" --save '' --dir "$PWD" \
		--enable-debug-command yes --daemonize no --ignore-warnings ARM64-COW-BUG "$@" >>redis.log &
	redis_job=$!
	for ((i = 0; i < 300; i++)); do
		[ "$(redis ping 2>/dev/null)" = PONG ] && return
		sleep 0.05
	done
	echo "redis did not start"; tail -n 5 redis.log; return 1
}
redis_stop() { redis shutdown nosave >/dev/null 2>&1; wait "$redis_job"; echo "redis ended: $?"; }
redis_saved() {
	while redis info persistence | grep -q 'rdb_bgsave_in_progress:1'; do sleep 0.02; done
	redis info persistence | tr -d '\r' | grep rdb_last_bgsave_status
}
redis_resident_kib() { awk '/VmRSS/ {print $2}' "/proc/$(redis info server | tr -d '\r' | sed -n 's/^process_id://p')/status"; }
redis_load() { # KEYS: every type, of sizes from inlined to large
	awk -v n="$1" 'BEGIN { for (i = 0; i < n; i++) { v = sprintf("%*s", i * 7919 % 900, i);
		print "SET s:" i " \"" v "\""; print "HSET h:" i % 997 " f" i " " i * 31;
		print "RPUSH l:" i % 499 " item" i; print "ZADD z:" i % 97 " " i % 1013 " m" i;
		print "SADD u:" i % 311 " " i * 17;
		if (i % 3 == 0) print "DEL s:" int(i / 2); if (i % 50 == 0) print "APPEND big:" i % 7 " \"" v v v "\"" } }' |
		redis --pipe | tail -n 1
}
run_redis() {
	local keys round first='' last
	keys=$(by_scale 15000 200000 25000)
	redis_start || return 1
	redis_load "$keys"
	# A snapshot by fork, under load.
	redis bgsave >/dev/null
	redis-benchmark -s "$PWD/redis.sock" --dbnum 9 -q -n "$(by_scale 15000 200000 10000)" -r 20000 -d 300 -P 16 \
		-t set,get,incr,lpush,rpop,sadd,hset,zadd,mset >&2
	redis_saved
	redis -n 9 flushdb >/dev/null
	redis bgsave >/dev/null
	redis_saved
	redis debug digest >digest
	redis dbsize; cat digest
	redis_stop
	redis_start || return 1
	redis debug digest | cmp - digest && echo "the same after a restart"
	redis bgrewriteaof >/dev/null
	# Filled and emptied again: no larger at the end.
	if [ "$scale" != measure ]; then
		for round in 1 2 3 4 5; do
			redis flushall >/dev/null
			redis_load "$keys" >/dev/null
			last=$(redis_resident_kib)
			first=${first:-$last}
		done
		[ "$last" -le $((first + first / 5 + 8192)) ] && echo "did not grow" || echo "grew from $first to $last KiB"
	fi
	redis debug digest
	redis_stop
}

# --- compilers: this project's own files ---
compile_some() { # COMPILER
	local file files
	files=$(by_scale "slab/slab.c malloc/malloc.c" "*/*.c" "slab/slab.c slab/slab_depot.c malloc/malloc.c buddy/page_alloc.c")
	for file in $(cd "$root/allocators" && eval "ls $files"); do
		case $file in peers/*) continue ;; esac
		under "$1" -std=gnu11 -O2 -g -D_GNU_SOURCE -I"$root" -I"$root/allocators/include" \
			-c -o "$(echo "$file" | tr / _).o" "$root/allocators/$file" || return
	done
	cksum -- *.o
}
needs_gcc() { need gcc; }
run_gcc() { compile_some gcc; }
needs_clang() { need clang; }
run_clang() { compile_some clang; }
needs_gxx() { need g++; }
run_gxx() { under g++ -std=gnu++17 -O2 -g -pthread -c -o crowd.o "$programs/crowd.cc" && cksum crowd.o; }
needs_make() { need make gcc; }
run_make() { # gcc, ld, the shell and all they start
	under make -s -j2 -C "$root" O="$PWD/build" CFLAGS='-O1' "$PWD/build/obj/allocators/slab/slab.o" \
		"$PWD/build/obj/allocators/core/error.o" "$PWD/build/obj/allocators/os/os_mem.o" \
		$([ "$scale" = fast ] || echo "$PWD/build/libkmem.a") </dev/null >&2 &&
		(cd build && find . -name '*.o' -exec cksum {} + | sort)
}

# --- git ---
needs_git() {
	need git
	git -C "$root" rev-parse --git-dir >/dev/null 2>&1 || echo "no repository here"
}
run_git() {
	under git clone -q --no-local "$root" clone || return
	cd clone || return
	git config gc.auto 0
	under git log --stat -n "$(by_scale 100 100000 100)" | cksum
	under git -c pack.threads=2 repack -q -a -d -f --depth=50 --window="$(by_scale 5 50 2)"
	under git gc -q --prune=now
	[ "$scale" = measure ] || under git fsck --strict 2>&1
	[ "$scale" != all ] || under git log -p | cksum
	under git grep -n -c kmem | cksum
	under git status --short
}

# --- the rest ---
needs_node() { need node; }
run_node() { under node "$programs/buffers.js" "$(by_scale 400 6000 3000)"; }
needs_crowd() { need g++; }
run_crowd() { under "$work/crowd" "$(by_scale 9 60 20)"; }
needs_java() {
	need java javac
	java --list-modules 2>/dev/null | grep -q jdk.compiler || echo "java has no compiler"
}
run_java() { # the compiler and the program in one virtual machine
	under java -XX:-UsePerfData "$programs/Objects.java"
}
needs_perl() { need perl; }
run_perl() {
	under perl -e 'my (%h, @a); for my $i (1 .. shift) { my $k = $i * 7919 % 50021; push @{$h{$k % 999}}, "v$k" x ($k % 9);
		$a[$k % 3000] = join ",", map { $_ * $k } 1 .. $k % 20; delete $h{$i % 1777} if $i % 5 == 0 }
		my $s = join "|", map { "$_=" . join "", @{$h{$_}} } sort keys %h; $s =~ s/v(\d)/<$1>/g;
		print length $s, " ", unpack("%32C*", $s), " ", length join("", grep defined, @a), "\n"' "$(by_scale 50000 1000000 400000)"
}
needs_sort() { need sort; }
run_sort() {
	awk -v n="$(by_scale 200000 3000000 1500000)" 'BEGIN { for (i = 0; i < n; i++) print i * 7919 % 1000003, "line", i }' >lines
	under sort --parallel=4 -S 40M -k1,1n -k3 lines | cksum
}
needs_gdb() { need gdb; }
run_gdb() { under gdb -q -batch -nx -ex 'info line main' -ex 'info types ^std::' "$work/crowd" | cksum; }

all_programs="python python_malloc python_suite python_suite_malloc sqlite redis gcc gxx clang make git node crowd java perl
 sort gdb"
# Long, and of a kind with others.
left_out_when_fast="python_suite_malloc gdb gxx rustc postgres"
# Long enough to run once only where nothing is asked for.
once_when_fast="python_suite python_malloc java make sort perl clang php ruby lua tcl jq compress vim rsync openssl nginx"
# What --measure runs unless programs are named, the most telling ones first: each allocates
# much, or from several threads, or in several processes, for about a second of CPU time.
measured_programs="python_malloc redis crowd node gcc sqlite jq php git ruby sort"
