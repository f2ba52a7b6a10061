#!/bin/bash
# check.sh: the checks that need no test run: format, layers, headers that compile
# alone, results against the schema, the documents' references. CC, FLAGS and BUILD come
# from the Makefile.
set -u
git rev-parse --is-inside-work-tree >/dev/null 2>&1 ||
	{ echo "check: no git checkout: git says which files there are" >&2; exit 1; }
failures=0
complain() { echo "check: $*" >&2; failures=$((failures + 1)); }
# Files that are there: tracked ones, and new ones that are not ignored.
files() {
	git ls-files --cached --others --exclude-standard "$@" | sort -u |
		while read -r file; do [ -e "$file" ] && echo "$file"; done
}

# 1. Format.
mapfile -t sources < <(files '*.c' '*.h' '*.cc')
if command -v clang-format >/dev/null 2>&1; then
	unformatted=$(printf '%s\n' "${sources[@]}" | xargs -P "$(nproc)" -n 16 clang-format --dry-run 2>&1 |
		grep -oE '^[^:]+:[0-9]+' | cut -d: -f1 | sort -u)
	for file in $unformatted; do complain "$file is not formatted: run 'make format'"; done
else
	echo "check: clang-format is missing, format not checked (package clang-format)" >&2
fi

# 2. Layers: no include points upwards. Position in this list is the layer.
order=(allocators/core allocators/os allocators/phys allocators/buddy allocators/slab
	allocators/vmalloc allocators/malloc allocators/peers workloads bench)
layer_of() {
	local i
	for i in "${!order[@]}"; do
		case $1 in "${order[$i]}"/*) echo "$i"; return ;; esac
	done
	echo -1
}
# Public headers: the layer that implements them.
public_layer_of() {
	case $1 in
	compiler.h | error.h | options.h | gfp.h | allocator.h) echo 0 ;;
	mm_types.h | phys.h) echo 2 ;;
	page_alloc.h | reclaim.h) echo 3 ;;
	slab.h | mempool.h) echo 4 ;;
	vmalloc.h) echo 5 ;;
	malloc.h) echo 6 ;;
	*) echo -1 ;;
	esac
}
for file in "${sources[@]}"; do
	case $file in tests/* | *_ops.c | allocators/include/*) continue ;; esac
	own=$(layer_of "$file")
	[ "$own" -lt 0 ] && { complain "$file lies in no layer: name its folder in tools/check.sh"; continue; }
	while read -r included; do
		case $included in
		kmem/*) layer=$(public_layer_of "${included#kmem/}") ;;
		*) layer=$(layer_of "$included") ;;
		esac
		[ "$layer" -gt "$own" ] && complain "$file includes $included, which lies above it"
	done < <(sed -nE 's/^#\s*include\s+[<"]((kmem|allocators|workloads|bench)\/[^>"]+)[>"].*/\1/p' "$file")
done

# 3. Every header compiles alone, in C (the shim's in C++ too).
alone() {
	printf '#include "%s"\n' "${1#allocators/include/}" |
		$CC $FLAGS -x c -fsyntax-only - 2>&1 | sed "s|^|$1: |"
	return "${PIPESTATUS[1]}"
}
export -f alone
export CC FLAGS
while read -r header; do
	[ -n "$header" ] && complain "$header does not compile alone"
done < <(files '*.h' | xargs -P "$(nproc)" -I{} bash -c 'alone {} >/dev/null || echo {}')
printf '#include "bench/gbench_shim.h"\n' | g++ -I. -x c++ -fsyntax-only - ||
	complain "bench/gbench_shim.h does not compile as C++"

# 4. Only the shim is C++, and programs that tests run.
for file in $(files '*.cc' '*.cpp' '*.cxx'); do
	case $file in
	bench/gbench_shim.cc | tests/*/programs/*) ;;
	*) complain "$file: the only C++ file is bench/gbench_shim.cc" ;;
	esac
done

# 5. Real results match the schema.
python=$(tools/python.sh)
if "$python" -c 'import jsonschema' 2>/dev/null; then
	results=$(mktemp --suffix=.json)
	trap 'rm -f "$results"' EXIT
	if "$BUILD/kmembench" run -q -a null,glibc -w pair -s 64 --reps 1 --time 0.002 -o "$results" >/dev/null; then
		"$python" tools/validate.py results/schema.json "$results" || complain "results do not match results/schema.json"
	else
		complain "a small run failed, so no results could be checked"
	fi
	for file in $(files 'results/curated/*.json'); do
		"$python" tools/validate.py results/schema.json "$file" || complain "$file does not match results/schema.json"
	done
else
	echo "check: results not checked against the schema (package python3-jsonschema)" >&2
fi

# 6. What documents and comments name is there.
while read -r missing; do complain "$missing"; done < <("$python" tools/check-docs.py . "$BUILD/kmembench" 2>&1)

[ $failures -eq 0 ] && echo "check: all is well"
exit $((failures != 0))
