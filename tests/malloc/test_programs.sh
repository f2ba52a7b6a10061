#!/bin/bash
# SPDX-License-Identifier: MIT
# Real programs under libkmem-malloc.so: the same output and status as without it,
# and no report of misuse. TAP.
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/malloc/preload.sh
. "$here/preload.sh" "programs"

under() { LD_PRELOAD=$library timeout -k 5 100 "$@"; }

# same DESCRIPTION COMMAND...: the command behaves the same under the library.
same() {
	local text=$1 status_plain status_under
	shift
	timeout 100 "$@" >out.plain 2>err.plain </dev/null
	status_plain=$?
	under "$@" >out.under 2>err.under </dev/null
	status_under=$?
	{
		[ $status_plain -eq $status_under ] || echo "status $status_under, not $status_plain"
		cmp out.plain out.under
		diff err.plain err.under
		grep -a "kmem: BUG" err.under
	} >why 2>&1
	[ ! -s why ]
	result $? "$text"
}
has() { command -v "$1" >/dev/null; }
same_if() { # PROGRAM DESCRIPTION COMMAND...
	if has "$1"; then same "${@:2}"; else skip "$2" "$1 is not installed"; fi
}

cc=${CC:-cc}
$cc -std=gnu11 -O1 -g -fno-builtin -D_GNU_SOURCE -o symbols "$here/programs/symbols.c" -ldl || exit 1
$cc -std=gnu11 -O1 -g -fno-builtin -w -D_GNU_SOURCE -pthread -o misuse "$here/programs/misuse.c" || exit 1
$cc -std=gnu11 -O1 -g -D_GNU_SOURCE -shared -fPIC -o constructor.so "$here/programs/constructor.c" || exit 1
$cc -std=gnu11 -O1 -g -D_GNU_SOURCE -o linked "$here/programs/symbols.c" -ldl \
	-Wl,--no-as-needed ./constructor.so -Wl,-rpath,"$dir" || exit 1

# --- the names ---
./symbols >why 2>&1
[ $? -eq 3 ]
result $? "without the library the program notices"
under ./symbols ./constructor.so >why 2>&1 && [ "$(cat why)" = ok ]
result $? "every exported name"
under ./linked >why 2>&1 && [ "$(cat why)" = ok ]
result $? "with a library that allocates in its constructor"
KMEM_PERCPU=lock under ./symbols ./constructor.so >why 2>&1 && [ "$(cat why)" = ok ]
result $? "every exported name, arrays with locks"
if [ -x "$build/kmembench" ]; then
	"$build/kmembench" exec -a kmem -- ./symbols ./constructor.so >why 2>&1 && [ "$(cat why)" = ok ]
	result $? "kmembench exec -a kmem"
	# Options, behind what the environment has already.
	KMEM_MALLOC=trim=0 "$build/kmembench" exec -a kmem:hardened=on,large_cache=1M -- \
		sh -c 'echo "$KMEM_MALLOC"' >why 2>&1 && [ "$(cat why)" = trim=0,hardened=on,large_cache=1M ]
	result $? "kmembench exec -a kmem:OPTIONS: KMEM_MALLOC"
	"$build/kmembench" exec -a kmem:hardened=on -- ./misuse at_once >why 2>&1
	grep -q "kmem: BUG" why
	result $? "kmembench exec -a kmem:hardened=on reports a double free"
	"$build/kmembench" exec -a kmem:hardenned=on -- ./symbols >why 2>&1
	[ $? -eq 2 ] && grep -q "unknown option 'hardenned': did you mean 'hardened'" why
	result $? "kmembench exec refuses an option that there is not"
	"$build/kmembench" exec -a kmem:trim=soon -- ./symbols >why 2>&1
	[ $? -eq 2 ] && grep -q "trim" why
	result $? "kmembench exec refuses a value"
	"$build/kmembench" exec -a glibc:x=1 -- true >why 2>&1
	[ $? -eq 2 ] && grep -q "glibc.*has no options" why
	result $? "kmembench exec refuses options of others"
else
	skip "kmembench exec -a kmem, with options" "not built"
