/* SPDX-License-Identifier: MIT */
/*
 * msgpass: producers send messages to consumers, some of them by way of proxies.
 *
 * The first threads are producers, the next ones proxies, the last ones consumers;
 * eight threads are 3, 2 and 3, as in the original. Every proxy and every consumer has
 * one bounded queue of batches, into which all producers push. A producer allocates a
 * batch of messages of one size and sends it to a random queue; a proxy forwards the
 * batches that it gets to consumers, without a look at the messages; a consumer frees
 * them. The bounds of the queues bound the messages in flight.
 *
 * Which queue comes next is random, but in a quantum every producer sends each queue
 * the same number of batches, and every proxy deals its batches out to the consumers in
 * turn, in random order. So each thread knows how many batches its quantum has, and
 * when all threads have done equally many quanta the queues are empty. Waiting cannot
 * deadlock: consumers wait for nobody but senders, proxies only for consumers and
 * producers, and everything sent is awaited by its receiver.
 *
 * One operation is one message passed on: allocated by a producer and freed by a
 * consumer, counted once, by the consumer.
 */
#include <errno.h>
#include <stdatomic.h>

#include <kmem/error.h>

#include "workloads/harness/arena.h"
#include "workloads/harness/batch_queue.h"
#include "workloads/harness/size_list.h"
#include "workloads/harness/worker_fast.h"

/* Of a quantum, for each thread; a batch has 8.5 messages on average. */
#define BATCHES_PER_THREAD 128u
/* Quanta whose batches are drawn; then the first one comes again. */
#define DRAWN_QUANTA 4u
/* Of all queues together: the harness's own memory. */
#define QUEUES_BYTES_MAX ((uint64_t)1 << 30)

struct msgpass_params {
	uint64_t batch_max_messages;
	uint64_t queue_batches;
	const char *message_bytes;
};

static const struct kmem_option msgpass_options[] = {
	{
		.name = "batch_max_messages",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct msgpass_params, batch_max_messages),
		.initial = "16",
		.help = "largest batch; the number of messages is uniform from 1 up",
		.min = 1,
		.max = 65536,
	},
	{
		.name = "queue_batches",
		.type = KMEM_OPT_UINT,
		.offset = offsetof(struct msgpass_params, queue_batches),
		.initial = "64",
		.help = "batches that each receiver's queue holds, a power of two: bounds the "
			"messages in flight",
		.min = 2,
		.max = 65536,
	},
	{
		.name = "message_bytes",
		.type = KMEM_OPT_STRING,
		.offset = offsetof(struct msgpass_params, message_bytes),
		.initial = "48+64+96+128",
		.help = "sizes of messages, joined by '+'; each batch has one of them",
	},
	KMEM_OPTION_END,
};

static const struct kmem_option_group msgpass_groups[] = {{msgpass_options, 0},
							  {NULL, 0}};

enum msgpass_role { PRODUCER, PROXY, CONSUMER };

struct msgpass_shared {
	size_t bytes; /* of the arena that holds this */
	unsigned int producers, proxies, consumers;
	uint32_t batches; /* that a producer sends to each queue in a quantum */
	uint64_t entry;	  /* words of a batch: its shape and the messages */
	/* Of all passes; added to in thread_teardown(). */
	_Atomic uint64_t sent, forwarded, messages;
	struct batch_queue *queue[]; /* of consumers, then of proxies */
};

/* One batch to come, or where a batch that has come goes to. */
struct msgpass_turn {
	uint32_t receiver;
	uint32_t size;
	uint32_t messages;
};

struct msgpass_state {
	size_t bytes; /* of the arena that holds this */
	enum msgpass_role role;
	struct batch_queue *inbox; /* of proxies and consumers */
	uint32_t batches;	   /* in a quantum */
	uint32_t next, end;	   /* in turn[] */
	uint64_t handled;	   /* batches sent, forwarded or received in this pass */
	struct msgpass_turn *turn;
	void *batch[]; /* the batch in hand */
};

/* A batch's first word says its shape; the messages follow. */
static KMEM_ALWAYS_INLINE void *shape_pack(uint32_t messages, uint32_t size)
{
	return (void *)(uintptr_t)((uint64_t)size << 32 | messages);
}

