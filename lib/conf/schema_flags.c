/* schema_flags: environment, flags, --print-config and --help from the same table. */
#include <stdio.h>

#include "base/clock.h"
#include "base/suggest.h"
#include "conf/schema_internal.h"

static const char env_prefix[] = "MAYFLY_";

static void
add_leaf(struct schema_leaves *to, const struct mf_conf_field *f, size_t base, const char *group)
{
	if (!mf_schema_is_leaf(f->type) || to->n == SCHEMA_LEAVES)
		return;
	struct schema_leaf *l = &to->v[to->n++];
	l->field = f;
	l->base = base;
	l->group = group;
	(void)snprintf(
	    l->name, sizeof(l->name), "%s%s%s", group == NULL ? "" : group, group == NULL ? "" : "-", f->key);
	for (char *c = l->name; *c != '\0'; c++)
		if (*c == '_')
			*c = '-';
}

void
mf_schema_leaves(const struct mf_conf_schema *schema, struct schema_leaves *ret)
{
	ret->n = 0;
	for (size_t i = 0; i < schema->n_fields; i++) {
		const struct mf_conf_field *f = &schema->fields[i];
		add_leaf(ret, f, 0, NULL);
		if (f->type != MF_CONF_OBJECT)
			continue;
		for (size_t k = 0; k < f->sub->n_fields; k++)
			add_leaf(ret, &f->sub->fields[k], f->at, f->key);
	}
}

static void
env_name(const struct schema_leaf *l, char to[SCHEMA_NAME + sizeof(env_prefix)])
{
	(void)snprintf(to, SCHEMA_NAME + sizeof(env_prefix), "%s%s", env_prefix,
	    l->field->env == NULL ? l->name : l->field->env);
	for (char *c = to; *c != '\0'; c++)
		*c = *c == '-' ? '_' : *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
}

static enum mf_status
set_leaf(const struct schema_leaf *l, struct mf_slice value, struct mf_slice source, struct mf_arena *arena,
    struct mf_problems *problems, void *to, struct mf_err *err)
{
	struct mf_place at = { .source = mf_arena_str(arena, source) };
	if (at.source == NULL)
		return MF_FAIL(err, MF_E_NOMEM, "configuration: out of memory");
	(void)mf_schema_set_text(l->field, value, at, arena, problems, (uint8_t *)to + l->base);
	return MF_OK;
}

static enum mf_status
from_env(const struct schema_leaves *leaves, char *const *env, struct mf_arena *arena,
    struct mf_problems *problems, void *to, struct mf_err *err)
{
	for (; env != NULL && *env != NULL; env++) {
		const char *eq = strchr(*env, '=');
		if (eq == NULL || strncmp(*env, env_prefix, sizeof(env_prefix) - 1) != 0)
			continue;
		struct mf_slice name = mf_slice(*env, (size_t)(eq - *env));
		for (size_t i = 0; i < leaves->n; i++) {
			char want[SCHEMA_NAME + sizeof(env_prefix)];
			env_name(&leaves->v[i], want);
			if (mf_slice_eq_str(name, want))
				MF_TRY(set_leaf(
				    &leaves->v[i], mf_slice_str(eq + 1), name, arena, problems, to, err));
		}
	}
	return MF_OK;
}

/* "--name" or "--name=value" taken apart; false when it is no flag. */
static bool
split_flag(const char *arg, struct mf_slice *ret_name, const char **ret_value)
{
	if (arg[0] != '-' || arg[1] != '-' || arg[2] == '\0')
		return false;
	const char *eq = strchr(arg, '=');
	*ret_name = mf_slice(arg + 2, eq == NULL ? strlen(arg + 2) : (size_t)(eq - arg - 2));
	*ret_value = eq == NULL ? NULL : eq + 1;
	return true;
}

/* 0: not one of ${own}; 1: it is; 2: it is and takes a value. */
static int
own_flag(const char *const *own, struct mf_slice name)
{
	for (; own != NULL && *own != NULL; own++) {
		struct mf_slice o = mf_slice_str(*own);
		bool takes = o.n > 0 && o.p[o.n - 1] == '=';
		if (mf_slice_eq(mf_slice_sub(o, 0, takes ? o.n - 1 : o.n), name))
			return takes ? 2 : 1;
	}
	return 0;
}

