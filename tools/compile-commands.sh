#!/bin/sh
# compile-commands.sh 'COMPILER FLAGS' SOURCE...: a compilation database on stdout.
command=$1
shift
dir=$(pwd)
escape() { printf '%s' "$1" | sed 's/[\\"]/\\&/g'; }
separator='['
for source in "$@"; do
	printf '%s\n{"directory": "%s", "file": "%s", "command": "%s -c %s"}' "$separator" \
		"$(escape "$dir")" "$source" "$(escape "$command")" "$source"
	separator=','
done
printf '\n]\n'
