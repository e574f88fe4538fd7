/* SPDX-License-Identifier: Apache-2.0 */
#include "mem/page_table.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#define BIT(state) (1U << (state))

/* From each state, the states a page may go to. A stored page is loaded before it is stored
 * elsewhere by anyone but its store; content that is void (ZERO, BALLOONED) is never stored. */
static const u32 legal[PAGE_STATES] = {
	[PAGE_ZERO] = BIT(PAGE_RESIDENT) | BIT(PAGE_BALLOONED),
	[PAGE_RESIDENT] = BIT(PAGE_RESIDENT) | BIT(PAGE_ZERO) | BIT(PAGE_SHARED) | BIT(PAGE_SAME) |
			  BIT(PAGE_COMPRESSED) | BIT(PAGE_DISK) | BIT(PAGE_BALLOONED),
	[PAGE_SHARED] = BIT(PAGE_ZERO) | BIT(PAGE_RESIDENT) | BIT(PAGE_BALLOONED),
	[PAGE_SAME] = BIT(PAGE_ZERO) | BIT(PAGE_RESIDENT) | BIT(PAGE_BALLOONED),
	[PAGE_COMPRESSED] = BIT(PAGE_ZERO) | BIT(PAGE_RESIDENT) | BIT(PAGE_COMPRESSED) |
			    BIT(PAGE_DISK) | BIT(PAGE_BALLOONED),
	[PAGE_DISK] = BIT(PAGE_ZERO) | BIT(PAGE_RESIDENT) | BIT(PAGE_DISK) | BIT(PAGE_BALLOONED),
	[PAGE_BALLOONED] = BIT(PAGE_ZERO) | BIT(PAGE_RESIDENT),
};

int page_table_create(struct page_table *table, u64 pages)
{
	*table = (struct page_table){.pages = pages};
	table->words = mmap(NULL, page_table_bytes(table), PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (table->words == MAP_FAILED)
		return -ENOMEM;
	table->count[PAGE_ZERO] = pages;
	return 0;
}

void page_table_destroy(struct page_table *table)
{
	munmap((void *)table->words, page_table_bytes(table));
}

u64 page_table_bytes(const struct page_table *table)
{
	return table->pages * sizeof(*table->words);
}

static void write_word(struct page_table *table, u64 index, u64 bits)
{
	atomic_store_explicit(&table->words[index], bits, memory_order_release);
}

void page_hold(struct page_table *table, u64 index)
{
	struct page_word word = page_table_read(table, index);

	assert(!page_word_busy(word));
	write_word(table, index, word.bits | PAGE_BUSY);
}

void page_wait(struct page_table *table, u64 index)
{
	struct page_word word = page_table_read(table, index);

	assert(page_word_busy(word));
	write_word(table, index, word.bits | PAGE_WAITER);
}

void page_drop(struct page_table *table, u64 index)
{
	struct page_word word = page_table_read(table, index);

	assert(page_word_busy(word));
	write_word(table, index, word.bits | PAGE_VOID);
}

void page_hint(struct page_table *table, u64 index, u32 hint)
{
	struct page_word word = page_table_read(table, index);

	assert(hint <= PAGE_HINT_MASK >> PAGE_HINT_SHIFT);
	write_word(table, index, (word.bits & ~PAGE_HINT_MASK) | (u64)hint << PAGE_HINT_SHIFT);
}

static void count_flow(struct page_table *table, enum page_state from, enum page_state to)
{
	enum page_flow flow = PAGE_FLOWS;

	if (to == PAGE_COMPRESSED && from != PAGE_COMPRESSED)
		flow = PAGE_FLOW_ZIP;
	else if (to == PAGE_DISK && from != PAGE_DISK)
		flow = PAGE_FLOW_SWAP_OUT;
	else if (to == PAGE_RESIDENT && from == PAGE_COMPRESSED)
		flow = PAGE_FLOW_UNZIP;
	else if (to == PAGE_RESIDENT && from == PAGE_DISK)
		flow = PAGE_FLOW_SWAP_IN;
	if (flow != PAGE_FLOWS)
		atomic_fetch_add_explicit(&table->flow[flow], 1, memory_order_relaxed);
}

void page_set(struct page_table *table, u64 index, struct page_word word)
{
	struct page_word old = page_table_read(table, index);
	enum page_state from = page_word_state(old), to = page_word_state(word);

	assert(page_word_busy(old) && !page_word_busy(word));
	assert(legal[from] & BIT(to));
	write_word(table, index, word.bits | (old.bits & (PAGE_HOLD_MASK | PAGE_FOREIGN)));
	/* In this order: a sum over states counts a page that moves twice rather than not at all. */
	atomic_fetch_add_explicit(&table->count[to], 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&table->count[from], 1, memory_order_relaxed);
	count_flow(table, from, to);
}

void page_set_foreign(struct page_table *table, u64 index, bool foreign)
{
	struct page_word word = page_table_read(table, index);
	enum page_state state = page_word_state(word);

	assert(page_word_busy(word) && page_word_foreign(word) != foreign);
	assert(state == PAGE_SHARED || state == PAGE_RESIDENT);
	(void)state;
	write_word(table, index, (word.bits & ~PAGE_HINT_MASK) ^ PAGE_FOREIGN);
}

bool page_release(struct page_table *table, u64 index)
{
	struct page_word word = page_table_read(table, index);

	assert(page_word_busy(word));
	write_word(table, index, word.bits & ~PAGE_HOLD_MASK);
	return page_word_waiter(word);
}