static void
unknown_flag(const struct schema_leaves *leaves, const char *arg, struct mf_slice name,
    struct mf_arena *arena, struct mf_problems *problems)
{
	const char *names[SCHEMA_LEAVES];
	for (size_t i = 0; i < leaves->n; i++)
		names[i] = leaves->v[i].name;
	const char *near = mf_suggest(name, names, leaves->n);
	const char *source = mf_arena_str(arena, mf_slice(arg, name.n + 2));
	struct mf_place at = { .source = source == NULL || !mf_suggest_printable(name) ? "flag" : source };
	if (near != NULL)
		mf_problems_add(problems, at, "unknown flag; did you mean --%s?", near);
	else
		mf_problems_add(problems, at, "unknown flag; --help lists all");
}

static enum mf_status
from_flags(const struct schema_leaves *leaves, char *const *argv, const char *const *own,
    struct mf_arena *arena, struct mf_problems *problems, void *to, struct mf_err *err)
{
	for (; argv != NULL && *argv != NULL; argv++) {
		struct mf_slice name;
		const char *value = NULL;
		if (!split_flag(*argv, &name, &value)) {
			mf_problems_add(
			    problems, (struct mf_place) { .source = *argv }, "not a flag; --help lists all");
			continue;
		}
		int mine = own_flag(own, name);
		size_t i = 0;
		while (i < leaves->n && !mf_slice_eq_str(name, leaves->v[i].name))
			i++;
		if (mine == 0 && i == leaves->n) {
			unknown_flag(leaves, *argv, name, arena, problems);
			continue;
		}
		const char *flag = *argv;
		bool takes = mine == 0 ? leaves->v[i].field->type != MF_CONF_BOOL : mine == 2;
		if (value == NULL && takes) {
			if (argv[1] == NULL) {
				mf_problems_add(
				    problems, (struct mf_place) { .source = flag }, "needs a value");
				return MF_OK;
			}
			value = *++argv;
		}
		if (mine == 0)
			MF_TRY(set_leaf(&leaves->v[i], mf_slice_str(value == NULL ? "true" : value),
			    mf_slice(flag, name.n + 2), arena, problems, to, err));
	}
	return MF_OK;
}

enum mf_status
mf_conf_override(const struct mf_conf_schema *schema, char *const *env, char *const *argv,
    const char *const *own, struct mf_arena *arena, struct mf_problems *problems, void *to,
    struct mf_err *err)
{
	struct schema_leaves leaves;
	mf_schema_leaves(schema, &leaves);
	MF_TRY(from_env(&leaves, env, arena, problems, to, err));
	return from_flags(&leaves, argv, own, arena, problems, to, err);
}

void
mf_conf_complete(const struct mf_conf_schema *schema, const struct mf_yaml_node *root, const void *from,
    struct mf_problems *problems)
{
	struct schema_leaves leaves;
	mf_schema_leaves(schema, &leaves);
	for (size_t i = 0; i < leaves.n; i++) {
		const struct schema_leaf *l = &leaves.v[i];
		const void *at = (const uint8_t *)from + l->base + l->field->at;
		char env[SCHEMA_NAME + sizeof(env_prefix)];
		if (!l->field->required || l->field->type != MF_CONF_STRING ||
		    **(const char *const *)at != '\0')
			continue;
		if (root != NULL && l->group == NULL && mf_yaml_get(root, l->field->key) != NULL)
			continue;
		env_name(l, env);
		mf_problems_add(problems, (struct mf_place) { 0 },
		    "`%s` is missing: set it here, by --%s or by %s (%s)", l->field->key, l->name, env,
		    l->field->help);
	}
}

const char *
mf_conf_own_value(char *const *argv, const char *name)
{
	const char *found = NULL;
	for (; argv != NULL && *argv != NULL; argv++) {
		struct mf_slice n;
		const char *value = NULL;
		if (!split_flag(*argv, &n, &value) || !mf_slice_eq_str(n, name))
			continue;
		found = value != NULL ? value : argv[1];
	}
	return found;
}

bool
mf_conf_own_flag(char *const *argv, const char *name)
{
	for (; argv != NULL && *argv != NULL; argv++) {
		struct mf_slice n;
		const char *value = NULL;
		if (split_flag(*argv, &n, &value) && mf_slice_eq_str(n, name))
			return true;
	}
	return false;
}