static void split_threads(unsigned int threads, struct msgpass_shared *s)
{
	s->proxies = threads < 8 ? 1 : threads / 4;
	s->producers = (threads - s->proxies) / 2;
	s->consumers = threads - s->proxies - s->producers;
}

static unsigned int queue_count(const struct msgpass_shared *s)
{
	return s->consumers + s->proxies;
}

static int msgpass_validate(const struct workload_run *run)
{
	const struct msgpass_params *params = run->params;
	struct msgpass_shared split;
	uint64_t queues_bytes;
	struct size_list sizes;

	if (run->threads < 3)
		return kmem_error(
			-EINVAL,
			"workload 'msgpass' needs a producer, a proxy and a consumer and "
			"cannot run on %u threads: give 3 or more",
			run->threads);
	if ((params->queue_batches & (params->queue_batches - 1)) != 0)
		return kmem_error(
			-EINVAL,
			"workload 'msgpass' has queue_batches=%llu: give a power of two",
			(unsigned long long)params->queue_batches);
	split_threads(run->threads, &split);
	queues_bytes = queue_count(&split) * params->queue_batches *
		       (params->batch_max_messages + 1) * sizeof(void *);
	if (queues_bytes > QUEUES_BYTES_MAX)
		return kmem_error(-EINVAL,
				  "workload 'msgpass' has queue_batches=%llu of "
				  "batch_max_messages=%llu in %u queues, which take %llu "
				  "bytes: lower one of them until it is 1 GiB at most",
				  (unsigned long long)params->queue_batches,
				  (unsigned long long)params->batch_max_messages,
				  queue_count(&split), (unsigned long long)queues_bytes);
	if (size_list_parse(params->message_bytes, &sizes) != 0)
		return -EINVAL;
	for (unsigned int i = 0; i < sizes.count; i++)
		if (sizes.bytes[i] == 0 || sizes.bytes[i] > 1u << 30)
			return kmem_error(-EINVAL,
					  "workload 'msgpass' has message_bytes=%s: give "
					  "sizes from 1 byte to 1 GiB",
					  params->message_bytes);
	return 0;
}

/* 0 when the list cannot be read, which validate() reports. */
static uint64_t msgpass_size_max(const struct workload_run *run)
{
	const struct msgpass_params *params = run->params;
	struct size_list sizes;

	return size_list_parse(params->message_bytes, &sizes) == 0 ? size_list_max(&sizes)
								   : 0;
}

/* All queues full, and a batch in each thread's hands. */
static uint64_t msgpass_footprint(const struct workload_run *run)
{
	const struct msgpass_params *params = run->params;
	struct msgpass_shared s;

	split_threads(run->threads, &s);
	return (queue_count(&s) * params->queue_batches + run->threads) *
	       params->batch_max_messages * msgpass_size_max(run);
}

static int msgpass_setup(struct workload_run *run)
{
	const struct msgpass_params *params = run->params;
	struct msgpass_shared split, *s;
	size_t bytes;

	split_threads(run->threads, &split);
	bytes = sizeof(*s) + queue_count(&split) * sizeof(s->queue[0]);
	s = arena_alloc(bytes);
	split_threads(run->threads, s);
	s->bytes = bytes;
	s->entry = 1 + params->batch_max_messages;
	s->batches = BATCHES_PER_THREAD * run->threads / (s->producers * queue_count(s));
	if (s->batches == 0)
		s->batches = 1;
	for (unsigned int i = 0; i < queue_count(s); i++)
		s->queue[i] = batch_queue_new(params->queue_batches, s->entry);
	run->shared = s;
	return 0;
}

static enum msgpass_role role_of(const struct msgpass_shared *s, unsigned int index)
{
	if (index < s->producers)
		return PRODUCER;
	return index < s->producers + s->proxies ? PROXY : CONSUMER;
}

/* Of all producers; each proxy gets as many as each consumer. */
static uint32_t batches_of_a_queue(const struct msgpass_shared *s)
{
	return s->producers * s->batches;
}

