/* SPDX-License-Identifier: MIT */
/*
 * The registry of allocators, and instances made from a specification such as
 * "slab:percpu=off,limit=120".
 *
 * Implementations register before main(), from constructors; --library adds
 * more before any thread is started. After that the table is only read.
 */
#include <kmem/allocator.h>
#include <kmem/error.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALLOCATORS_MAX 128
/* Of a specification: what stands before the colon. */
#define NAME_BYTES 64

/* What the floors cost is the scale for everybody else: they are listed first. */
static const char *const floors[] = {"null", "bump", "freelist"};

static const struct allocator_ops *registered[ALLOCATORS_MAX];
static size_t registered_count;

static const char *const capability_names[] = {
	"object",     "page",	  "vrange",	 "node",  "bulk",
	"sized-free", "align",	  "usable-size", "stats", "trim",
	"mixed-size", "distinct", "remote-free",
};

const char *allocator_capability_name(unsigned int bit)
{
	return bit < KMEM_ARRAY_SIZE(capability_names) ? capability_names[bit] : NULL;
}

/* --- registration --- */

/* A hook is required when caps is 0 or the allocator claims one of caps. */
#define HOOK(hook_, caps_)                                             \
	{                                                              \
#hook_, offsetof(struct allocator_ops, hook_), (caps_) \
	}
static const struct {
	const char *name;
	size_t offset;
	uint64_t caps;
} hooks[] = {
	HOOK(create, 0),
	HOOK(destroy, 0),
	HOOK(alloc, 0),
	HOOK(free, 0),
	HOOK(alloc_bulk, CAP_BULK),
	HOOK(free_bulk, CAP_BULK),
	HOOK(usable_size, CAP_USABLE_SIZE),
	HOOK(stats, CAP_STATS),
	HOOK(trim, CAP_TRIM),
};

static const char *capability_of(uint64_t caps)
{
	return allocator_capability_name((unsigned int)__builtin_ctzll(caps));
}

static int check_hooks(const struct allocator_ops *ops)
{
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(hooks); i++) {
		void (*hook)(void);

		memcpy(&hook, (const char *)ops + hooks[i].offset, sizeof(hook));
		if (hook != NULL ||
		    (hooks[i].caps != 0 && (ops->caps & hooks[i].caps) == 0))
			continue;
		if (hooks[i].caps == 0)
			return kmem_error(-EINVAL,
					  "allocator '%s' lacks the required hook '%s'",
					  ops->name, hooks[i].name);
		return kmem_error(-EINVAL,
				  "allocator '%s' claims '%s' but lacks the hook '%s'",
				  ops->name, capability_of(hooks[i].caps), hooks[i].name);
	}
	return 0;
}

static int check_caps(const struct allocator_ops *ops)
{
	uint64_t known = ((uint64_t)1 << KMEM_ARRAY_SIZE(capability_names)) - 1;

	if ((ops->caps & ~known) != 0)
		return kmem_error(-EINVAL,
				  "allocator '%s' claims unknown capabilities %#llx",
				  ops->name, (unsigned long long)(ops->caps & ~known));
	if ((ops->caps & (CAP_OBJECT | CAP_PAGE | CAP_VRANGE)) == 0)
		return kmem_error(
			-EINVAL,
			"allocator '%s' serves no level: claim CAP_OBJECT, CAP_PAGE "
			"or CAP_VRANGE",
			ops->name);
	return 0;
}