fi
(ulimit -v 2000000 && KMEM_MALLOC=memory=1T under ./symbols) >why 2>&1
[ $? -eq 2 ] && grep -q "kmem: KMEM_MALLOC: cannot start: " why
result $? "options that cannot be served are told"
for kib in 4000000 400000; do
	(ulimit -v $kib && under ./symbols) >why 2>&1 && [ "$(cat why)" = ok ]
	result $? "address space of $kib KiB"
done
# Too little for blocks of 64 MiB, and enough for a shell.
(ulimit -v 60000 && under bash -c 'for i in {1..9999}; do a[i]=$i; done; echo ok') >why 2>&1 &&
	[ "$(cat why)" = ok ]
result $? "address space of 60000 KiB"
# Wherever the system puts the ranges, of which the alignment of blocks depends.
(ulimit -d 300000 && for _ in {1..16}; do under ./symbols; done) >why 2>&1 && [ "$(sort -u why)" = ok ]
result $? "data of 300000 KiB"

# --- programs ---
seq 1 200000 | awk '{print ($1 * 7919) % 1000003, $1}' >numbers
same_if bash "bash: arrays, strings, sub-shells" bash -c '
	for i in {1..3000}; do a[i]=$((i * i)); s+=x$i; done; echo ${#s} ${a[*]: -5}
	for i in {1..40}; do echo $(echo $i | tr 0-9 a-j); done; declare -A m
	for i in {1..2000}; do m[k$i]=v$i; done; echo ${#m[@]} "${m[k77]}"'
same_if sort "sort with threads" sort --parallel=8 -S 2M -n numbers
same_if awk "awk" awk '{n[$1 % 5003] += $2} END {for (i = 0; i < 5003; i++) print n[i]}' numbers
same_if perl "perl" perl -e 'my %h; while (<>) { my ($a, $b) = split; push @{$h{$a % 999}}, $b }
	print join(",", map { scalar @{$h{$_}} } sort { $a <=> $b } keys %h), "\n";
	my $s = join "", map { chr(97 + $_ % 26) x ($_ % 50) } 1..20000; $s =~ s/(a+)b/$1/g;
	print length $s, "\n"' numbers
same_if sqlite3 "sqlite3" sqlite3 :memory: "create table t(a, b); with recursive n(i) as
	(select 1 union all select i + 1 from n where i < 50000) insert into t select i, hex(i) from n;
	create index x on t(b); select count(*), max(b), sum(length(b)) from t;
	delete from t where a % 3 = 0; vacuum; select count(*) from t; select group_concat(a) from t;"
same_if python3 "python3 with threads" python3 -c '
import threading, json, re
out = {}
def work(k):
    d = {str(i): [i] * (i % 17) for i in range(3000)}
    out[k] = len(json.dumps(json.loads(json.dumps(d)))) + len(re.findall("1", str(d)))
    out[-k - 1] = sum(map(len, [bytes(n * 37 % 200000) for n in range(400)]))
ts = [threading.Thread(target=work, args=(k,)) for k in range(8)]
[t.start() for t in ts]; [t.join() for t in ts]; print(sorted(out.items()))'
same_if python3 "python3 with multiprocessing, forked from threads" python3 -W ignore -c '
import multiprocessing as mp, threading
def f(n): return sum(len(bytes(i * n % 9000)) for i in range(1000))
stop = threading.Event()
def churn():
    while not stop.is_set(): [bytearray(n) for n in range(0, 200000, 1999)]
ts = [threading.Thread(target=churn) for _ in range(3)]
[t.start() for t in ts]
ctx = mp.get_context("fork")
for _ in range(5):
    with ctx.Pool(4) as p: print(p.map(f, range(50)))
stop.set(); [t.join() for t in ts]'
if has git && git -C "$here" rev-parse --git-dir >/dev/null 2>&1; then
	same "git log" git -C "$here" log -n 100 --stat
	same "git clone, gc and fsck" bash -c "rm -rf clone && git clone -q --no-local '$(git -C "$here" rev-parse --show-toplevel)' clone &&
		cd clone && git gc -q && git fsck && git log --oneline | wc -l"
else
	skip "git log" "no repository here"
fi
root=$here/../..
for compiler in gcc clang; do
	same_if $compiler "$compiler compiles a file of this project" bash -c "$compiler -std=gnu11 -O2 -g -D_GNU_SOURCE \
		-I'$root' -I'$root/allocators/include' -c -o file.o '$root/allocators/slab/slab.c' && cksum <file.o"
done

# --- threads and children ---
cat >threads.cc <<'EOF'
#include <atomic>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>
static std::atomic<bool> stop;
static std::atomic<unsigned long> wrong;
static void churn(unsigned seed)
{
	std::vector<std::string> v(300);
	std::map<std::string, std::string> m;
	while (!stop) {
		seed = seed * 1664525 + 1013904223;
		auto &s = v[(seed >> 8) % v.size()];
		for (char c : s)
			wrong += c != 'a' + static_cast<char>(s.size() % 26);
		size_t n = (seed >> 12) % (seed % 64 == 0 ? 100000 : 700);
		s = std::string(n, 'a' + static_cast<char>(n % 26));
		m[std::to_string(seed % 1000)] = s;
		if (m.size() > 900)
			m.clear();
	}
}
static int child()
{
	alarm(60);
	std::map<int, std::string> m;
	std::thread t([&] { for (int i = 0; i < 3000; i++) m[i] = std::to_string(i); });
	std::vector<std::string> v;
	for (int i = 0; i < 3000; i++)
		v.push_back(std::string(static_cast<size_t>(i), 'y'));
	t.join();
	for (int i = 0; i < 3000; i++)
		if (v[i].find_first_not_of('y') != std::string::npos || m[i] != std::to_string(i))
			return 1;
	return 0;
}
int main(int argc, char **)
{
	std::vector<std::thread> threads;
	int bad = 0;
	for (unsigned i = 0; i < 8; i++)
		threads.emplace_back(churn, i + 1);
	for (int i = 0; i < 60; i++) {
		int status = -1;
		pid_t pid = fork();
		if (pid == 0) {
			if (i % 3 == 0 && argc == 1)
				execlp("true", "true", nullptr);
			_exit(child());
		}
		waitpid(pid, &status, 0);
		bad += status != 0;
	}
	/* Threads that come and go, exceptions through them. */
	for (int i = 0; i < 300; i++)
		std::thread([&] { try { throw std::string(200, 'e'); } catch (std::string &e) { wrong += e.size() != 200; } }).join();
	stop = true;
	for (auto &t : threads)
		t.join();
	printf("children gone wrong: %d, bytes wrong: %lu\n", bad, wrong.load());
}
EOF
if has g++ && g++ -std=gnu++17 -O1 -g -pthread -o threads threads.cc; then
	same "C++: eight threads, children by fork and exec" ./threads
	KMEM_PERCPU=lock same "the same, arrays with locks" ./threads
else
	skip "C++: eight threads, children by fork and exec" "no g++"
fi
GLIBC_TUNABLES=glibc.pthread.rseq=0 same "bash without restartable sequences" \
	bash -c 'for i in {1..3000}; do a[i]=x$i; done; echo ${a[*]: -5} $(echo sub)'
same_if bash "a storm of short programs" bash -c '
	for i in {1..150}; do true & /bin/true; done; wait; for i in {1..150}; do /bin/echo $i; done'
same_if xargs "a storm of parallel programs" bash -c 'seq 300 | xargs -P 4 -n 3 /bin/echo | sort -n'

# --- what a short program pays for: 130 more before, mimalloc has 49 ---
$cc -std=gnu11 -O1 -o faults "$here/programs/faults.c" || exit 1
least() { for _ in 1 2 3 4 5; do "$@" ./faults; done | sort -n | head -1; }
plain=$(least timeout -k 5 100)
# The same on a machine with more memory, for which more is set up.
more=$(($(KMEM_MALLOC=memory=16G least under) - plain))
echo "$more page faults more than the $plain without the library" >why
[ "$more" -gt 0 ] && [ "$more" -le 105 ]
result $? "a program that uses ten sizes: at most 105 more page faults"

echo "1..$number"
[ $failures -eq 0 ]
