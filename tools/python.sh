#!/bin/sh
# python.sh: names a Python that has jsonschema. The one that comes first in PATH may be a
# user's own, which does not see Debian's packages.
for python in python3 /usr/bin/python3; do
	if "$python" -c 'import jsonschema' 2>/dev/null; then
		echo "$python"
		exit 0
	fi
done
echo python3