/* The names stand in specifications and file names: letters, digits, '-', '_' and '.'. */
static int check_name(const char *name)
{
	static const char legal[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-_.";

	if (name[0] == '\0' || strlen(name) >= NAME_BYTES ||
	    name[strspn(name, legal)] != '\0')
		return kmem_error(
			-EINVAL,
			"'%s' cannot name an allocator: write letters, digits, '-', "
			"'_' or '.', %d at most",
			name, NAME_BYTES - 1);
	return 0;
}

/* A table whose defaults do not parse is a mistake of its author. */
static int check_options(const struct allocator_ops *ops)
{
	void *config;
	int err;

	if ((ops->options == NULL) != (ops->config_size == 0))
		return kmem_error(-EINVAL,
				  "allocator '%s' must set both or none of options and "
				  "config_size",
				  ops->name);
	if (ops->options == NULL)
		return 0;
	config = calloc(1, ops->config_size);
	if (config == NULL)
		return kmem_error(-ENOMEM, "no memory to register allocator '%s'",
				  ops->name);
	err = kmem_options_defaults(ops->options, config);
	if (err == 0)
		kmem_options_release(ops->options, config);
	else
		kmem_error(err, "allocator '%s': %s", ops->name, kmem_last_error());
	free(config);
	return err;
}

static int check_ops(const struct allocator_ops *ops)
{
	int err;

	if (ops->name == NULL)
		return kmem_error(-EINVAL, "an allocator lacks its name");
	err = check_name(ops->name);
	if (err != 0)
		return err;
	if (ops->abi_version != ALLOCATOR_OPS_VERSION)
		return kmem_error(
			-EINVAL,
			"allocator '%s' was built for version %u of the hooks, this "
			"program has version %d: rebuild it",
			ops->name, ops->abi_version, ALLOCATOR_OPS_VERSION);
	if (ops->description == NULL)
		return kmem_error(-EINVAL, "allocator '%s' lacks its description",
				  ops->name);
	err = check_caps(ops);
	if (err == 0)
		err = check_hooks(ops);
	return err == 0 ? check_options(ops) : err;
}

static size_t rank(const char *name)
{
	for (size_t i = 0; i < KMEM_ARRAY_SIZE(floors); i++) {
		if (strcmp(name, floors[i]) == 0)
			return i;
	}
	return KMEM_ARRAY_SIZE(floors);
}

static bool comes_before(const char *a, const char *b)
{
	size_t rank_a = rank(a), rank_b = rank(b);

	return rank_a != rank_b ? rank_a < rank_b : strcmp(a, b) < 0;
}

static const struct allocator_ops *find_quietly(const char *name)
{
	for (size_t i = 0; i < registered_count; i++) {
		if (strcmp(registered[i]->name, name) == 0)
			return registered[i];
	}
	return NULL;
}

int allocator_register(const struct allocator_ops *ops)
{
	int err = check_ops(ops);
	size_t i;

	if (err != 0)
		return err;
	if (find_quietly(ops->name) != NULL)
		return kmem_error(
			-EEXIST,
			"an allocator '%s' is already registered: choose another name",
			ops->name);
	if (registered_count == ALLOCATORS_MAX)
		return kmem_error(-ENOSPC,
				  "allocator '%s' is one too many: %d are registered",
				  ops->name, ALLOCATORS_MAX);
	for (i = registered_count;
	     i > 0 && comes_before(ops->name, registered[i - 1]->name); i--)
		registered[i] = registered[i - 1];
	registered[i] = ops;
	registered_count++;
	return 0;
}

void allocator_register_or_exit(const struct allocator_ops *ops)
{
	if (allocator_register(ops) == 0)
		return;
	fprintf(stderr, "cannot register an allocator: %s\n", kmem_last_error());
	_Exit(2);
}

/* --- look-up --- */

const struct allocator_ops *allocator_at(size_t index)
{
	return index < registered_count ? registered[index] : NULL;
}

static void unknown_allocator(const char *name)
{
	const char *names[ALLOCATORS_MAX];
	char known[384] = "";
	const char *nearest;
	size_t used = 0;

	for (size_t i = 0; i < registered_count; i++) {
		names[i] = registered[i]->name;
		if (used < sizeof(known) && !registered[i]->hidden)
			used += (size_t)snprintf(known + used, sizeof(known) - used,
						 "%s%s", i == 0 ? "" : ", ", names[i]);
	}
	nearest = kmem_nearest_name(name, names, registered_count);
	if (nearest != NULL)
		kmem_error(-EINVAL,
			   "unknown allocator '%s': did you mean '%s'? known are %s",
			   name, nearest, known);
	else
		kmem_error(-EINVAL, "unknown allocator '%s': known are %s", name, known);
}

const struct allocator_ops *allocator_find(const char *name)
{
	const struct allocator_ops *ops = find_quietly(name);

	if (ops == NULL)
		unknown_allocator(name);
	return ops;
}

/* --- specifications --- */

/* Finds what stands before the colon; *options is what stands behind it, or "". */
static const struct allocator_ops *parse_name(const char *spec, const char **options)
{
	size_t length = strcspn(spec, ":");
	char name[NAME_BYTES];

	*options = spec[length] == ':' ? spec + length + 1 : spec + length;
	if (length == 0 || length >= sizeof(name)) {
		kmem_error(-EINVAL,
			   "'%s' names no allocator: write NAME or NAME:option=value",
			   spec);
		return NULL;
	}
	memcpy(name, spec, length);
	name[length] = '\0';
	return allocator_find(name);
}

/* *config is NULL for an allocator without options; else release_config() frees it. */
static int parse_config(const struct allocator_ops *ops, const char *options,
			void **config)
{
	int err;

	*config = NULL;
	if (ops->options == NULL) {
		if (*options == '\0')
			return 0;
		return kmem_error(-EINVAL,
				  "allocator '%s' has no options: leave out ':%s'",
				  ops->name, options);
	}
	*config = calloc(1, ops->config_size);
	if (*config == NULL)
		return kmem_error(-ENOMEM, "no memory for the options of '%s'",
				  ops->name);
	err = kmem_options_defaults(ops->options, *config);
	if (err == 0) {
		err = kmem_options_parse(ops->options, options, *config);
		if (err != 0)
			kmem_options_release(ops->options, *config);
	}
	if (err != 0) {
		free(*config);
		*config = NULL;
		return kmem_error(err, "allocator '%s': %s", ops->name,
				  kmem_last_error());
	}
	return 0;
}

static void release_config(const struct allocator_ops *ops, void *config)
{
	if (config == NULL)
		return;
	kmem_options_release(ops->options, config);
	free(config);
}

int allocator_spec_check(const char *spec, const struct allocator_ops **ops)
{
	const char *options;
	const struct allocator_ops *found = parse_name(spec, &options);
	void *config;
	int err;

	if (found == NULL)
		return -EINVAL;
	err = parse_config(found, options, &config);
	if (err != 0)
		return err;
	release_config(found, config);
	if (ops != NULL)
		*ops = found;
	return 0;
}

/* --- instances --- */

/* A live instance and its configuration; on `instances`, under instances_lock. */
struct instance {
	struct instance *next;
	struct allocator *allocator;
	void *config;
};

static pthread_mutex_t instances_lock = PTHREAD_MUTEX_INITIALIZER;
static struct instance *instances;

struct allocator *allocator_new(const char *spec, const struct allocator_env *env)
{
	static const struct allocator_env nothing_known = {.threads = 1};
	const char *options;
	const struct allocator_ops *ops = parse_name(spec, &options);
	struct instance *instance;

	if (ops == NULL)
		return NULL;
	instance = calloc(1, sizeof(*instance));
	if (instance == NULL) {
		kmem_error(-ENOMEM, "no memory for an instance of '%s'", ops->name);
		return NULL;
	}
	if (parse_config(ops, options, &instance->config) != 0) {
		free(instance);
		return NULL;
	}
	instance->allocator = ops->create(ops, instance->config,
					  env != NULL ? env : &nothing_known);
	if (instance->allocator == NULL) {
		release_config(ops, instance->config);
		free(instance);
		return NULL;
	}
	pthread_mutex_lock(&instances_lock);
	instance->next = instances;
	instances = instance;
	pthread_mutex_unlock(&instances_lock);
	return instance->allocator;
}

void allocator_delete(struct allocator *a)
{
	struct instance **link, *instance = NULL;
	const struct allocator_ops *ops;

	if (a == NULL)
		return;
	pthread_mutex_lock(&instances_lock);
	for (link = &instances; *link != NULL; link = &(*link)->next) {
		if ((*link)->allocator == a) {
			instance = *link;
			*link = instance->next;
			break;
		}
	}
	pthread_mutex_unlock(&instances_lock);
	if (instance == NULL) {
		kmem_bug("allocator_delete(%p): no instance that allocator_new() made",
			 (void *)a);
		return;
	}
	ops = a->ops;
	ops->destroy(a);
	release_config(ops, instance->config);
	free(instance);
}
