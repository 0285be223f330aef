/* schema_internal: what reading, overriding and printing share. */
#ifndef MF_CONF_SCHEMA_INTERNAL_H
#define MF_CONF_SCHEMA_INTERNAL_H
#include "conf/schema.h"

#define SCHEMA_LEAVES 128u /* values of one program that flags can name */
#define SCHEMA_NAME 64u	   /* bytes of "users-front" */

/* A value that has a flag: a field, where its struct lies in the whole, and its name with '-' throughout. */
struct schema_leaf {
	const struct mf_conf_field *field;
	size_t base;
	const char *group; /* the object's key, or NULL */
	char name[SCHEMA_NAME];
};
struct schema_leaves {
	struct schema_leaf v[SCHEMA_LEAVES];
	size_t n;
};

/* Flattens one level of objects. */
void mf_schema_leaves(const struct mf_conf_schema *schema, struct schema_leaves *ret);
/* One value from text, for every type that has a flag; ${what} names it in texts. False with a problem added. */
bool mf_schema_set_text(const struct mf_conf_field *f, struct mf_slice text, struct mf_place at,
    struct mf_arena *arena, struct mf_problems *problems, void *to);
/* One element of a list: ${ret_s} for MF_CONF_STRINGS, ${ret_d} for MF_CONF_INTS. */
bool mf_schema_set_element(const struct mf_conf_field *f, struct mf_slice text, struct mf_place at,
    struct mf_arena *arena, struct mf_problems *problems, const char **ret_s, int64_t *ret_d);
/* True for types that a flag can give. */
bool mf_schema_is_leaf(enum mf_conf_type type);
#endif
