/* SPDX-License-Identifier: MIT */
/*
 * deny ERRNO SYSCALL[,SYSCALL...] PROGRAM [ARGUMENT...]: the program finds that these
 * calls fail with that number: an older kernel, or a sandbox.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct {
	const char *name;
	unsigned int nr;
} known[] = {
	{"membarrier", SYS_membarrier},
	{"rseq", SYS_rseq},
	{"madvise", SYS_madvise},
	{"mremap", SYS_mremap},
	{"sched_getaffinity", SYS_sched_getaffinity},
	{"sysinfo", SYS_sysinfo},
	{"prlimit64", SYS_prlimit64},
	{"openat", SYS_openat},
	{"getcpu", SYS_getcpu},
	{"clone", SYS_clone},
	{"clone3", SYS_clone3},
};
enum { NR_KNOWN = sizeof(known) / sizeof(known[0]) };

static void deny(const char *name, unsigned int number)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | number),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {.len = 4, .filter = filter};
	int i = 0;

	while (i < NR_KNOWN && strcmp(known[i].name, name) != 0)
		i++;
	if (i == NR_KNOWN) {
		fprintf(stderr, "deny: unknown system call '%s'\n", name);
		exit(2);
	}
	filter[1].k = known[i].nr;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
		perror("deny: seccomp");
		exit(77);
	}
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fputs("usage: deny ERRNO SYSCALL,... PROGRAM [ARGUMENT...]\n", stderr);
		return 2;
	}
	for (char *name = strtok(argv[2], ","); name != NULL; name = strtok(NULL, ","))
		deny(name, (unsigned int)atoi(argv[1]));
	execvp(argv[3], argv + 3);
	perror("deny: exec");
	return 127;
}
