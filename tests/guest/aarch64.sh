#!/bin/bash
# aarch64.sh [TEST...]: cross-compiles tests for aarch64 and runs them under a real arm64
# kernel in qemu (TCG: no KVM is needed), because emulation of user programs alone has no
# restartable sequences. TEST is a test's path without folder 'tests/' and suffix, or a
# program: 'crowd' (C++ threads) and 'unusual' under libkmem-malloc.so, 'kmembench' (short
# runs). By default all of these, and the tests of what stands on sequences. Reports in
# TAP; skips where packages are missing. Not part of 'make test': it takes half an hour
# and downloads 100 MB.
#
# settings: GUEST_DIR=build/guest-aarch64  what is downloaded and built, kept for next time
#           GUEST_CPUS=4 GUEST_CPU=neoverse-n1 GUEST_TIMEOUT_S=5400
#           TEST_TIMEOUT_S=900             of each test in the guest
#           KMEM_SOAK_OPS=200000           of the soak tests
set -u
cd "$(dirname "$0")/../.." || exit 1
dir=${GUEST_DIR:-build/guest-aarch64}
cpus=${GUEST_CPUS:-4} cpu=${GUEST_CPU:-neoverse-n1} timeout_s=${GUEST_TIMEOUT_S:-5400}
test_timeout_s=${TEST_TIMEOUT_S:-900}
soak_ops=${KMEM_SOAK_OPS:-200000}
default_tests="os/test_cpu_mode os/test_restarts os/test_percpu os/test_magazine
 os/test_magazine_grow os/test_magazine_grow_stress os/test_magazine_stress os/test_os_mem
 buddy/test_buddy buddy/test_rows_gate buddy/test_credit buddy/test_buddy_double
 buddy/test_buddy_threads buddy/test_buddy_soak
 slab/test_slab slab/test_kmalloc slab/test_slab_magazines slab/test_slab_stress
 slab/test_slab_soak
 malloc/test_malloc malloc/test_malloc_memory malloc/test_malloc_fork malloc/test_malloc_spans
 malloc/test_malloc_spans_check malloc/test_malloc_spans_race malloc/test_malloc_grow
 crowd unusual kmembench"
# These tell the mode and how many sequences were restarted; it must not be 0.
must_restart="os/test_restarts os/test_percpu os/test_magazine_grow_stress
 os/test_magazine_stress buddy/test_buddy_threads buddy/test_buddy_soak slab/test_slab_stress
 slab/test_slab_soak"
chosen=$(echo ${*:-$default_tests})
prefix=aarch64-linux-gnu

skip() { echo "1..0 # SKIP $*"; exit 0; }
fail() { echo "aarch64.sh: $*" >&2; exit 1; }

# What each test builds, and the command that runs it in the guest.
target_of() {
	case $1 in
	crowd | unusual) echo "$dir/build/libkmem-malloc.so" ;;
	kmembench) echo "$dir/build/kmembench" ;;
	*) echo "$dir/build/tests/$1" ;;
	esac
}
command_of() {
	case $1 in
	crowd) echo "LD_PRELOAD=/tests/libkmem-malloc.so /tests/crowd 1" ;;
	unusual) for name in $unusual_tests; do
		options=
		[ "$name" = killed_for_other_calls ] && options="KMEM_MALLOC=background=off "
		echo "echo '# $name'; ${options}LD_PRELOAD=/tests/libkmem-malloc.so /tests/unusual $name || exit"
	done ;;
	kmembench) echo "/tests/kmembench run -a slab,kmem -w pair,batch --reps 1 --time 0.005 -q &&
		/tests/kmembench run -a buddy -w page-repeat,page-bulk --reps 1 --time 0.005 -q" ;;
	*) echo "/tests/$1" ;;
	esac
}
# Those of unusual.c that need little of a system and finish in some minutes there.
unusual_tests="aligned_and_full realloc_ways errno_kept thread_ends fork_in_threads moved_about
 killed_for_other_calls refused_other_calls"

for program in apt-get dpkg-deb cpio qemu-system-aarch64 $prefix-gcc $prefix-g++; do
	command -v "$program" >/dev/null ||
		skip "no '$program': apt-get install qemu-system-arm g++-aarch64-linux-gnu cpio (Debian)"
done
for test in $chosen; do
	case $test in crowd | unusual | kmembench) continue ;; esac
	[ -f "tests/$test.c" ] ||
		fail "no test '$test': it is crowd, unusual, kmembench, or a path below tests/ without its suffix"
done
mkdir -p "$dir" && dir=$(cd "$dir" && pwd) || exit 1

# --- packages of arm64, unpacked in a folder: the system's own are not touched ---
apt() {
	apt-get -q -o Dir::State="$dir/apt" -o Dir::State::status="$dir/apt/status" \
		-o Dir::Cache="$dir/apt" -o APT::Sandbox::User=root -o APT::Architecture=arm64 \
		-o APT::Architectures=arm64 -o APT::Architectures::=arm64 "$@"
}
packages="busybox-static libc6-dev libcmocka-dev libhwloc-dev libnuma-dev libjansson-dev libgsl-dev
 libinih-dev libbenchmark-dev"
