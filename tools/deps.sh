#!/bin/sh
# deps.sh [--if-missing] [--tests]: installs the Debian packages that the project
# uses. With --if-missing it is silent and does nothing when nothing is missing.
set -eu
build="gcc g++ make pkg-config git libbenchmark-dev libhwloc-dev libnuma-dev libjansson-dev
 libgsl-dev libinih-dev gnuplot-nox fonts-dejavu-core sqlite3 libjemalloc2 libmimalloc2.0
 libtcmalloc-minimal4"
tests="libcmocka-dev redis-tools libbenchmark-tools clang clang-format libclang-rt-14-dev python3 python3-jsonschema valgrind"

quiet=no packages=$build
for arg in "$@"; do
	case $arg in
	--if-missing) quiet=yes ;;
	--tests) packages="$build $tests" ;;
	*) echo "deps.sh: unknown argument '$arg': it takes --if-missing and --tests" >&2; exit 2 ;;
	esac
done

installed() {
	[ "$(dpkg-query -W -f '${Status}' "$1" 2>/dev/null)" = "install ok installed" ]
}

if ! command -v dpkg-query >/dev/null 2>&1; then
	[ $quiet = yes ] && exit 0 # not Debian: the build says what it cannot find
	echo "deps.sh: this is not a Debian system; install the equivalents of:" $packages >&2
	exit 1
fi
missing=""
for package in $packages; do
	installed "$package" || missing="$missing $package"
done
if [ -z "$missing" ]; then
	[ $quiet = yes ] || echo "all dependencies are installed"
	exit 0
fi

echo "installing:$missing"
as_root=""
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null 2>&1 || {
		echo "deps.sh: not root and no sudo; as root run: apt-get install$missing" >&2
		exit 1
	}
	as_root=sudo
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { $as_root apt-get -q update && $as_root apt-get -q install -y --no-install-recommends $missing; } >"$log" 2>&1; then
	tail -n 20 "$log" >&2
	echo "deps.sh: cannot install the packages above: see apt-get's messages" >&2
	exit 1
fi
