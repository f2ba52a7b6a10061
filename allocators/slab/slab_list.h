/* SPDX-License-Identifier: MIT */
/* Circular doubly linked lists threaded through their members, with the kernel's names.
 */
#ifndef KMEM_SLAB_LIST_H
#define KMEM_SLAB_LIST_H

#include <kmem/compiler.h>

struct list_head {
	struct list_head *next, *prev;
};

static inline void INIT_LIST_HEAD(struct list_head *head)
{
	head->next = head;
	head->prev = head;
}

static inline bool list_empty(const struct list_head *head)
{
	return head->next == head;
}

static inline void list_insert_between(struct list_head *entry, struct list_head *prev,
				       struct list_head *next)
{
	entry->prev = prev;
	entry->next = next;
	prev->next = entry;
	next->prev = entry;
}

static inline void list_add(struct list_head *entry, struct list_head *head)
{
	list_insert_between(entry, head, head->next);
}

static inline void list_add_tail(struct list_head *entry, struct list_head *head)
{
	list_insert_between(entry, head->prev, head);
}

static inline void list_del(struct list_head *entry)
{
	entry->prev->next = entry->next;
	entry->next->prev = entry->prev;
}

static inline void list_move(struct list_head *entry, struct list_head *head)
{
	list_del(entry);
	list_add(entry, head);
}

static inline void list_move_tail(struct list_head *entry, struct list_head *head)
{
	list_del(entry);
	list_add_tail(entry, head);
}

#define list_entry(ptr, type, member) KMEM_CONTAINER_OF(ptr, type, member)

/* The walker is a list_head, not an entry: the head itself lies in no entry, and a
 * pointer made from it would be a wild one. */
#define list_for_each_entry(pos, head, member)                            \
	for (struct list_head *at_ = (head)->next;                        \
	     at_ != (head) &&                                             \
	     ((pos) = list_entry(at_, __typeof__(*(pos)), member), true); \
	     at_ = at_->next)

/* The entry may be removed or freed inside the loop. */
#define list_for_each_entry_safe(pos, head, member)                       \
	for (struct list_head *at_ = (head)->next, *next_ = at_->next;    \
	     at_ != (head) &&                                             \
	     ((pos) = list_entry(at_, __typeof__(*(pos)), member), true); \
	     at_ = next_, next_ = at_->next)

#endif /* KMEM_SLAB_LIST_H */