download() {
	rm -rf "$dir/apt" "$dir/root" "$dir/kernel"
	mkdir -p "$dir/apt/lists/partial" "$dir/apt/archives/partial" "$dir/root" "$dir/kernel"
	: >"$dir/apt/status"
	apt update || return 1
	kernel=$(apt -s --no-install-recommends install linux-image-arm64 |
		sed -n 's/^Inst \(linux-image-[0-9][^ ]*\) .*/\1/p')
	(cd "$dir/kernel" && apt download "$kernel") || return 1
	# shellcheck disable=SC2086
	apt install -y --download-only --no-install-recommends $packages || return 1
	dpkg-deb --fsys-tarfile "$dir"/kernel/*.deb | tar -x -C "$dir/kernel" ./boot || return 1
	for package in "$dir"/apt/archives/*.deb; do
		dpkg-deb -x "$package" "$dir/root" || return 1
	done
	echo "$packages" >"$dir/downloaded"
}
if [ "$(cat "$dir/downloaded" 2>/dev/null)" != "$packages" ]; then
	download >"$dir/download.log" 2>&1 || {
		tail -n 3 "$dir/download.log" | sed 's/^/# /'
		skip "the packages for arm64 cannot be fetched: see $dir/download.log"
	}
fi

# --- tests ---
targets=()
for test in $chosen; do targets+=("$(target_of "$test")"); done
export PKG_CONFIG_LIBDIR=$dir/root/usr/lib/$prefix/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dir/root
make O="$dir/build" CC=$prefix-gcc CXX=$prefix-g++ AR=$prefix-ar CFLAGS="-O2 -g --sysroot=$dir/root" \
	LDFLAGS="--sysroot=$dir/root" "${targets[@]}" >"$dir/make.log" 2>&1 || {
	tail -n 20 "$dir/make.log" >&2
	fail "the tests do not build for aarch64: see $dir/make.log"
}

cross() { # COMPILER OUTPUT ARGUMENT...: what is none of the Makefile's
	"$prefix-$1" -O1 -g -fno-builtin -D_GNU_SOURCE -pthread --sysroot="$dir/root" -o "$dir/build/$2" "${@:3}" -ldl ||
		fail "'$2' does not build for aarch64"
}
case " $chosen " in *" crowd "*) cross g++ crowd -std=gnu++17 tests/malloc/programs/crowd.cc ;; esac
case " $chosen " in *" unusual "*) cross gcc unusual -std=gnu11 tests/malloc/programs/unusual*.c ;; esac

# --- a system of one file ---
init=$dir/initramfs
rm -rf "$init"
mkdir -p "$init"/{bin,lib,proc,sys,dev,tmp,tests}
cp "$dir/root/bin/busybox" "$init/bin/" || fail "$dir is incomplete: remove it"
cp -L "$dir"/root/{,usr/}lib/$prefix/*.so.[0-9]* "$init/lib/"
rm -f "$init"/lib/lib{perl,crypto,ssl,krb5,db-}*
for test in $chosen; do
	for file in "$(target_of "$test")" "$dir/build/$test"; do
		[ -f "$file" ] || continue
		name=${file#"$dir/build/"}
		name=${name#tests/}
		mkdir -p "$(dirname "$init/tests/$name")"
		$prefix-strip -o "$init/tests/$name" "$file"
	done
done
script() { # runs in the guest
	for test in $chosen; do
		printf 'echo "@begin %s"\ncat >/tmp/test <<"END"\n%s\nEND\n' "$test" "$(command_of "$test")"
		printf 'timeout %s sh /tmp/test 2>&1\necho "@end %s $?"\n' "$test_timeout_s" "$test"
	done
}
cat >"$init/init" <<EOF
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
echo "@system \$(uname -r -m), \$(nproc) CPUs"
export LD_LIBRARY_PATH=/lib CMOCKA_MESSAGE_OUTPUT=TAP KMEM_SOAK_OPS=$soak_ops
$(script)
poweroff -f
EOF
chmod +x "$init/init"
(cd "$init" && find . | cpio -o -H newc --quiet | gzip -1) >"$dir/initrd.gz"
timeout "$timeout_s" qemu-system-aarch64 -M virt -cpu "$cpu" -accel tcg,thread=multi -smp "$cpus" \
	-m 2G -nographic -no-reboot -nic none -kernel "$dir"/kernel/boot/vmlinuz-* \
	-initrd "$dir/initrd.gz" -append "console=ttyAMA0 quiet panic=-1" </dev/null >"$dir/console.log" 2>&1
tr -d '\r' <"$dir/console.log" >"$dir/guest.log"

# --- what came out ---
sed -n 's/^@system /# guest: /p' "$dir/guest.log"
number=0 failures=0
for test in $chosen; do
	number=$((number + 1)) why=
	log=$(sed -n "\\|^@begin $test\$|,\\|^@end $test |p" "$dir/guest.log")
	status=$(printf '%s\n' "$log" | sed -n 's/^@end .* //p')
	mode=$(printf '%s\n' "$log" | sed -n 's/^# percpu: //p' | tail -n 1)
	[ "$status" = 0 ] || why="exit status ${status:-none: the guest stopped before}"
	case " $(echo $must_restart) " in
	*" $test "*)
		case $mode in
		"rseq, 0 "* | lock* | "") why="${why:-no sequence was restarted}" ;;
		esac
		;;
	esac
	if [ -z "$why" ]; then
		echo "ok $number $test${mode:+ ($mode)}"
	else
		failures=$((failures + 1))
		echo "not ok $number $test: $why${mode:+ ($mode)}"
		printf '%s\n' "$log" | grep -v '^ok ' | tail -n 20 | sed 's/^/# /'
	fi
done
echo "1..$number"
[ $failures -eq 0 ]
