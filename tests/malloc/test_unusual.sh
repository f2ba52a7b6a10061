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
	*) all_well "$name" env LD_PRELOAD="$library" ./unusual "$name" ;;
	esac
done
threads="small_stacks moved_about thread_ends fork_in_threads"
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

echo "1..$number"
[ $failures -eq 0 ]
