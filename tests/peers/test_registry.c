/* SPDX-License-Identifier: MIT */
/* The registry: what is refused and why, look-up, order, instances from specifications.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "allocators/peers/skeleton.h"
#include <kmem/error.h>

/* A complete one; tests take copies and remove something. Names live on in the registry.
 */
static struct allocator_ops complete(const char *name)
{
	struct allocator_ops ops = skeleton_ops;

	ops.name = name;
	return ops;
}

#define REFUSED(ops_, message_)                                         \
	do {                                                            \
		assert_int_equal(allocator_register(&(ops_)), -EINVAL); \
		assert_string_equal(kmem_last_error(), message_);       \
	} while (0)

static void required_hooks_are_named(void **state)
{
	struct allocator_ops ops;

	(void)state;
	ops = complete("x");
	ops.create = NULL;
	REFUSED(ops, "allocator 'x' lacks the required hook 'create'");
	ops = complete("x");
	ops.destroy = NULL;
	REFUSED(ops, "allocator 'x' lacks the required hook 'destroy'");
	ops = complete("x");
	ops.alloc = NULL;
	REFUSED(ops, "allocator 'x' lacks the required hook 'alloc'");
	ops = complete("x");
	ops.free = NULL;
	REFUSED(ops, "allocator 'x' lacks the required hook 'free'");
	ops = complete("x");
	ops.description = NULL;
	REFUSED(ops, "allocator 'x' lacks its description");
	ops = complete(NULL);
	REFUSED(ops, "an allocator lacks its name");
}

static void capabilities_imply_hooks(void **state)
{
	struct allocator_ops ops;

	(void)state;
	ops = complete("x");
	ops.alloc_bulk = NULL;
	REFUSED(ops, "allocator 'x' claims 'bulk' but lacks the hook 'alloc_bulk'");
	ops = complete("x");
	ops.free_bulk = NULL;
	REFUSED(ops, "allocator 'x' claims 'bulk' but lacks the hook 'free_bulk'");
	ops = complete("x");
	ops.stats = NULL;
	REFUSED(ops, "allocator 'x' claims 'stats' but lacks the hook 'stats'");
	ops = complete("x");
	ops.trim = NULL;
	REFUSED(ops, "allocator 'x' claims 'trim' but lacks the hook 'trim'");
	ops = complete("x");
	ops.caps |= CAP_USABLE_SIZE;
	REFUSED(ops,
		"allocator 'x' claims 'usable-size' but lacks the hook 'usable_size'");
}

static void other_mistakes_are_named(void **state)
{
	static const struct kmem_option broken[] = {
		{.name = "n", .type = KMEM_OPT_UINT, .offset = 0, .initial = "many"},
		KMEM_OPTION_END,
	};
	static const struct kmem_option_group broken_group[] = {{broken, 0}, {NULL, 0}};
	struct allocator_ops ops;

	(void)state;
	ops = complete("x");
	ops.abi_version = 99;
	REFUSED(ops,
		"allocator 'x' was built for version 99 of the hooks, this program has "
		"version 1: rebuild it");
	ops = complete("x");
	ops.caps &= ~(uint64_t)CAP_OBJECT;
	REFUSED(ops,
		"allocator 'x' serves no level: claim CAP_OBJECT, CAP_PAGE or CAP_VRANGE");
	ops = complete("x");
	ops.caps |= (uint64_t)1 << 40;
	REFUSED(ops, "allocator 'x' claims unknown capabilities 0x10000000000");
	ops = complete("x");
	ops.config_size = 0;
	REFUSED(ops, "allocator 'x' must set both or none of options and config_size");
	ops = complete("x");
	ops.options = broken_group;
	ops.config_size = sizeof(uint64_t);
	REFUSED(ops,
		"allocator 'x': option 'n' cannot be 'many': it takes a whole number");
	ops = complete("x:y");
	REFUSED(ops,
		"'x:y' cannot name an allocator: write letters, digits, '-', '_' or '.', 63 "
		"at most");
	assert_null(allocator_find("x"));
}

static void a_name_is_registered_once(void **state)
{
	struct allocator_ops ops = complete("glibc");

	(void)state;
	assert_int_equal(allocator_register(&ops), -EEXIST);
	assert_string_equal(
		kmem_last_error(),
		"an allocator 'glibc' is already registered: choose another name");
}

