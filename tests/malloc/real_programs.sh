#!/bin/bash
# SPDX-License-Identifier: MIT
# Real programs under libkmem-malloc.so, through LD_PRELOAD and `kmembench exec`: see usage().
set -u
usage() {
	cat <<-'TEXT'
	usage: tests/malloc/real_programs.sh [--all] [PROGRAM...]
	       tests/malloc/real_programs.sh --measure [--reps N] [--allocators A,B,...] [-o FILE] [PROGRAM...]
	       tests/malloc/real_programs.sh --list

	Runs real programs plainly, with libkmem-malloc.so as LD_PRELOAD, and by
	'kmembench exec -a kmem': output and status must be the same, nothing reported,
	and the peak of resident memory not above twice the plain one and 64 MiB. TAP.

	  --all            the long forms (an hour and more); otherwise less than a minute
	  --measure        time and memory instead: every program under every malloc in turn
	  --reps N         so many times (5)
	  --allocators     of glibc, kmem, jemalloc, mimalloc, tcmalloc, or paths of libraries
	  -o FILE          the single measurements, tab-separated
	  --list           the programs, and what is missing for each

	BUILD names the build folder (build).
	TEXT
}
die() { echo "real_programs.sh: $*" >&2; exit 2; }

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
programs=$here/programs
export here root programs

scale=fast reps=5 allocators=glibc,kmem,jemalloc,mimalloc,tcmalloc out='' chosen=() mode=check
while [ $# -gt 0 ]; do
	case $1 in
	--all) scale=all ;;
	--measure) mode=measure scale=measure ;;
	--reps) reps=${2:?--reps needs a number}; shift ;;
	--allocators) allocators=${2:?--allocators needs names}; shift ;;
	-o) out=$(realpath -m "${2:?-o needs a file}"); shift ;;
	--list) mode=list ;;
	--cell) mode=cell chosen=("$2"); scale=$3; shift 2 ;; # for this script alone
	-h | --help) usage; exit 0 ;;
	-*) die "unknown option '$1'; --help lists them" ;;
	*) chosen+=("$1") ;;
	esac
	shift
done
[[ $reps =~ ^[1-9][0-9]*$ ]] || die "--reps '$reps': a number from 1 on"
# shellcheck source=tests/malloc/real/programs.sh
. "$here/real/programs.sh"

# One run of one program, in the current folder: KMEM_LOG, KMEM_LIBRARY and KMEM_EXEC
# say how (the last is "kmembench exec -a kmem --" or nothing).
if [ "$mode" = cell ]; then
	under() {
		# shellcheck disable=SC2086
		"$work/measure" "$KMEM_LOG" "$KMEM_LIBRARY" $KMEM_EXEC "$@"
	}
	"run_${chosen[0]}"
	exit
fi
for name in ${chosen[@]+"${chosen[@]}"}; do
	[ "$(type -t "run_$name")" = function ] || die "unknown program '$name'; --list names them"
done
if [ "$mode" = list ]; then
	for name in $all_programs; do
		missing=$("needs_$name")
		echo "$name${missing:+ (skipped: $missing)}"
	done
	exit
fi

build=$(realpath -m "${BUILD:-build}")
library=$build/libkmem-malloc.so
[ -e "$library" ] || { echo "1..0 # SKIP '$library' is not built: run make"; exit 1; }
if nm -D "$library" | grep -qE '__(asan|tsan)_init'; then
	printf '1..1\nok 1 - real programs # SKIP a sanitizer has a malloc of its own\n'
	exit 0
fi
work=$(mktemp -d)
export work
trap 'rm -rf "$work"' EXIT
${CC:-cc} -std=gnu11 -O2 -D_GNU_SOURCE -o "$work/measure" "$programs/measure.c" || exit 1
if command -v g++ >/dev/null; then
	g++ -std=gnu++17 -O2 -g -pthread -o "$work/crowd" "$programs/crowd.cc" || exit 1
fi

