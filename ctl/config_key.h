/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may stand in a configuration file, as two tables: from them the parser, its messages and
 * `ballast help config` are made, and a test holds docs/config.md against them.
 */
#ifndef CTL_CONFIG_KEY_H
#define CTL_CONFIG_KEY_H

#include "lib/types.h"
#include "manager/config.h"

enum config_type {
	CONFIG_SIZE,	    /* u64, bytes */
	CONFIG_NUMBER,	    /* u64 */
	CONFIG_COUNT,	    /* u32 */
	CONFIG_PERCENT,	    /* u32 */
	CONFIG_DURATION,    /* u32, seconds */
	CONFIG_NODE,	    /* s32; -1 is written `any` */
	CONFIG_YES_NO,	    /* bool */
	CONFIG_ACCEL,	    /* u32, enum attach_accel */
	CONFIG_THOUSANDTHS, /* u32, thousandths of a per cent: "0.2" is 200 */
	CONFIG_LEVELS,	    /* u32[HOST_STATES] */
	CONFIG_TEXT,	    /* char[max + 1], without its NUL from min to max characters */
	CONFIG_MODE,	    /* u32, permissions in octal */
	CONFIG_TYPES
};

struct config_key {
	const char *name;
	enum config_type type;
	u32 offset;   /* of the field, in the section's struct */
	u64 min, max; /* inclusive */
	u64 step;     /* the value is a multiple; 0: any */
	bool required;
	const char *preset; /* the default, as a user would write it; NULL: help says */
	const char *help;
};

/* A [guest] section: one guest's configuration, or that of `count` alike. */
struct guest_section {
	struct guest_config guest;
	u32 count;
};

struct config_keys {
	const struct config_key *keys;
	u32 count;
};

extern const struct config_keys config_host_keys;   /* offsets into struct host_config */
extern const struct config_keys config_policy_keys; /* offsets into struct policy_tuning */
extern const struct config_keys config_guest_keys;  /* offsets into struct guest_section */
extern const struct config_keys config_ksm_keys;    /* [ksm]: offsets into struct host_config */

/* The index of the key of that name, or -ENOENT. */
int config_key_find(const struct config_keys *keys, const char *name);

/*
 * Sets the key's field of the section at `base`, whose type must be the table's, from what the user
 * wrote. Returns 0; or -EINVAL with what is wrong and what is allowed in `error`, and the field as it
 * was.
 */
int config_key_set(const struct config_key *key, char *base, const char *value, char *error,
		   size_t size);

/* What may be written for this key, for help and messages: "a size from 8M to 1T, ...". */
void config_key_describe(const struct config_key *key, char *text, size_t size);

#endif
