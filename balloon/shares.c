/* SPDX-License-Identifier: Apache-2.0 */
#include "balloon/shares.h"

#define PRICE_SHIFT 20 /* what one share buys has so many binary places */

/* Bounds that hold in one of the two rounds. */
struct bounds {
	u64 low, high;
};

static struct bounds bounds_of(const struct claim *claim, bool leftovers)
{
	return leftovers ? (struct bounds){claim->want, claim->cap}
			 : (struct bounds){claim->floor, claim->want};
}

/* What this much money buys: active pages at 1, idle ones at k, and beyond what it has the mixture of that. k is
 * taxed / untaxed. */
static unsigned __int128 pages_for(const struct claim *claim, unsigned __int128 money, u32 tax_pct)
{
	u64 active = claim->active, idle = claim->has > active ? claim->has - active : 0;
	u64 untaxed = 100 - tax_pct, taxed = untaxed + (u64)tax_pct * MAX(claim->calm, 1U);
	unsigned __int128 all = active + (unsigned __int128)idle * taxed / untaxed;

	if (money <= active)
		return money;
	if (money < all)
		return active + (money - active) * untaxed / taxed;
	return all ? money * (active + idle) / all : money;
}

/* What this guest gets when a share buys `bought` (fixed-point bytes of active memory). */
static u64 buy(const struct claim *claim, struct bounds bounds, u64 bought, u32 tax_pct)
{
	unsigned __int128 money = (unsigned __int128)bought * claim->shares >> PRICE_SHIFT;

	money = pages_for(claim, money, tax_pct);
	if (money < bounds.low)
		return bounds.low;
	return money > bounds.high ? bounds.high : (u64)money;
}

static unsigned __int128 sum_at(const struct claim *claims, u32 count, bool leftovers, u64 bought,
				u32 tax_pct)
{
	unsigned __int128 sum = 0;

	for (u32 i = 0; i < count; i++)
		sum += buy(&claims[i], bounds_of(&claims[i], leftovers), bought, tax_pct);
	return sum;
}

/* The most that a share can buy while all of it together is there. */
static u64 find_price(const struct claim *claims, u32 count, u64 bytes, bool leftovers, u32 tax_pct)
{
	u64 low = 0, high = 1ULL << 62;

	while (low < high) {
		u64 middle = low + (high - low + 1) / 2;

		if (sum_at(claims, count, leftovers, middle, tax_pct) <= bytes)
			low = middle;
		else
			high = middle - 1;
	}
	return low;
}

/* One round of division. The last bytes, which are less than the next step of the price would cost, go
 * to the first who can take them. */
static void divide(struct claim *claims, u32 count, u64 bytes, bool leftovers, u32 tax_pct)
{
	u64 price = find_price(claims, count, bytes, leftovers, tax_pct);
	u64 left = bytes;

	for (u32 i = 0; i < count; i++) {
		claims[i].share = buy(&claims[i], bounds_of(&claims[i], leftovers), price, tax_pct);
		left -= MIN(left, claims[i].share);
	}
	for (u32 i = 0; i < count && left; i++) {
		struct bounds bounds = bounds_of(&claims[i], leftovers);
		u64 next = buy(&claims[i], bounds, price + 1, tax_pct);
		u64 extra = MIN(next - claims[i].share, left);

		claims[i].share += extra;
		left -= extra;
	}
}

void shares_divide(struct claim *claims, u32 count, u64 bytes, u32 tax_pct)
{
	unsigned __int128 wanted = 0;

	for (u32 i = 0; i < count; i++)
		wanted += claims[i].want;
	divide(claims, count, bytes, wanted <= bytes, tax_pct);
}