# cell PROGRAM TAG LIBRARY EXEC: outputs in $work/TAG.{out,err,log}, status in $status.
cell() {
	local limit=240
	[ "$scale" = all ] && limit=1800
	# One folder for all: its path is in some outputs.
	rm -rf "$work/cell" "$work/$2".*
	mkdir "$work/cell"
	(cd "$work/cell" && KMEM_LOG=$work/$2.log KMEM_LIBRARY=$3 KMEM_EXEC=$4 \
		exec timeout -k 5 $limit "$here/real_programs.sh" --cell "$1" "$scale") \
		>"$work/$2.out" 2>"$work/$2.err" </dev/null
	status=$?
	# All runs of the cell: seconds add up, the peak is the largest.
	read -r wall cpu rss faults < <(awk '{w += $1; c += $2; f += $4; if ($3 > r) r = $3}
		END {printf "%.3f %.3f %d %d\n", w, c, r, f}' "$work/$2.log" 2>/dev/null)
}
tell() { printf '# %-20s %-5s %7.2f s wall %7.2f s CPU %8.1f MiB peak %9d faults\n' "$1" "$2" "$wall" "$cpu" \
	"$(awk "BEGIN {print $rss / 1024}")" "$faults"; }

# --- the same as without? ---
check() { # PROGRAM
	local plain_status plain_rss tag
	cell "$1" plain "" ""
	plain_status=$status plain_rss=$rss
	tell "$1" plain
	for tag in kmem exec; do
		# The same library: once is enough where it takes long.
		[ $tag = exec ] && case $scale-$1 in
		all-* | fast-python_suite | fast-python_malloc | fast-java | fast-make | fast-sort | fast-perl | fast-clang)
			continue ;;
		esac
		if [ $tag = kmem ]; then
			cell "$1" kmem "$library" ""
		else
			[ -x "$build/kmembench" ] || continue
			cell "$1" exec "" "$build/kmembench exec -a kmem --"
		fi
		tell "$1" $tag
		{
			[ "$status" -eq "$plain_status" ] || echo "status $status, not $plain_status"
			diff "$work/plain.out" "$work/$tag.out"
			grep -a "kmem: BUG" "$work/$tag.err" "$work/cell"/*.log
			grep -h grew "$work/$tag.out" | grep -v 'not grow'
			[ "$rss" -le $((2 * plain_rss + 65536)) ] || echo "peak of $rss KiB, plainly $plain_rss"
		} >"$work/why" 2>/dev/null
		number=$((number + 1))
		if [ -s "$work/why" ]; then
			failures=$((failures + 1))
			echo "not ok $number - $1 ($tag)"
			{ head -c 3000 "$work/why"; echo "--- its errors:"; tail -n 30 "$work/$tag.err"; } | sed 's/^/# /'
		else
			echo "ok $number - $1 ($tag)"
		fi
	done
}
if [ "$mode" = check ]; then
	number=0 failures=0
	# The suite under plain malloc() calls is long; and one compiler does for the short form.
	[ ${#chosen[@]} -gt 0 ] || for name in $all_programs; do
		[ "$scale" = fast ] && case $name in python_suite_malloc | gdb | gxx) continue ;; esac
		chosen+=("$name")
	done
	for name in "${chosen[@]}"; do
		missing=$("needs_$name" | head -n 1)
		if [ -n "$missing" ]; then
			number=$((number + 1))
			echo "ok $number - $name # SKIP $missing"
		else
			check "$name"
		fi
	done
	echo "1..$number"
	[ $failures -eq 0 ]
	exit
fi

# --- time and memory ---
libc=$(ldd "$(command -v bash)" | awk '/libc\.so/ {print $3}')
library_of() {
	case $1 in
	# Named, because some programs are linked with a malloc of their own (Debian's redis).
	glibc) echo "$libc" ;;
	kmem) echo "$library" ;;
	jemalloc) echo libjemalloc.so.2 ;;
	mimalloc) echo libmimalloc.so.2 ;;
	tcmalloc) echo libtcmalloc_minimal.so.4 ;;
	*/*) realpath "$1" ;;
	*) return 1 ;;
	esac
}
IFS=, read -ra names <<<"$allocators"
usable=()
for name in "${names[@]}"; do
	file=$(library_of "$name") || die "unknown allocator '$name': glibc, kmem, jemalloc, mimalloc, tcmalloc or a path"
	if LD_PRELOAD=$file /bin/true 2>&1 | grep -q 'cannot be preloaded'; then
		echo "leaving out $name: '$file' is not installed" >&2
	else
		usable+=("$name")
	fi
done
[ ${#chosen[@]} -gt 0 ] || read -ra chosen <<<"$(echo $measured_programs)"
rows=$work/rows.tsv
printf 'program\tallocator\trep\tstatus\twall_s\tcpu_s\tpeak_kib\tminor_faults\n' >"$rows"
for ((rep = 0; rep < reps; rep++)); do
	for program in "${chosen[@]}"; do
		missing=$("needs_$program" | head -n 1)
		if [ -n "$missing" ]; then
			[ $rep -gt 0 ] || echo "leaving out $program: $missing" >&2
			continue
		fi
		for ((i = 0; i < ${#usable[@]}; i++)); do
			name=${usable[(i + rep) % ${#usable[@]}]} # each is first in turn
			cell "$program" m "$(library_of "$name")" ""
			printf '%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\n' "$program" "${name##*/}" "$rep" "$status" "$wall" "$cpu" "$rss" "$faults" >>"$rows"
		done
	done
	[ -z "$out" ] || cp "$rows" "$out"
done
[ -z "$out" ] || cp "$rows" "$out" || exit 1
awk -F'\t' -f "$here/real/table.awk" "$rows"
