#!/bin/bash
# SPDX-License-Identifier: MIT
# Real programs under libkmem-malloc.so, through LD_PRELOAD and `kmembench exec`: see usage().
set -u
usage() {
	cat <<-'TEXT'
	usage: tests/malloc/real_programs.sh [--all] [--variants V,...] [PROGRAM...]
	       tests/malloc/real_programs.sh --measure [--reps N | --minutes M] [--allocators A,B,...] [-o FILE] [PROGRAM...]
	       tests/malloc/real_programs.sh --list

	Runs real programs plainly, with libkmem-malloc.so as LD_PRELOAD, and by
	'kmembench exec -a kmem': output and status must be the same, nothing reported,
	and the peak of resident memory not above twice the plain one and 64 MiB. TAP.

	  --all            the long forms (hours); otherwise a minute or two
	  --variants       of kmem (the defaults), exec (by 'kmembench exec'), lock (arrays with
	                   locks), hardened (KMEM_MALLOC=hardened=on), debug (red zones and
	                   poison), valgrind (no restartable sequences); kmem,exec
	  --measure        CPU time and memory instead: in rounds, every program under every
	                   malloc in turn; a table, and a results file for compare and plot
	  --reps N         so many rounds (6, the fewest that bear an interval)
	  --minutes M      as many rounds as end within this time
	  --allocators     of glibc, kmem, jemalloc, mimalloc, tcmalloc, or paths of libraries
	  -o FILE          the results (programs.json); FILE.tsv has the single runs while it
	                   goes on, and Ctrl-C ends it with what there is
	  --list           the programs, and what is missing for each

	BUILD names the build folder (build); PYTHON_TESTS, the modules that python_suite
	runs instead of its list.
	TEXT
}
die() { echo "real_programs.sh: $*" >&2; exit 2; }

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
programs=$here/programs
export here root programs

scale=fast reps='' minutes='' allocators=glibc,kmem,jemalloc,mimalloc,tcmalloc out=programs.json variants='' chosen=()
mode=check
while [ $# -gt 0 ]; do
	case $1 in
	--all) scale=all ;;
	--measure) mode=measure scale=measure ;;
	--variants) variants=${2:?--variants needs names}; shift ;;
	--reps) reps=${2:?--reps needs a number}; shift ;;
	--minutes) minutes=${2:?--minutes needs a number}; shift ;;
	--allocators) allocators=${2:?--allocators needs names}; shift ;;
	-o) out=${2:?-o needs a file}; shift ;;
	--list) mode=list ;;
	--cell) mode=cell chosen=("$2"); scale=$3; shift 2 ;; # for this script alone
	-h | --help) usage; exit 0 ;;
	-*) die "unknown option '$1'; --help lists them" ;;
	*) chosen+=("$1") ;;
	esac
	shift
done
[[ ${reps:-1} =~ ^[1-9][0-9]*$ ]] || die "--reps '$reps': a number from 1 on"
[[ ${minutes:-1} =~ ^[1-9][0-9]*$ ]] || die "--minutes '$minutes': a number from 1 on"
[ -z "$reps" ] || [ -z "$minutes" ] || die "--reps and --minutes both say when to end: give one"
for tag in ${variants//,/ }; do
	case $tag in
	kmem | exec | lock | hardened | debug) ;;
	valgrind) command -v valgrind >/dev/null || die "valgrind is not installed" ;;
	*) die "unknown variant '$tag': --help lists them" ;;
	esac
done
[ -z "$variants" ] || [ "$mode" = check ] || die "--variants is for checking, not for --$mode"
# shellcheck source=tests/malloc/real/programs.sh
. "$here/real/programs.sh"
# shellcheck source=tests/malloc/real/more.sh
. "$here/real/more.sh"

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
	[ "$scale" = all ] && limit=14400 # python's modules have limits of their own
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
limit_of() { # VARIANT RSS: what it may take, in KiB
	case $1 in
	hardened) echo $((3 * $2 + 131072)) ;; # a byte for 16, and blocks of pages with guards
	debug | valgrind) echo 999999999 ;;
	*) echo $((2 * $2 + 65536)) ;;
	esac
}
run_variant() { # PROGRAM VARIANT
	case $2 in
	kmem) cell "$1" kmem "$library" "" ;;
	exec) cell "$1" exec "" "$build/kmembench exec -a kmem --" ;;
	lock) KMEM_PERCPU=lock cell "$1" lock "$library" "" ;;
	hardened) KMEM_MALLOC=hardened=on cell "$1" hardened "$library" "" ;;
	debug) KMEM_MALLOC=debug=zp cell "$1" debug "$library" "" ;;
	# The tool that replaces nothing.
	valgrind) cell "$1" valgrind "$library" "valgrind --tool=none -q --trace-children=yes" ;;
	esac
}
# What consists of parts: how each has ended, plainly and here.
tell_parts() { # VARIANT
	awk -v variant="$1" '/^part / {
		name = $2; $1 = $2 = ""; sub(/^ */, "")
		if (FILENAME == ARGV[1]) { plainly[name] = $0; next }
		if (!(name in plainly)) plainly[name] = "not run"
		if ($0 == plainly[name]) how = ($0 == "status 0") ? "passes" : "the same plainly: " $0
		else how = "DIFFERS: " $0 ", plainly " plainly[name]
		printf "# %-28s %-8s %s\n", substr(name, 1, length(name) - 1), variant, how
	}' "$work/plain.out" "$work/$1.out"
}
check() { # PROGRAM
	local plain_status plain_rss tag
	cell "$1" plain "" ""
	plain_status=$status plain_rss=$rss
	tell "$1" plain
	for tag in ${variants//,/ }; do
		[ "$tag" = exec ] && [ ! -x "$build/kmembench" ] && continue
		run_variant "$1" "$tag"
		tell "$1" "$tag"
		tell_parts "$tag"
		{
			[ "$status" -eq "$plain_status" ] || echo "status $status, not $plain_status"
			diff "$work/plain.out" "$work/$tag.out"
			grep -a "kmem: BUG" "$work/$tag.err" "$work/cell"/*.log
			grep -h grew "$work/$tag.out" | grep -v 'not grow'
			[ "$rss" -le "$(limit_of "$tag" "$plain_rss")" ] || echo "peak of $rss KiB, plainly $plain_rss"
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
	# The same library: once more is enough where it does not take long.
	if [ -z "$variants" ]; then
		[ "$scale" = all ] && variants=kmem || variants=kmem,exec
		by_variants=default
	fi
	[ ${#chosen[@]} -gt 0 ] || for name in $all_programs; do
		[ "$scale" = fast ] && [[ " $left_out_when_fast " == *" $name "* ]] && continue
		chosen+=("$name")
	done
	for name in "${chosen[@]}"; do
		missing=$("needs_$name" | head -n 1)
		if [ -n "$missing" ]; then
			number=$((number + 1))
			echo "ok $number - $name # SKIP $missing"
		elif [ -n "${by_variants-}" ] && [[ " $once_when_fast " == *" $name "* ]]; then
			variants=kmem check "$name"
		else
			check "$name"
		fi
	done
	echo "1..$number"
	[ $failures -eq 0 ]
	exit
fi
# shellcheck source=tests/malloc/real/measure.sh
. "$here/real/measure.sh"
