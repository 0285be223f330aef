/*
 * yaml: a strict subset of YAML 1.1 as a tree of maps, lists and texts; JSON is inside the subset.
 *
 * Refused: anchors, aliases, tags, directives, more than one document, keys that are not plain text, duplicate keys,
 * NUL, anything but UTF-8; files over MF_LIM_YAML bytes, trees over MF_LIM_YAML_NODES nodes or MF_LIM_YAML_DEPTH
 * levels. Texts have no type of their own: `yes`, `012` and `null` are those letters until a schema says otherwise.
 *
 * A struct mf_yaml owns the tree; nodes live as long as it does and never change. Problems go to the list, all at
 * once as far as the syntax lets us read on. The library underneath is included in yaml.c alone.
 */
#ifndef MF_CONF_YAML_H
#define MF_CONF_YAML_H
#include "conf/problem.h"

enum mf_yaml_kind { MF_YAML_TEXT, MF_YAML_LIST, MF_YAML_MAP };

struct mf_yaml_node {
	enum mf_yaml_kind kind;
	bool plain; /* a text without quotes: an empty one is "no value" */
	uint32_t line, col;
	struct mf_slice text;		  /* MF_YAML_TEXT: followed by a NUL */
	const struct mf_yaml_node *first; /* lists and maps: elements, in the order of the file */
	size_t n;
	const struct mf_yaml_node *next; /* of the list or map that this is in */
	struct mf_slice key;		 /* in a map: its key, followed by a NUL */
	uint32_t key_line, key_col;
};

struct mf_yaml; /* opaque */

/*
 * MF_OK with the document when the text could be read, even if problems were added: check their count. When it cannot be
 * read MF_E_INVALID or MF_E_TOOBIG, with a problem added; MF_E_NOMEM. An empty file is an empty map.
 */
MF_NODISCARD enum mf_status
mf_yaml_parse(struct mf_slice in, struct mf_problems *problems, struct mf_yaml **ret_doc, struct mf_err *err);
void mf_yaml_free(struct mf_yaml *doc); /* NULL is a no-op */
MF_DEFINE_CLEANUP(struct mf_yaml, mf_yaml_free)
const struct mf_yaml_node *mf_yaml_root(const struct mf_yaml *doc);

/* The member ${key} of a map, or NULL. */
const struct mf_yaml_node *mf_yaml_get(const struct mf_yaml_node *map, const char *key);
/* "a text", "a list", "a map". */
const char *mf_yaml_kind_name(enum mf_yaml_kind kind);
static inline struct mf_place
mf_yaml_place(const struct mf_yaml_node *n)
{
	return (struct mf_place) { NULL, n->line, n->col };
}
static inline struct mf_place
mf_yaml_key_place(const struct mf_yaml_node *n)
{
	return (struct mf_place) { NULL, n->key_line, n->key_col };
}
#endif
