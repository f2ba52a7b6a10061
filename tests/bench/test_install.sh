#!/bin/bash
# Installs below a temporary DESTDIR, builds a program against the library through
# pkg-config, draws plots from the installed place, removes everything again. TAP.
set -u
build=$(realpath "${BUILD:-build}")
cd "$(dirname "$0")/../.."
count=0 failed=0
check() { # NAME STATUS
	count=$((count + 1))
	if [ "$2" -eq 0 ]; then echo "ok $count - $1"; else
		echo "not ok $count - $1"
		failed=1
	fi
}

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
tools/install.sh "$root" /opt/kmem "$build" 0.1.0
check "install" $?
[ -x "$root/opt/kmem/bin/kmembench" ] && [ -e "$root/opt/kmem/lib/libkmem.a" ] &&
	[ -L "$root/opt/kmem/lib/libkmem.so" ] && [ -e "$root/opt/kmem/include/kmem/slab.h" ]
check "program, libraries and headers are there" $?

if nm "$build/libkmem.a" 2>/dev/null | grep -qE '__(asan|tsan)_'; then
	echo "ok $((++count)) - pkg-config # SKIP this build has a sanitizer"
else
	# The README's own.
	sed -n '/^```c$/,/^```$/p' README.md | sed '1d;$d' >"$root/demo.c"
	export PKG_CONFIG_PATH=$root/opt/kmem/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root
	cc -o "$root/demo" "$root/demo.c" $(pkg-config --cflags --libs kmem) 2>&1 | sed 's/^/# /'
	out=$(LD_LIBRARY_PATH=$root/opt/kmem/lib "$root/demo")
	[ "$out" = "from libkmem" ]
	check "a program builds and runs with the shared library" $?
	cc -o "$root/demo" "$root/demo.c" $(pkg-config --cflags kmem) "$root/opt/kmem/lib/libkmem.a" \
		-lhwloc -lnuma -pthread 2>&1 | sed 's/^/# /'
	out=$("$root/demo")
	[ "$out" = "from libkmem" ]
	check "and with the static one" $?
fi

bench=$root/opt/kmem/bin/kmembench
"$bench" run -q -a null,glibc -w pair -s 16,64 --reps 1 --time 0.002 -o "$root/r.json" >/dev/null 2>&1 &&
	"$bench" plot "$root/r.json" -o "$root/p" >/dev/null 2>"$root/err"
status=$?
sed 's/^/# /' "$root/err"
check "the installed program runs and draws" $status
"$bench" record -o "$root/t.kmt" -- /bin/ls / >/dev/null 2>"$root/err"
check "the installed recorder is found" $?

tools/install.sh --remove "$root" /opt/kmem "$build" 0.1.0
left=$(find "$root/opt" -type f -o -type l)
[ -z "$left" ]
check "uninstall leaves no file" $?
echo "1..$count"
exit $failed
