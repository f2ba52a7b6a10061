#!/bin/bash
# SPDX-License-Identifier: MIT
# Programs that use malloc in ways few do, under libkmem-malloc.so: programs/unusual*.c
# says which. Once with sequences, once with locks, then on systems that lack or refuse
# something. TAP.
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/malloc/preload.sh
. "$here/preload.sh" "unusual programs"
cc=${CC:-cc}
flags="-std=gnu11 -O1 -g -fno-builtin -D_GNU_SOURCE -pthread"
# shellcheck disable=SC2086
$cc $flags -o unusual "$here"/programs/unusual*.c -ldl || exit 1
# shellcheck disable=SC2086
$cc $flags -shared -fPIC -o constructor.so "$here/programs/constructor.c" || exit 1
# shellcheck disable=SC2086
$cc $flags -shared -fPIC -o audit.so "$here/programs/audit.c" || exit 1
# shellcheck disable=SC2086
$cc $flags -o deny "$here/programs/deny.c" || exit 1
export UNUSUAL_LIBRARY=$dir/constructor.so

# all_well DESCRIPTION COMMAND...: it prints "ok" alone, and reports nothing.
all_well() {
	local text=$1 status
	shift
	timeout -k 5 100 "$@" >out 2>err </dev/null
	status=$?
	number=$((number + 1))
	if [ $status -eq 77 ]; then
		echo "ok $number - $text # SKIP $(tail -n 1 err)"
	elif [ $status -eq 0 ] && [ "$(cat out)" = ok ] && ! grep -qa "kmem: BUG" err; then
		echo "ok $number - $text"
	else
		failures=$((failures + 1))
		echo "not ok $number - $text"
		echo "# status $status"
		head -c 2000 out err | sed 's/^/# /'
	fi
}

for name in $(./unusual); do
	case $name in
	# A bound on what is touched should the lock take in the whole range.
	locked_in_memory) all_well "$name" bash -c "ulimit -v 4000000; LD_PRELOAD='$library' ./unusual $name" ;;
	# No thread of ours, which would make it a program with two.
	killed_for_other_calls) all_well "$name" env KMEM_MALLOC=background=off \
		LD_PRELOAD="$library" ./unusual "$name" ;;
	*) all_well "$name" env LD_PRELOAD="$library" ./unusual "$name" ;;
	esac
done
threads="small_stacks moved_about thread_ends fork_in_threads urgent_threads exec_from_threads"
for name in $threads stack_depth libraries_come_and_go; do
	all_well "$name, arrays with locks" env KMEM_PERCPU=lock LD_PRELOAD="$library" ./unusual $name
done
all_well "own_rseq, where the C library has none" \
	env GLIBC_TUNABLES=glibc.pthread.rseq=0 LD_PRELOAD="$library" ./unusual own_rseq
# Older kernels and sandboxes: from the start.
for calls in "38 membarrier" "38 rseq" "22 madvise" "38 mremap" "1 rseq,membarrier,madvise,mremap,sysinfo"; do
	# shellcheck disable=SC2086
	all_well "without ${calls#* }" ./deny $calls env LD_PRELOAD="$library" \
		./unusual fork_in_threads aligned_and_full calloc_after_dirt thread_ends
done
for calls in "1 prlimit64" "1 sched_getaffinity" "38 getcpu" "11 clone,clone3"; do
	# shellcheck disable=SC2086
	all_well "without ${calls#* }, alone" ./deny $calls env LD_PRELOAD="$library" \
		./unusual aligned_and_full calloc_after_dirt realloc_ways errno_kept
done
all_well "one CPU at the start, all later" taskset -c "$(taskset -cp $$ | sed 's/.*[ ,-]//')" \
	env LD_PRELOAD="$library" ./unusual moved_about fork_in_threads
all_well "stacks without a limit" bash -c "ulimit -s unlimited; LD_PRELOAD='$library' ./unusual small_stacks fork_in_threads"
all_well "without randomised addresses" setarch -R env LD_PRELOAD="$library" ./unusual aligned_and_full fork_in_threads
all_well "under an auditing library" env LD_AUDIT="$dir/audit.so" LD_PRELOAD="$library" \
	./unusual aligned_and_full libraries_come_and_go freed_at_exit
