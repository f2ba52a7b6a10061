# SPDX-License-Identifier: MIT
# shellcheck shell=bash disable=SC2154
# real_programs.sh --measure: rounds in which every program runs under every malloc in turn.
# The ratios of a round are those of runs that were close in time; whoever is first in one
# is last in another.

libc=$(ldd "$(command -v bash)" | awk '/libc\.so/ {print $3}')
# Each as its documentation says for LD_PRELOAD; no setting that is not the default.
library_of() {
	case $1 in
	# Named, because some programs are linked with a malloc of their own (Debian's redis).
	glibc) echo "$libc" ;;
	kmem) echo "$library" ;;
	jemalloc) echo libjemalloc.so.2 ;;
	mimalloc) echo libmimalloc.so.2 ;;
	tcmalloc) echo libtcmalloc_minimal.so.4 ;;
	*/*) realpath -m "$1" ;;
	*) return 1 ;;
	esac
}
[ -x "$build/kmembench" ] || die "'$build/kmembench' writes the results, and is not built: run make"
out=$(realpath -m "$out")
rows=$out.tsv
: >"$rows" || exit 2
IFS=, read -ra names <<<"$allocators"
usable=() files=()
for name in "${names[@]}"; do
	file=$(library_of "$name") || die "unknown allocator '$name': glibc, kmem, jemalloc, mimalloc, tcmalloc or a path"
	if LD_PRELOAD=$file /bin/true 2>&1 | grep -q 'cannot be preloaded'; then
		echo "leaving out $name: '$file' is not installed" >&2
	else
		usable+=("${name##*/}")
		# The file itself, so that the results say which.
		[ "${file#/}" != "$file" ] || file=$(LD_PRELOAD=$file ldd /bin/true | awk -v f="$file" '$1 == f {print $3}')
		files+=("$(realpath "$file")")
	fi
done
wanted=()
[ ${#chosen[@]} -gt 0 ] || read -ra chosen <<<"$measured_programs"
for program in "${chosen[@]}"; do
	missing=$("needs_$program" | head -n 1)
	if [ -n "$missing" ]; then
		echo "leaving out $program: $missing" >&2
	else
		wanted+=("$program")
	fi
done
{
	echo "# date $(date -u +%Y-%m-%dT%H:%M:%S+00:00)"
	echo "# load $(cut -d ' ' -f 1-3 /proc/loadavg)"
	printf 'program\tallocator\tlibrary\trep\tstatus\twall_s\tcpu_s\tpeak_kib\tminor_faults\n'
} >"$rows"

stopped='' started=$(date +%s)
trap 'stopped=yes' INT TERM
if [ -n "$minutes" ]; then reps=9999; else reps=${reps:-6}; fi
declare -A took
# A program's runs under all mallocs are kept together or not at all: only those compare.
measure_row() { # PROGRAM ROUND
	local i k before lines=''
	before=$(date +%s)
	for ((i = 0; i < ${#usable[@]}; i++)); do
		k=$(((i + $2) % ${#usable[@]}))
		cell "$1" m "${files[k]}" ""
		[ -z "$stopped" ] || return
		lines+=$(printf '%s\t' "$1" "${usable[k]}" "${files[k]}" "$2" "$status" "$wall" "$cpu" "$rss"; echo "$faults")$'\n'
	done
	printf '%s' "$lines" >>"$rows"
	took[$1]=$(($(date +%s) - before + 1))
}
# Would it go beyond --minutes? A second for each program's table, at most.
no_time_for() { [ -n "$minutes" ] && [ $(($(date +%s) - started + ${took[$1]:-0} + 3)) -gt $((60 * minutes)) ]; }
for ((rep = 0; rep < reps && ! ${#stopped}; rep++)); do
	for program in "${wanted[@]}"; do
		no_time_for "$program" && break 2
		measure_row "$program" "$rep"
		[ -z "$stopped" ] || break
	done
	[ -n "$stopped" ] || echo "round $((rep + 1)): $(($(date +%s) - started)) s" >&2
done
trap - INT TERM
[ -z "$stopped" ] || echo "interrupted: what follows is what there is" >&2
sed -i "1i # complete $([ -z "$stopped" ] && echo true || echo false)" "$rows"
"$build/kmembench" exec --results "$rows" -o "$out" || exit
rm -f "$rows"
for metric in cpu_time rss_bytes_peak; do
	"$build/kmembench" compare --metric "$metric" "$out"
done
echo "'$out' has it all: 'kmembench plot $out' draws it" >&2
