/* SPDX-License-Identifier: MIT */
/* Putting a library under a program by LD_PRELOAD, for `record` and `exec`. */
#ifndef KMEMBENCH_PRELOAD_H
#define KMEMBENCH_PRELOAD_H

#include <kmem/compiler.h>

/*
 * Puts the library (a path, or a name the dynamic linker knows) in front of this
 * process's LD_PRELOAD; what was there stays behind it. 0, or -EINVAL with a text
 * when the dynamic linker could not take the path apart again.
 */
int preload_prepend(const char *library);

/*
 * 0 when a file is a shared object of this machine's kind that can be preloaded;
 * -errno with a text otherwise: the dynamic linker would only warn and run the
 * program without it.
 */
int preload_check_library(const char *path);

/*
 * 0 when the program (looked up in PATH as execvp() does) can have a library
 * preloaded, as far as its file shows; -ENOTSUP with a text when it is statically
 * linked, of another word size, or gains privileges when it starts. A script
 * passes: its interpreter decides. A program that is not found passes too:
 * starting it says so better.
 */
int preload_check_program(const char *name);

#endif /* KMEMBENCH_PRELOAD_H */
