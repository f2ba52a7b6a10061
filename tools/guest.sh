#!/bin/bash
# guest.sh: the NUMA parts on a real kernel with four nodes, in an emulated machine.
#
#   tools/guest.sh BUILD [VMLINUZ]     BUILD: the folder with libkmem.a
#
# Needs qemu-system-x86_64, busybox (static), cpio and a kernel image with NUMA, such as
# Debian's (package linux-image-amd64; `dpkg -x` is enough). With BUILD/kmembench the NUMA
# workloads run there, too, on nodes that are the machine's for every allocator. What is missing is named, and
# the script ends with 77: skipped. Timing means nothing here; placement, order of fallback
# and counts are exact.
set -eu
build=${1:?usage: tools/guest.sh BUILD [VMLINUZ]}
kernel=${2:-$(ls /boot/vmlinuz-* 2>/dev/null | tail -n 1)}
timeout_s=${GUEST_TIMEOUT_S:-300}

skip() { echo "guest: skipped: $*" >&2; exit 77; }
for program in qemu-system-x86_64 cpio busybox; do
	command -v "$program" >/dev/null || skip "$program is missing (packages qemu-system-x86, cpio, busybox-static)"
done
[ -r "$kernel" ] || skip "no kernel image: give its path, for instance from 'apt-get download' of a linux-image package and 'dpkg -x'"
[ -r "$build/libkmem.a" ] || skip "$build/libkmem.a is not built: run 'make' first"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root
mkdir -p "$root"/{bin,proc,sys,dev,tmp,lib,lib64}
${CC:-gcc} -O2 -D_GNU_SOURCE -Iallocators/include -o "$root/bin/numa_guest" tests/guest/numa_guest.c \
	"$build/libkmem.a" $(pkg-config --libs hwloc numa) -pthread
cp "$(command -v busybox)" "$root/bin/busybox"
[ ! -x "$build/kmembench" ] || cp "$build/kmembench" "$root/bin/kmembench"
# The program's libraries under their own paths, the dynamic linker among them.
for program in "$root"/bin/numa_guest "$root"/bin/kmembench; do
	[ ! -x "$program" ] || ldd "$program"
done | grep -oE '/[^ )]+' | while read -r library; do
	mkdir -p "$root$(dirname "$library")"
	cp -L "$library" "$root$library"
done
cat > "$root/init" <<'EOF'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox mount -t tmpfs tmp /tmp
/bin/numa_guest
echo "guest: exit $?"
cd /tmp
run() { # allocators, workload, options; and what the results say of nodes
	allocators=$1 workload=$2; shift 2
	/bin/kmembench run -a "$allocators" -w "$workload" "$@" -o r.json --reps 1 --time 0.01 \
		--latency-time 0.01 --memory-time 0 -q > /dev/null || echo "RUN FAILED $workload"
	/bin/busybox grep -oE '"(run_name|[a-z_]*_ratio|frames_[a-z]*|simulated|order)": *(\[[^]]*\]|[^,}]*)' r.json
}
own=memory=128M,dma=0,highmem=0,backing=private,kswapd=off
if [ -x /bin/kmembench ]; then
	run "buddy:$own,slab:$own,glibc,mmap" numa-fallback -p policy=preferred -p node_bytes=160M -p fill_percent=150 -p steps=32 -s 64K
	run "buddy:$own,slab:$own,glibc" numa-pass -s 4K
	echo "RUN END"
fi
/bin/busybox poweroff -f
EOF
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) > "$work/initrd"

memory=() nodes=()
for n in 0 1 2 3; do
	memory+=(-object "memory-backend-ram,size=256M,id=m$n")
	nodes+=(-numa "node,nodeid=$n,cpus=$n,memdev=m$n")
done
for distance in 0,1,16 0,2,32 0,3,33 1,2,25 1,3,32 2,3,16; do
	IFS=, read -r src dst val <<< "$distance"
	nodes+=(-numa "dist,src=$src,dst=$dst,val=$val")
done
timeout "$timeout_s" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 4 -m 1G \
	-nographic -no-reboot "${memory[@]}" "${nodes[@]}" -kernel "$kernel" -initrd "$work/initrd" \
	-append "console=ttyS0 quiet panic=-1 tsc=reliable" < /dev/null | tr -d '\r' | tee "$work/log"
grep -q 'GUEST PASSED' "$work/log"
[ ! -x "$build/kmembench" ] || { grep -q 'RUN END' "$work/log" && ! grep -q 'RUN FAILED' "$work/log"; }
