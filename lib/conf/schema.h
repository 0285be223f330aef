/*
 * schema: one table says what a configuration may hold. It drives reading YAML into a C struct, overriding by
 * environment variable and flag, printing the result, and help.
 *
 * A table is an array of fields, each with the offset of its place in the struct. Strings in the struct point into
 * the arena given at reading. Unknown keys, wrong kinds and values out of range become problems with line, column and
 * cure; a field with a problem keeps its default, so everything is checked in one go. Tables nest by pointer and are
 * constant, so nesting is bounded by the program, not by the file.
 */
#ifndef MF_CONF_SCHEMA_H
#define MF_CONF_SCHEMA_H
#include "base/arena.h"
#include "conf/yaml.h"

enum mf_conf_type {
	MF_CONF_STRING,	  /* const char *, never NULL; min..max bytes (max 0: 4096) */
	MF_CONF_INT,	  /* int64_t, min..max */
	MF_CONF_BOOL,	  /* bool: true, false (yes and on are refused: YAML versions differ on them) */
	MF_CONF_DURATION, /* uint64_t milliseconds, min..max */
	MF_CONF_SIZE,	  /* uint64_t bytes, min..max; "64MiB", "4KiB", plain bytes */
	MF_CONF_ENUM,	  /* int: the index in words */
	MF_CONF_DATE,	  /* int64_t: 00:00 UTC of "2027-02-01", seconds since 1970 */
	MF_CONF_STRINGS,  /* struct mf_conf_strings: a list, min..max elements (max 0: 256) */
	MF_CONF_INTS,	  /* struct mf_conf_ints: a list of integers >= 0 and <= UINT32_MAX */
	MF_CONF_OBJECT,	  /* the struct of ${sub}, inline */
	MF_CONF_OBJECTS,  /* struct mf_conf_items: a list of ${sub}, min..max elements (max 0: 256) */
	MF_CONF_MAP, /* struct mf_conf_items: a map from names to ${sub}, whose MF_CONF_NAME field gets the key */
	MF_CONF_TREE, /* const struct mf_yaml_node *: read by the caller; NULL when absent */
	MF_CONF_NAME, /* const char *: no key of its own; see MF_CONF_MAP */
	MF_CONF_SELF  /* const struct mf_yaml_node *: no key; the node that the struct was read from */
};

struct mf_conf_strings {
	const char *const *v;
	size_t n;
};
struct mf_conf_ints {
	const int64_t *v;
	size_t n;
};
struct mf_conf_items {
	const void *v; /* array of the sub-struct */
	size_t n;
};

struct mf_conf_schema;
struct mf_conf_field {
	const char *key;
	enum mf_conf_type type;
	size_t at; /* offsetof in the struct */
	bool required;
	int64_t min, max;
	const char *const *words; /* MF_CONF_ENUM: NULL at the end */
	/* MF_CONF_STRING and the elements of MF_CONF_STRINGS: NULL when good, else what it must be ("must be ..."). */
	const char *(*check)(struct mf_slice value);
	const struct mf_conf_schema *sub;
	const char *def;  /* the default as it would be written; NULL: empty, zero, false */
	const char *help; /* one line, for people */
	/* The variable after MAYFLY_, in small letters, where the key's own name would mean something else: "agent_broker". */
	const char *env;
};
struct mf_conf_schema {
	const struct mf_conf_field *fields;
	size_t n_fields;
	size_t size; /* of the struct */
	/* Flags may still give what the file lacks: required strings are checked by mf_conf_complete, not at reading. */
	bool late;
};
#define MF_CONF_SCHEMA(table, type)                           \
	{                                                     \
		(table), MF_COUNT(table), sizeof(type), false \
	}

/*
 * Fill the struct ${to} with the defaults and then with ${root} (may be NULL: defaults only). What is wrong goes to
 * ${problems}; MF_E_NOMEM is the only failure. ${to} points into ${arena} and ${root}'s document.
 */
MF_NODISCARD enum mf_status mf_conf_read(const struct mf_conf_schema *schema, const struct mf_yaml_node *root,
    struct mf_arena *arena, struct mf_problems *problems, void *to, struct mf_err *err);

/*
 * Override single values (also those of nested objects: users.front is MAYFLY_USERS_FRONT and --users-front; lists
 * are written with commas). Environment first, then flags. ${env} as environ, ${argv} without the program's name;
 * either may be NULL. ${own} lists flags of the program itself, NULL at the end, "config=" when it takes a value;
 * they are skipped. Unknown flags are problems; unknown MAYFLY_* variables are left alone. A problem's source points
 * into ${env} or ${argv} or the arena.
 */
MF_NODISCARD enum mf_status mf_conf_override(const struct mf_conf_schema *schema, char *const *env,
    char *const *argv, const char *const *own, struct mf_arena *arena, struct mf_problems *problems, void *to,
    struct mf_err *err);
/*
 * A problem for every required string of the struct, or of an object in it, that is empty; unless ${root} (may be NULL)
 * has it: then it was refused there.
 */
void mf_conf_complete(const struct mf_conf_schema *schema, const struct mf_yaml_node *root, const void *from,
    struct mf_problems *problems);
/* The value of the program's own flag --NAME=VALUE or --NAME VALUE (the last one), or NULL. */
const char *mf_conf_own_value(char *const *argv, const char *name);
/* True when --NAME is there. */
bool mf_conf_own_flag(char *const *argv, const char *name);

/* The struct as YAML that reads back to the same: --print-config. Fields of type TREE and MAP are left out. */
void mf_conf_print(const struct mf_conf_schema *schema, const void *from, struct mf_buf *to);
/* One line per value: flag, variable, help and default: --help. */
void mf_conf_help(const struct mf_conf_schema *schema, struct mf_buf *to);

/* Checks for MF_CONF_STRING. */
const char *mf_conf_check_path(struct mf_slice v);	   /* absolute, no "." or ".." parts */
const char *mf_conf_check_address(struct mf_slice v);	   /* host:port, [v6]:port */
const char *mf_conf_check_name(struct mf_slice v);	   /* 1..64 of a-z 0-9 . - _ */
const char *mf_conf_check_trust_domain(struct mf_slice v); /* SPIFFE-ID 2.1 and what Go's x509 demands */
const char *mf_conf_check_user(struct mf_slice v);	   /* a Unix user or group name */
#endif
