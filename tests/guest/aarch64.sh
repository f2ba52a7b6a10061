#!/bin/bash
# aarch64.sh [TEST...]: cross-compiles tests for aarch64 and runs them under a real arm64
# kernel in qemu (TCG: no KVM is needed), because emulation of user programs alone has no
# restartable sequences. TEST is a test's path without folder 'tests/' and suffix, by
# default those of the per-CPU caches and what stands on them. Reports in TAP; skips where
# packages are missing. Not part of 'make test': it takes minutes and downloads 90 MB.
#
# settings: GUEST_DIR=build/guest-aarch64  what is downloaded and built, kept for next time
#           GUEST_CPUS=4 GUEST_CPU=neoverse-n1 GUEST_TIMEOUT_S=3600
#           TEST_TIMEOUT_S=600              of each test in the guest
set -u
cd "$(dirname "$0")/../.." || exit 1
dir=${GUEST_DIR:-build/guest-aarch64}
cpus=${GUEST_CPUS:-4} cpu=${GUEST_CPU:-neoverse-n1} timeout_s=${GUEST_TIMEOUT_S:-3600}
test_timeout_s=${TEST_TIMEOUT_S:-600}
default_tests="os/test_cpu_mode os/test_restarts os/test_percpu os/test_magazine
 os/test_magazine_grow os/test_magazine_grow_stress os/test_magazine_stress os/test_os_mem
 buddy/test_buddy buddy/test_rows_gate
 slab/test_slab slab/test_kmalloc
 slab/test_slab_magazines slab/test_slab_stress
 malloc/test_malloc malloc/test_malloc_memory malloc/test_malloc_fork"
# These tell the mode and how many sequences were restarted; it must not be 0.
must_restart="os/test_restarts os/test_percpu os/test_magazine_stress slab/test_slab_stress"
prefix=aarch64-linux-gnu

skip() { echo "1..0 # SKIP $*"; exit 0; }
fail() { echo "aarch64.sh: $*" >&2; exit 1; }

for program in apt-get dpkg-deb cpio qemu-system-aarch64 $prefix-gcc; do
	command -v "$program" >/dev/null ||
		skip "no '$program': apt-get install qemu-system-arm gcc-aarch64-linux-gnu cpio (Debian)"
done
for test in ${*:-$default_tests}; do
	[ -f "tests/$test.c" ] || fail "no test '$test': it is a path below tests/ without its suffix"
done
mkdir -p "$dir" && dir=$(cd "$dir" && pwd) || exit 1

# --- packages of arm64, unpacked in a folder: the system's own are not touched ---
apt() {
	apt-get -q -o Dir::State="$dir/apt" -o Dir::State::status="$dir/apt/status" \
		-o Dir::Cache="$dir/apt" -o APT::Sandbox::User=root -o APT::Architecture=arm64 \
		-o APT::Architectures=arm64 -o APT::Architectures::=arm64 "$@"
}
download() {
	rm -rf "$dir/apt" "$dir/root" "$dir/kernel"
	mkdir -p "$dir/apt/lists/partial" "$dir/apt/archives/partial" "$dir/root" "$dir/kernel"
	: >"$dir/apt/status"
	apt update || return 1
	kernel=$(apt -s --no-install-recommends install linux-image-arm64 |
		sed -n 's/^Inst \(linux-image-[0-9][^ ]*\) .*/\1/p')
	(cd "$dir/kernel" && apt download "$kernel") || return 1
	apt install -y --download-only --no-install-recommends busybox-static libc6-dev libcmocka-dev \
		libhwloc-dev libnuma-dev libjansson-dev libgsl-dev || return 1
	dpkg-deb --fsys-tarfile "$dir"/kernel/*.deb | tar -x -C "$dir/kernel" ./boot || return 1
	for package in "$dir"/apt/archives/*.deb; do
		dpkg-deb -x "$package" "$dir/root" || return 1
	done
	touch "$dir/downloaded"
}
if [ ! -e "$dir/downloaded" ]; then
	download >"$dir/download.log" 2>&1 || {
		tail -n 3 "$dir/download.log" | sed 's/^/# /'
		skip "the packages for arm64 cannot be fetched: see $dir/download.log"
	}
fi

# --- tests ---
binaries=()
for test in ${*:-$default_tests}; do binaries+=("$dir/build/tests/$test"); done
export PKG_CONFIG_LIBDIR=$dir/root/usr/lib/$prefix/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dir/root
make O="$dir/build" CC=$prefix-gcc CXX=$prefix-g++ AR=$prefix-ar CFLAGS="-O2 -g --sysroot=$dir/root" \
	LDFLAGS="--sysroot=$dir/root" "${binaries[@]}" >"$dir/make.log" 2>&1 || {
	tail -n 20 "$dir/make.log" >&2
	fail "the tests do not build for aarch64: see $dir/make.log"
}

# --- a system of one file ---
init=$dir/initramfs
rm -rf "$init"
mkdir -p "$init"/{bin,lib,proc,sys,dev,tmp,tests}
cp "$dir/root/bin/busybox" "$init/bin/" || fail "$dir is incomplete: remove it"
cp -L "$dir"/root/{,usr/}lib/$prefix/*.so.[0-9]* "$init/lib/"
rm -f "$init"/lib/lib{perl,gsl,crypto,ssl,krb5,db-}*
for test in ${*:-$default_tests}; do
	mkdir -p "$init/tests/${test%/*}"
	$prefix-strip -o "$init/tests/$test" "$dir/build/tests/$test"
done
cat >"$init/init" <<EOF
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
echo "@system \$(uname -r -m), \$(nproc) CPUs"
for test in $(echo ${*:-$default_tests}); do
	echo "@begin \$test"
	LD_LIBRARY_PATH=/lib CMOCKA_MESSAGE_OUTPUT=TAP timeout $test_timeout_s "/tests/\$test" 2>&1
	echo "@end \$test \$?"
done
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
for test in ${*:-$default_tests}; do
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