static void floors_come_first_then_names_in_order(void **state)
{
	const struct allocator_ops *ops;
	size_t n;

	(void)state;
	assert_string_equal(allocator_at(0)->name, "null");
	assert_string_equal(allocator_at(1)->name, "bump");
	assert_string_equal(allocator_at(2)->name, "freelist");
	for (n = 4; (ops = allocator_at(n)) != NULL; n++)
		assert_true(strcmp(allocator_at(n - 1)->name, ops->name) < 0);
	assert_null(allocator_at(n + 1));
	assert_true(n >= 8);
}

static void every_allocator_is_found_by_name(void **state)
{
	static const char *const names[] = {"null",  "bump",	 "freelist", "mmap",
					    "glibc", "jemalloc", "mimalloc", "tcmalloc"};

	(void)state;
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(names); i++) {
		const struct allocator_ops *ops = allocator_find(names[i]);

		assert_non_null(ops);
		assert_string_equal(ops->name, names[i]);
	}
}

static void unknown_names_get_a_proposal(void **state)
{
	(void)state;
	assert_null(allocator_find("jemaloc"));
	assert_non_null(strstr(kmem_last_error(),
			       "unknown allocator 'jemaloc': did you mean "
			       "'jemalloc'? known are null, bump, freelist, "));
	assert_null(allocator_find("postgres"));
	assert_non_null(
		strstr(kmem_last_error(),
		       "unknown allocator 'postgres': known are null, bump, freelist, "));
}

static void capability_bits_have_names(void **state)
{
	unsigned int bit = 0;

	(void)state;
	assert_string_equal(allocator_capability_name(0), "object");
	assert_string_equal(allocator_capability_name(7), "usable-size");
	assert_string_equal(allocator_capability_name(12), "remote-free");
	while (allocator_capability_name(bit) != NULL)
		bit++;
	assert_int_equal(bit, 13);
}

/* --- specifications --- */

static void specifications_are_checked(void **state)
{
	const struct allocator_ops *ops = NULL;

	(void)state;
	assert_int_equal(allocator_spec_check("bump:region_bytes=1M", &ops), 0);
	assert_string_equal(ops->name, "bump");
	assert_int_equal(allocator_spec_check("bump:", NULL), 0);
	assert_int_equal(allocator_spec_check("bump:region=1M", NULL), -EINVAL);
	assert_string_equal(kmem_last_error(),
			    "allocator 'bump': unknown option 'region': did you "
			    "mean 'region_bytes'? known are region_bytes");
	assert_int_equal(allocator_spec_check("null:a=1", NULL), -EINVAL);
	assert_string_equal(kmem_last_error(),
			    "allocator 'null' has no options: leave out ':a=1'");
	assert_int_equal(allocator_spec_check(":a=1", NULL), -EINVAL);
	assert_string_equal(kmem_last_error(),
			    "':a=1' names no allocator: write NAME or NAME:option=value");
	assert_int_equal(allocator_spec_check("bmp", NULL), -EINVAL);
}

static const void *seen_config;
static bool fail_create;

static struct allocator *remember_config(const struct allocator_ops *ops,
					 const void *config,
					 const struct allocator_env *env)
{
	seen_config = config;
	if (fail_create) {
		kmem_error(-ENOMEM, "as asked");
		return NULL;
	}
	return skeleton_ops.create(ops, config, env);
}

static void an_instance_keeps_its_configuration(void **state)
{
	static struct allocator_ops ops;
	struct allocator *a;

	(void)state;
	ops = complete("remembers");
	ops.create = remember_config;
	assert_int_equal(allocator_register(&ops), 0);

	a = allocator_new("remembers:scrub=on", NULL);
	assert_non_null(a);
	assert_ptr_equal(a->ops, &ops);
	assert_true(*(const bool *)seen_config);
	allocator_delete(a);

	fail_create = true;
	assert_null(allocator_new("remembers", NULL));
	assert_string_equal(kmem_last_error(), "as asked");
	fail_create = false;
	assert_null(allocator_new("remembers:scrub=perhaps", NULL));
	assert_null(allocator_new("forgets", NULL));
	allocator_delete(NULL);
}

static unsigned int bugs;

