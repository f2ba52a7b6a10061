#!/bin/sh
# install.sh [--remove] DESTDIR PREFIX BUILD VERSION: puts the program, the libraries,
# headers, pkg-config file, plots, schema and manual pages into place, or removes them.
set -eu
remove=no
[ "$1" = --remove ] && { remove=yes; shift; }
destdir=$1 prefix=$2 build=$3 version=$4
root=$destdir$prefix

put() { # MODE SOURCE TARGET
	if [ $remove = yes ]; then
		rm -f "$root/$3"
	else
		install -D -m "$1" "$2" "$root/$3"
	fi
}

put 755 "$build/kmembench" bin/kmembench
put 644 "$build/libkmem.a" lib/libkmem.a
put 755 "$build/libkmem.so" lib/libkmem.so.0
for library in libkmembench-record.so libkmem-malloc.so; do
	[ -e "$build/$library" ] || [ $remove = yes ] || continue
	put 755 "$build/$library" "lib/kmembench/$library"
done
for header in allocators/include/kmem/*.h; do
	put 644 "$header" "include/kmem/${header##*/}"
done
for script in plots/*.gp; do
	put 644 "$script" "share/kmembench/plots/${script##*/}"
done
put 644 results/schema.json share/kmembench/results/schema.json
for page in docs/man/*.1; do
	[ -e "$page" ] && put 644 "$page" "share/man/man1/${page##*/}"
done
if [ $remove = yes ]; then
	rm -f "$root/lib/libkmem.so" "$root/lib/pkgconfig/kmem.pc"
	rmdir "$root/include/kmem" "$root/share/kmembench/plots" "$root/share/kmembench/results" \
		"$root/share/kmembench" "$root/lib/kmembench" 2>/dev/null || true
	exit 0
fi
ln -sf libkmem.so.0 "$root/lib/libkmem.so"
mkdir -p "$root/lib/pkgconfig"
cat >"$root/lib/pkgconfig/kmem.pc" <<PC
prefix=$prefix
libdir=\${prefix}/lib
includedir=\${prefix}/include

Name: kmem
Description: Linux's buddy, slab and vmalloc allocators in user space
Version: $version
Requires.private: hwloc numa
Libs: -L\${libdir} -lkmem
Libs.private: -pthread
Cflags: -I\${includedir}
PC
