/*
 * attribute: what a node attribute (node.NAME in policy) may look like, wherever it comes from: a join token, a
 * certificate, a configuration. One alphabet for all, so that nothing that policy compares can look like something
 * else. Pure.
 */
#ifndef MF_BASE_ATTRIBUTE_H
#define MF_BASE_ATTRIBUTE_H
#include "base/slice.h"

#define MF_ATTRIBUTE_NAME 64u	/* bytes */
#define MF_ATTRIBUTE_VALUE 128u /* bytes */
#define MF_ATTRIBUTES 32u	/* of one node */

/* 1..64 of a-z 0-9 _ . -, and not `id` or `attestor`, which the broker says itself. */
bool mf_attribute_name_ok(struct mf_slice name);
/* 1..128 of A-Z a-z 0-9 . _ : / @ + - */
bool mf_attribute_value_ok(struct mf_slice value);
/* "NAME=VALUE", both good. */
bool mf_attribute_ok(struct mf_slice pair);
#endif