static void count_bug(const char *report, void *arg)
{
	(void)arg;
	assert_non_null(strstr(report, "no instance that allocator_new() made"));
	bugs++;
}

static void deleting_a_stranger_is_reported(void **state)
{
	struct allocator stranger = {.ops = &skeleton_ops};

	(void)state;
	kmem_set_bug_handler(count_bug, NULL);
	allocator_delete(&stranger);
	kmem_set_bug_handler(NULL, NULL);
	assert_int_equal(bugs, 1);
}

/* --- the template works --- */

static void keep_value(const char *name, double value, void *arg)
{
	assert_string_equal(name, "live_blocks");
	*(double *)arg = value;
}

static void the_template_serves_every_hook(void **state)
{
	static struct allocator_ops ops;
	void *blocks[8];
	struct allocator *a;
	double live = -1;
	char *p;

	(void)state;
	ops = complete("template");
	assert_int_equal(allocator_register(&ops), 0);
	assert_int_equal(ops.available(&ops), 0);
	a = allocator_new("template:scrub=on", NULL);
	assert_non_null(a);
	ops.thread_enter(a);
	assert_string_equal(ops.version(a), "1");
	p = ops.alloc(a, 100, 256, GFP_KERNEL, NUMA_NO_NODE);
	assert_int_equal((uintptr_t)p % 256, 0);
	memset(p, 1, 100);
	p = ops.realloc(a, p, 100, 1000);
	assert_int_equal(p[99], 1);
	ops.free(a, p, 1000);
	p = ops.zalloc(a, 64);
	assert_int_equal(p[63], 0);
	assert_int_equal(ops.alloc_bulk(a, 32, GFP_KERNEL, 8, blocks), 8);
	ops.stats(a, keep_value, &live);
	assert_true(live == 9);
	ops.free_bulk(a, 32, 8, blocks);
	ops.free(a, p, 0);
	ops.trim(a);
	assert_int_equal(ops.check(a), 0);
	ops.thread_exit(a);
	allocator_delete(a);
}

/* Ends the process, which prints why: a table that is wrong is its author's mistake. */
static void a_wrong_table_ends_the_program(void **state)
{
	struct allocator_ops ops = complete("two words");
	char text[256] = "";
	int pipes[2], status = 0;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	if (pid == 0) {
		dup2(pipes[1], STDERR_FILENO);
		allocator_register_or_exit(&ops);
		_exit(0);
	}
	close(pipes[1]);
	assert_true(read(pipes[0], text, sizeof(text) - 1) > 0);
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 2);
	assert_non_null(strstr(text, "cannot register an allocator: 'two words'"));
}

/* Fills the table: must be the last test. */
static void the_table_has_an_end(void **state)
{
	static struct allocator_ops many[200];
	static char names[200][16];
	int err = 0;
	size_t n;

	(void)state;
	for (n = 0; n < KMEM_ARRAY_SIZE(many) && err == 0; n++) {
		snprintf(names[n], sizeof(names[n]), "one-of-%zu", n);
		many[n] = complete(names[n]);
		err = allocator_register(&many[n]);
	}
	assert_int_equal(err, -ENOSPC);
	assert_non_null(strstr(kmem_last_error(), "is one too many: 128 are registered"));
	assert_non_null(allocator_at(127));
	assert_null(allocator_at(128));
	/* The error that lists what is known has an end, too. */
	assert_null(allocator_find("nothing-like-it"));
	assert_non_null(strstr(kmem_last_error(), "known are null, bump"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(required_hooks_are_named),
		cmocka_unit_test(capabilities_imply_hooks),
		cmocka_unit_test(other_mistakes_are_named),
		cmocka_unit_test(a_name_is_registered_once),
		cmocka_unit_test(floors_come_first_then_names_in_order),
		cmocka_unit_test(every_allocator_is_found_by_name),
		cmocka_unit_test(unknown_names_get_a_proposal),
		cmocka_unit_test(capability_bits_have_names),
		cmocka_unit_test(specifications_are_checked),
		cmocka_unit_test(an_instance_keeps_its_configuration),
		cmocka_unit_test(deleting_a_stranger_is_reported),
		cmocka_unit_test(the_template_serves_every_hook),
		cmocka_unit_test(a_wrong_table_ends_the_program),
		cmocka_unit_test(the_table_has_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