/* What the consumer gets from producers, and from each proxy, which deals in turn. */
static uint32_t batches_of_a_consumer(const struct msgpass_shared *s,
				      unsigned int consumer)
{
	uint32_t n = batches_of_a_queue(s), all = n;

	for (unsigned int proxy = 0; proxy < s->proxies; proxy++)
		for (uint32_t i = 0; i < n; i++)
			all += (i + proxy) % s->consumers == consumer;
	return all;
}

static uint32_t batches_in_a_quantum(const struct msgpass_shared *s, unsigned int index)
{
	switch (role_of(s, index)) {
	case PRODUCER: return s->batches * queue_count(s);
	case PROXY: return batches_of_a_queue(s);
	case CONSUMER: break;
	}
	return batches_of_a_consumer(s, index - s->producers - s->proxies);
}

/* The turns of one quantum: receivers as dealt out, then shuffled. */
static void draw_turns(struct worker *w, const struct msgpass_shared *s,
		       struct msgpass_turn *turn, uint32_t n)
{
	const struct msgpass_params *params = w->run->params;
	bool producer = role_of(s, w->index) == PRODUCER;
	struct size_list sizes;

	if (size_list_parse(params->message_bytes, &sizes) != 0)
		worker_fail(w, "%s", kmem_last_error());
	for (uint32_t i = 0; i < n; i++) {
		turn[i].receiver = producer
					   ? i % queue_count(s)
					   : (i + w->index - s->producers) % s->consumers;
		turn[i].size = (uint32_t)sizes.bytes[rng_below(&w->rng, sizes.count)];
		turn[i].messages = (uint32_t)rng_between(&w->rng, 1,
							 params->batch_max_messages);
	}
	for (uint32_t i = n; i > 1; i--) {
		uint32_t j = (uint32_t)rng_below(&w->rng, i);
		struct msgpass_turn t = turn[i - 1];

		turn[i - 1] = turn[j];
		turn[j] = t;
	}
}

static int msgpass_thread_setup(struct worker *w)
{
	struct msgpass_shared *shared = w->run->shared;
	enum msgpass_role role = role_of(shared, w->index);
	uint32_t n = batches_in_a_quantum(shared, w->index);
	uint32_t turns = role == CONSUMER ? 0 : DRAWN_QUANTA * n;
	size_t bytes = sizeof(struct msgpass_state) + shared->entry * sizeof(void *) +
		       turns * sizeof(struct msgpass_turn);
	struct msgpass_state *s = arena_alloc(bytes);

	s->bytes = bytes;
	s->role = role;
	s->batches = n;
	s->end = turns;
	s->turn = (struct msgpass_turn *)(void *)(s->batch + shared->entry);
	for (uint32_t i = 0; i < turns; i += n)
		draw_turns(w, shared, s->turn + i, n);
	if (role == CONSUMER)
		s->inbox = shared->queue[w->index - shared->producers - shared->proxies];
	else if (role == PROXY)
		s->inbox =
			shared->queue[shared->consumers + w->index - shared->producers];
	w->state = s;
	return 0;
}

static KMEM_ALWAYS_INLINE const struct msgpass_turn *next_turn(struct msgpass_state *s)
{
	const struct msgpass_turn *turn = &s->turn[s->next];

	s->next = s->next + 1 < s->end ? s->next + 1 : 0;
	return turn;
}

static KMEM_ALWAYS_INLINE void produce(struct worker *w, struct probe *p,
				       struct msgpass_state *s)
{
	struct msgpass_shared *shared = w->run->shared;

	for (uint32_t b = 0; b < s->batches; b++) {
		const struct msgpass_turn *turn = next_turn(s);

		s->batch[0] = shape_pack(turn->messages, turn->size);
		for (uint32_t i = 1; i <= turn->messages; i++)
			s->batch[i] = worker_alloc(w, p, turn->size);
		batch_queue_push(shared->queue[turn->receiver], s->batch);
	}
}

static void forward(struct worker *w, struct msgpass_state *s)
{
	struct msgpass_shared *shared = w->run->shared;

	for (uint32_t b = 0; b < s->batches; b++) {
		batch_queue_pop(s->inbox, s->batch);
		batch_queue_push(shared->queue[next_turn(s)->receiver], s->batch);
	}
}

