/* SPDX-License-Identifier: MIT */
#include "workloads/harness/fresh_thread.h"

#include <pthread.h>
#include <string.h>

struct fresh_thread {
	struct worker *w;
	void (*body)(struct worker *w);
};

static void *fresh_thread_main(void *arg)
{
	const struct fresh_thread *t = arg;
	struct allocator *a = t->w->a;

	if (a->ops->thread_enter != NULL)
		a->ops->thread_enter(a);
	t->body(t->w);
	if (a->ops->thread_exit != NULL)
		a->ops->thread_exit(a);
	return NULL;
}

void fresh_thread_run(struct worker *w, void (*body)(struct worker *w))
{
	struct fresh_thread t = {w, body};
	pthread_t thread;
	int err = pthread_create(&thread, NULL, fresh_thread_main, &t);

	if (err != 0)
		worker_fail(w,
			    "cannot create a short-lived thread: %s: lower -t or raise "
			    "'ulimit -u'",
			    strerror(err));
	pthread_join(thread, NULL);
}
