/*
 * facts: what is known about one request when policy decides: attribute -> set of strings.
 *
 * Four namespaces, set by whoever adds a fact and never by its text, so that a manifest cannot speak for a node:
 * attested.* (selectors), node.*, manifest.*, submitter.*. An attribute that was never added is unknown; one that was
 * only declared is known to be empty. A list of objects (manifest.dataset) keeps its elements apart and is a set for
 * each of their keys as well (manifest.dataset.uri); such a set is *partial* where an element lacks the key. Copies
 * what it is given. Fill, seal, then read: a sealed set never changes and threads may share it. Pure.
 */
#ifndef MF_CORE_FACTS_H
#define MF_CORE_FACTS_H
#include "base/slice.h"

enum mf_fact_ns { MF_FACT_ATTESTED, MF_FACT_NODE, MF_FACT_MANIFEST, MF_FACT_SUBMITTER, MF_FACT_NS_COUNT };

struct mf_facts; /* opaque */

MF_NODISCARD enum mf_status mf_facts_new(struct mf_facts **ret_f, struct mf_err *err);
void mf_facts_free(struct mf_facts *f); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_facts, mf_facts_free)

/*
 * ${name} is without the namespace ("unix.user"): 1..128 bytes. ${value} up to MF_LIM_SELECTOR bytes, UTF-8 without
 * NUL. Adding the same value twice is no error. MF_E_INVALID, MF_E_TOOBIG (MF_LIM_FACTS), MF_E_NOMEM, MF_E_STATE when
 * sealed.
 */
MF_NODISCARD enum mf_status mf_facts_add(
    struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice name, struct mf_slice value, struct mf_err *err);
/* The attribute is known, whatever else is added to it: without any value it is the empty set. */
MF_NODISCARD enum mf_status
mf_facts_declare(struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice name, struct mf_err *err);
/*
 * Element ${i} (from 0) of ${list} has ${key} = ${value}: declares ${list}, and adds ${value} to the set LIST.KEY.
 * Errors as mf_facts_add; at most MF_LIM_FACTS elements.
 */
MF_NODISCARD enum mf_status mf_facts_add_item(struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice list,
    size_t i, struct mf_slice key, struct mf_slice value, struct mf_err *err);
void mf_facts_seal(struct mf_facts *f);

/* Readers; the set must be sealed (an unsealed one knows nothing). */
bool mf_facts_known(const struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice name);
size_t mf_facts_count(const struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice name);
/* The value ${i} in byte order, empty when there is none. Valid as long as ${f}. */
struct mf_slice mf_facts_value(const struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice name, size_t i);
bool
mf_facts_contains(const struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice name, struct mf_slice value);

/* All of one attribute in one look: ${n} values from position ${from} on, in byte order. */
struct mf_facts_view {
	size_t from, n;
	bool known; /* has a value, or was declared */
	bool
	    partial; /* an element of its list says nothing about it: there may be values that are not here */
};
struct mf_facts_view mf_facts_look(const struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice name);
/* The value at a position of a view. */
struct mf_slice mf_facts_at(const struct mf_facts *f, size_t position);
/* Elements of a list of objects; 0 when there is none. */
size_t mf_facts_items(const struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice list);
/* False when element ${i} has no such key. */
MF_NODISCARD bool mf_facts_item(const struct mf_facts *f, enum mf_fact_ns ns, struct mf_slice list, size_t i,
    struct mf_slice key, struct mf_slice *ret_value);

/* "attested", "node", "manifest", "submitter". */
const char *mf_fact_ns_name(enum mf_fact_ns ns);
/* Split "node.pool" into namespace and name; false when the namespace is none of the four or the name is empty. */
bool mf_fact_split(struct mf_slice attribute, enum mf_fact_ns *ret_ns, struct mf_slice *ret_name);
#endif