all_well "few descriptors left, none of them ours" bash -c "
	exec 3>&- 4>&- 5>&-; ulimit -n 12; LD_PRELOAD='$library' ./unusual aligned_and_full thread_ends"
all_well "standard streams closed" bash -c "
	LD_PRELOAD='$library' ./unusual aligned_and_full thread_ends <&- 2>&-"
# A shell that limits itself and its children, as scripts do.
all_well "ulimit -v within a running shell" env LD_PRELOAD="$library" bash -c '
	f() { local x=$1; [ $1 -gt 0 ] && f $(($1 - 1)) || true; }
	ulimit -v 1000000 && f 3000 && /bin/echo ok'

# --- little room ---
# Enough for a small program, and for what we need beside it; 60000 KiB and more have
# their tests among the programs.
for limit in "-v 24000" "-d 10000" "-s 100" "-l 0" "-c 0"; do
	all_well "ulimit $limit" bash -c "ulimit $limit; LD_PRELOAD='$library' \
		bash -c 'for i in {1..2000}; do a[i]=x\$i; done; [ \${#a[*]} -eq 2000 ] && (/bin/echo ok)'"
done
# Less: memory is not to be had, and that is what the program finds.
all_well "no limit on memory leads to a crash" bash -c "
	for kind in v d; do for kib in 5000 6000 7000 8000 10000 13000 17000; do
		(ulimit -\$kind \$kib; LD_PRELOAD='$library' sort /etc/passwd >/dev/null 2>&1)
		status=\$?
		[ \$status -eq 0 ] || [ \$status -eq 2 ] || [ \$status -eq 127 ] || echo \"-\$kind \$kib: status \$status\"
	done; done; echo ok"

# --- no files, no rights, no turn ---
bare=$dir/bare
if mkdir -p "$bare" && unshare -m true 2>/dev/null; then
	all_well "without /proc and /sys" unshare -m sh -c "mount -t tmpfs none /proc && mount -t tmpfs none /sys &&
		LD_PRELOAD='$library' ./unusual aligned_and_full calloc_after_dirt fork_in_threads thread_ends"
	for file in ./unusual "$library" $(LD_PRELOAD="$library" ldd ./unusual | grep -o '/[^ ]*'); do
		mkdir -p "$bare/$(dirname "$(realpath -m "$file")")" "$bare/$(dirname "$file")"
		cp -L "$file" "$bare/$file"
	done
	all_well "in a folder that holds nothing else" chroot "$bare" /lib64/ld-linux-x86-64.so.2 --preload "$library" \
		/unusual aligned_and_full calloc_after_dirt fork_in_threads moved_about
else
	for text in "without /proc and /sys" "in a folder that holds nothing else"; do
		number=$((number + 1))
		echo "ok $number - $text # SKIP no rights to do so"
	done
fi
if [ "$(id -u)" -eq 0 ] && chmod 755 "$dir" && setpriv --reuid=65534 --clear-groups test -r "$library"; then
	all_well "another user, who may start no thread" setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs \
		--inh-caps=-all --bounding-set=-all prlimit --nproc=1:1 env LD_PRELOAD="$library" \
		./unusual aligned_and_full calloc_after_dirt realloc_ways freed_at_exit
else
	number=$((number + 1))
	echo "ok $number - another user # SKIP no rights to do so"
fi
all_well "the least urgent" nice -n 19 chrt -i 0 env LD_PRELOAD="$library" ./unusual moved_about fork_in_threads thread_ends
all_well "no environment but ours" env -i LD_PRELOAD="$library" LD_BIND_NOW=1 ./unusual aligned_and_full thread_ends
# Short lives, many at a time.
cat >makefile <<'M'
all: $(addprefix t,$(shell seq 300))
t%:
	@./unusual errno_kept >$@ && /bin/true
M
all_well "200 programs at once" env LD_PRELOAD="$library" bash -c '
	for i in {1..200}; do ./unusual errno_kept >"o$i" & done; wait
	[ "$(cat o? o?? o??? | sort | uniq -c | tr -s " ")" = " 200 ok" ] && echo ok'
all_well "make with 300 jobs, 40 at a time" env LD_PRELOAD="$library" bash -c '
	make -s -j 40 && [ "$(cat t? t?? t??? | sort | uniq -c | tr -s " ")" = " 300 ok" ] && echo ok'

echo "1..$number"
[ $failures -eq 0 ]