/* In double quotes, escaped as YAML and JSON both read it. */
static void
put_quoted(struct mf_buf *to, const char *s)
{
	mf_buf_put_u8(to, '"');
	for (; *s != '\0'; s++) {
		uint8_t c = (uint8_t)*s;
		if (c == '"' || c == '\\')
			mf_buf_putf(to, "\\%c", c);
		else if (c < 0x20)
			mf_buf_putf(to, "\\u%04X", (unsigned)c);
		else
			mf_buf_put_u8(to, c);
	}
	mf_buf_put_u8(to, '"');
}

static void
put_duration(struct mf_buf *to, uint64_t ms)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = { { "d", 86400000 }, { "h", 3600000 }, { "m", 60000 }, { "s", 1000 }, { "ms", 1 } };
	size_t u = 0;
	while (ms == 0 ? u < 3 : ms % units[u].ms != 0)
		u++;
	mf_buf_putf(to, "%llu%s", (unsigned long long)(ms / units[u].ms), units[u].unit);
}

static void
put_value(struct mf_buf *to, const struct mf_conf_field *f, const void *at)
{
	switch (f->type) {
	case MF_CONF_STRING:
		put_quoted(to, *(const char *const *)at);
		break;
	case MF_CONF_INT:
		mf_buf_putf(to, "%lld", (long long)*(const int64_t *)at);
		break;
	case MF_CONF_BOOL:
		mf_buf_put_str(to, *(const bool *)at ? "true" : "false");
		break;
	case MF_CONF_DURATION:
		put_duration(to, *(const uint64_t *)at);
		break;
	case MF_CONF_SIZE:
		mf_buf_putf(to, "%llu", (unsigned long long)*(const uint64_t *)at);
		break;
	case MF_CONF_ENUM:
		mf_buf_put_str(to, f->words[*(const int *)at]);
		break;
	case MF_CONF_DATE: {
		int y, mo, d, h, mi, s;
		mf_civil(*(const int64_t *)at, &y, &mo, &d, &h, &mi, &s);
		mf_buf_putf(to, "%04d-%02d-%02d", y, mo, d);
		break;
	}
	case MF_CONF_STRINGS: {
		const struct mf_conf_strings *list = at;
		mf_buf_put_u8(to, '[');
		for (size_t i = 0; i < list->n; i++) {
			mf_buf_put_str(to, i == 0 ? "" : ", ");
			put_quoted(to, list->v[i]);
		}
		mf_buf_put_u8(to, ']');
		break;
	}
	case MF_CONF_INTS: {
		const struct mf_conf_ints *list = at;
		mf_buf_put_u8(to, '[');
		for (size_t i = 0; i < list->n; i++)
			mf_buf_putf(to, "%s%lld", i == 0 ? "" : ", ", (long long)list->v[i]);
		mf_buf_put_u8(to, ']');
		break;
	}
	default:
		break;
	}
}

void
mf_conf_print(const struct mf_conf_schema *schema, const void *from, struct mf_buf *to)
{
	struct schema_leaves leaves;
	const char *group = NULL;
	mf_schema_leaves(schema, &leaves);
	for (size_t i = 0; i < leaves.n; i++) {
		const struct schema_leaf *l = &leaves.v[i];
		if (l->group != NULL && l->group != group)
			mf_buf_putf(to, "%s:\n", l->group);
		group = l->group;
		mf_buf_putf(to, "%s%s: ", group == NULL ? "" : "  ", l->field->key);
		put_value(to, l->field, (const uint8_t *)from + l->base + l->field->at);
		if (l->field->help != NULL)
			mf_buf_putf(to, "  # %s", l->field->help);
		mf_buf_put_u8(to, '\n');
	}
}

void
mf_conf_help(const struct mf_conf_schema *schema, struct mf_buf *to)
{
	struct schema_leaves leaves;
	mf_schema_leaves(schema, &leaves);
	for (size_t i = 0; i < leaves.n; i++) {
		const struct schema_leaf *l = &leaves.v[i];
		char env[SCHEMA_NAME + sizeof(env_prefix)];
		env_name(l, env);
		mf_buf_putf(
		    to, "  --%-24s %-28s %s", l->name, env, l->field->help == NULL ? "" : l->field->help);
		if (l->field->required)
			mf_buf_put_str(to, " (required)");
		else if (l->field->def != NULL && l->field->def[0] != '\0')
			mf_buf_putf(to, " (default %s)", l->field->def);
		mf_buf_put_u8(to, '\n');
	}
}
