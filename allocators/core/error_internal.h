/* SPDX-License-Identifier: MIT */
#ifndef KMEM_ERROR_INTERNAL_H
#define KMEM_ERROR_INTERNAL_H

/* Around fork(2), as the last lock: the bug handler and its argument stay a pair. */
void kmem_bug_fork_lock(void);
void kmem_bug_fork_unlock(void);

#endif /* KMEM_ERROR_INTERNAL_H */
