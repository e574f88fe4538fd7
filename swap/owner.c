/* SPDX-License-Identifier: Apache-2.0 */
#include "swap/owner.h"

#include <errno.h>

#include "mem/relocate.h"
#include "swap/shared.h"

int owner_hold(const struct owners *owners, struct page_owner owner, struct page_word from)
{
	if (owner.space != SHARED_OWNER)
		return relocate_begin(owners->memory, owner, from);
	return owners->shared ? shared_hold(owners->shared, owner.index, from) : -ESTALE;
}

bool owner_let_go(const struct owners *owners, struct page_owner owner, struct page_word from,
		  struct page_word to)
{
	if (owner.space == SHARED_OWNER)
		return shared_let_go(owners->shared, owner.index, from, to);
	relocate_end(owners->memory, owner, to);
	return true;
}
