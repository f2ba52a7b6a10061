#!/bin/bash
# run-tests.sh TEST...: runs each test in a process of its own with a time-out and
# adds up what they report (TAP). Ends in "N passed, N failed, N skipped".
set -u
timeout_s=${TEST_TIMEOUT_S:-300}
build=${BUILD:-build}
passed=0 failed=0 skipped=0
log_dir=$build/test-logs
python=$(tools/python.sh)
mkdir -p "$log_dir"
export CMOCKA_MESSAGE_OUTPUT=TAP BUILD=$build

for test in "$@"; do
	name=${test#"$build"/}
	log=$log_dir/$(echo "$name" | tr / _).log
	start=$(date +%s.%N)
	case $test in
	*.py) timeout -k 5 "$timeout_s" "$python" "$test" >"$log" 2>&1 ;;
	/*) timeout -k 5 "$timeout_s" "$test" >"$log" 2>&1 ;;
	*) timeout -k 5 "$timeout_s" "./$test" >"$log" 2>&1 ;;
	esac
	status=$?
	seconds=$(echo "$(date +%s.%N) $start" | awk '{printf "%.1f", $1 - $2}')
	# TAP says "ok N # SKIP"; cmocka writes "not ok N # SKIP".
	ok=$(grep -cE '^\s*ok [0-9]+|^\s*not ok [0-9]+ # SKIP' "$log")
	skip=$(grep -cE '^\s*(not )?ok [0-9]+.*# SKIP' "$log")
	bad=$(grep -E '^\s*not ok [0-9]+' "$log" | grep -vcE '^\s*not ok [0-9]+ # SKIP')
	# A crash, a time-out or a leak report is a failure even if no line says so.
	if [ $status -ne 0 ] && [ "$bad" -eq 0 ]; then
		bad=1
	elif [ $status -eq 0 ] && [ $((ok + bad)) -eq 0 ]; then
		bad=1
		echo "reported no test" >>"$log"
	fi
	passed=$((passed + ok - skip)) failed=$((failed + bad)) skipped=$((skipped + skip))
	if [ "$bad" -ne 0 ]; then
		reason="exit status $status"
		[ $status -eq 124 ] && reason="no end after $timeout_s s"
		printf 'FAIL %-44s %4d ok, %d failed (%s), %s s\n' "$name" "$ok" "$bad" "$reason" "$seconds"
		grep -vE '^\s*ok ' "$log" | tail -n 40 | sed 's/^/     | /'
	else
		printf 'ok   %-44s %4d ok, %d skipped, %s s\n' "$name" $((ok - skip)) "$skip" "$seconds"
	fi
done

echo
printf '%d passed, %d failed' "$passed" "$failed"
[ "$skipped" -ne 0 ] && printf ', %d skipped' "$skipped"
echo
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
