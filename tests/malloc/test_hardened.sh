#!/bin/bash
# SPDX-License-Identifier: MIT
# A program that misuses malloc, under libkmem-malloc.so with KMEM_MALLOC=hardened=on: each
# kind is reported, once, with the words it says, and does no harm. TAP.
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/malloc/preload.sh
. "$here/preload.sh" "misuse"

${CC:-cc} -std=gnu11 -O1 -g -fno-builtin -w -D_GNU_SOURCE -pthread -o misuse "$here/programs/misuse.c" || exit 1

# misuse OPTIONS KIND: exactly one report, with what the program announced.
misuse() {
	local status wanted
	KMEM_MALLOC=$1 LD_PRELOAD=$library timeout -k 5 60 ./misuse "$2" >announced 2>reports
	status=$?
	wanted=$(cat announced)
	{
		[ $status -eq 0 ] || echo "status $status"
		[ -n "$wanted" ] && grep -qF -- "$wanted" reports || echo "not reported: $wanted"
		[ "$(grep -c 'kmem: BUG' reports)" -eq 1 ] || echo "not one report"
	} >why
	[ ! -s why ] && return 0
	cat reports >>why
	return 1
}

for kind in $(./misuse --list); do
	misuse hardened=on "$kind"
	result $? "$kind"
done
for options in hardened=on,percpu=off hardened=on,debug=on hardened=on,shuffle=on; do
	for kind in $(./misuse --list); do
		misuse "$options" "$kind" || break
	done
	result $? "every kind with $options"
done
for kind in $(./misuse --list); do
	KMEM_PERCPU=lock misuse hardened=on "$kind" || break
done
result $? "every kind, arrays with locks"

# What the variant is for: by default some of this goes unnoticed.
missed=0
for kind in $(./misuse --list); do
	misuse "" "$kind" || missed=$((missed + 1))
done
echo "# by default: $missed of $(./misuse --list | wc -l) kinds are missed or seen later"
[ $missed -gt 0 ]
result $? "the program notices that the default is not hardened"

# --- KMEM_MALLOC ---
KMEM_MALLOC=hardenned=on LD_PRELOAD=$library ./misuse at_once >why 2>&1
[ $? -eq 2 ] && grep -q "kmem: KMEM_MALLOC: unknown option 'hardenned'.*hardened" why
result $? "a wrong name in KMEM_MALLOC is refused"
KMEM_MALLOC=limit=never LD_PRELOAD=$library ./misuse at_once >why 2>&1
[ $? -eq 2 ] && grep -q "kmem: KMEM_MALLOC: .*limit" why
result $? "a wrong value in KMEM_MALLOC is refused"

# --- the owner: the function of the program that called, to the instruction ---
cat >owner.c <<'E'
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
void *volatile p;
__attribute__((noinline)) void owner(void) { free(p); }
__attribute__((noinline)) void behind(void) { __asm__(""); }
__attribute__((noinline)) void maker(void) { p = malloc(64); }
__attribute__((noinline)) void behind_maker(void) { __asm__(""); }
int main(int n, char **v)
{
	maker();
	if (n > 1)
		((volatile char *)p)[64] = 1; /* found at the free: the maker is named */
	owner();
	if (n == 1)
		free(p);
	printf("%p %p\n", n > 1 ? maker : owner, n > 1 ? behind_maker : behind);
}
E
${CC:-cc} -std=gnu11 -O1 -fno-reorder-functions -fno-toplevel-reorder -fno-builtin -fno-optimize-sibling-calls -w -o owner owner.c ||
	${CC:-cc} -std=gnu11 -O1 -fno-builtin -fno-optimize-sibling-calls -w -o owner owner.c || exit 1
for overrun in "" overrun; do
	KMEM_MALLOC=hardened=on,debug=on LD_PRELOAD=$library ./owner $overrun >range 2>reports
	read -r from to <range
	user=$(sed -n 's/.*last user \(0x[0-9a-f]*\).*/\1/p' reports)
	cat range reports >why
	[ -n "$user" ] && ((user >= from && user <= to))
	result $? "the last user is the function of the program${overrun:+, after an overrun}"
done

echo "1..$number"
exit $((failures > 0))