static KMEM_ALWAYS_INLINE void consume(struct worker *w, struct probe *p,
				       struct msgpass_state *s)
{
	for (uint32_t b = 0; b < s->batches; b++) {
		uint64_t shape;
		uint32_t messages;
		size_t size;

		batch_queue_pop(s->inbox, s->batch);
		shape = (uint64_t)(uintptr_t)s->batch[0];
		messages = (uint32_t)shape;
		size = (size_t)(shape >> 32);
		for (uint32_t i = 1; i <= messages; i++)
			worker_free(w, p, s->batch[i], size);
		w->ops += messages;
	}
}

static KMEM_ALWAYS_INLINE void msgpass_step(struct worker *w, struct probe *p)
{
	struct msgpass_state *s = w->state;

	switch (s->role) {
	case PRODUCER: produce(w, p, s); break;
	case PROXY: forward(w, s); break;
	case CONSUMER: consume(w, p, s); break;
	}
	s->handled += s->batches;
}
WORKLOAD_STEP(msgpass_step);

static void msgpass_thread_teardown(struct worker *w)
{
	struct msgpass_shared *shared = w->run->shared;
	struct msgpass_state *s = w->state;

	switch (s->role) {
	case PRODUCER: atomic_fetch_add(&shared->sent, s->handled); break;
	case PROXY: atomic_fetch_add(&shared->forwarded, s->handled); break;
	case CONSUMER: atomic_fetch_add(&shared->messages, w->ops); break;
	}
	arena_free(s, s->bytes);
}

static void msgpass_pass_end(struct workload_run *run)
{
	struct msgpass_shared *s = run->shared;

	for (unsigned int i = 0; i < queue_count(s); i++)
		if (batch_queue_length(s->queue[i]) != 0)
			worker_fail(NULL,
				    "workload 'msgpass' ended with batches in a queue: "
				    "its threads did not do equally many quanta");
}

static void msgpass_report(struct workload_run *run, workload_report_fn fn, void *arg)
{
	struct msgpass_shared *s = run->shared;
	double sent = (double)atomic_load(&s->sent);

	if (sent == 0)
		return;
	fn("forwarded_share", (double)atomic_load(&s->forwarded) / sent, arg);
	fn("messages_per_batch", (double)atomic_load(&s->messages) / sent, arg);
}

static void msgpass_teardown(struct workload_run *run)
{
	struct msgpass_shared *s = run->shared;

	for (unsigned int i = 0; i < queue_count(s); i++)
		batch_queue_delete(s->queue[i]);
	arena_free(s, s->bytes);
	run->shared = NULL;
}

static const struct workload_ops msgpass_workload = {
	.abi_version = WORKLOAD_OPS_VERSION,
	.name = "msgpass",
	.description =
		"producers allocate small batches of messages and send them to random "
		"queues; proxies forward what they get, consumers free it",
	.stresses =
		"freeing blocks that many threads allocated, as message passing does: "
		"small batches, several owners, memory that must find its way back",
	.not_for =
		"the cost of alloc or of free alone: queues, proxies and waiting are in the "
		"figure; with fewer CPUs than threads the scheduler is, too",
	.source = "perf-msgpass of snmalloc",
	.op = "message passed: alloc and remote free",
	.caps = CAP_OBJECT | CAP_MIXED_SIZE | CAP_REMOTE_FREE,
	.params = msgpass_groups,
	.params_size = sizeof(struct msgpass_params),
	.default_threads = "8",
	.default_touch = TOUCH_ENDS,
	.validate = msgpass_validate,
	.size_max = msgpass_size_max,
	.footprint = msgpass_footprint,
	.setup = msgpass_setup,
	.thread_setup = msgpass_thread_setup,
	.step = msgpass_step_plain,
	.step_probed = msgpass_step_probed,
	.thread_teardown = msgpass_thread_teardown,
	.pass_end = msgpass_pass_end,
	.report = msgpass_report,
	.teardown = msgpass_teardown,
};
WORKLOAD_REGISTER(msgpass_workload);
