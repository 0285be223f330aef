#include "cli/wait.h"

#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "cli/admin_cols.h"
#include "cli/pages.h"

#define PATIENCE_MS 300000u /* without --timeout: for what a provider has to confirm */
#define LOOK_MIN_MS 200u
#define LOOK_MAX_MS 2000u

typedef Mayfly__Admin__V1__Credential credential;

/* What was seen last of each, sorted by id: one that has expired is in no answer any more. */
struct seen {
	credential **v;
	size_t n;
	/* All sessions of a role, where the removal is one of those. */
	bool role, role_confirmed;
	int64_t role_dead_at;
	uint64_t role_record;
};

struct counts {
	size_t waiting;	 /* nobody confirmed yet, or the confirmation says a moment that is still to come */
	size_t expiring; /* nobody can end it sooner */
	int64_t last_s;	 /* when the last of those expires */
};

static void
seen_fini(struct seen *s)
{
	for (size_t i = 0; i < s->n; i++)
		mayfly__admin__v1__credential__free_unpacked(s->v[i], NULL);
	free(s->v);
}

static credential *
copy(const credential *c)
{
	size_t n = mayfly__admin__v1__credential__get_packed_size(c);
	uint8_t *b = malloc(n + 1);
	if (b == NULL)
		return NULL;
	(void)mayfly__admin__v1__credential__pack(c, b);
	credential *m = mayfly__admin__v1__credential__unpack(NULL, n, b);
	free(b);
	return m;
}

static int
by_id(const void *a, const void *b)
{
	const credential *const *x = a, *const *y = b;
	return strcmp((*x)->id, (*y)->id);
}

static void
say(struct mf_cli *c, const credential *x, int64_t now_s)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b;
	mf_buf_init(&b, 4096);
	mf_show_clean(&b, mf_slice_str(x->kind));
	mf_buf_put_u8(&b, ' ');
	mf_show_clean(&b, mf_slice_str(x->id));
	mf_buf_put_str(&b, ": ");
	bool only = mf_cli_only_expires(x) && x->dead_at > now_s;
	if (x->level[0] != '\0')
		mf_buf_putf(&b, "%s, %s ", x->level, only ? "expires at" : "dead");
	if (only)
		mf_time_put_s(&b, x->dead_at);
	else
		mf_cli_put_death(&b, x, now_s);
	if (x->level[0] != '\0')
		mf_buf_putf(&b, " (record %llu)", (unsigned long long)x->record_index);
	if (mf_buf_cstr(&b) != NULL)
		mf_cli_note(c, "%s", mf_buf_cstr(&b));
}

static void
merge_role(struct mf_cli *c, struct seen *s, const Mayfly__Admin__V1__EndedSessions *m, int64_t now_s)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf when;
	mf_buf_init(&when, 64);
	if (m == NULL)
		return; /* it is over by itself, and forgotten */
	if (m->confirmed && !s->role_confirmed) {
		mf_time_put_s(&when, m->dead_at);
		mf_cli_note(c, "all sessions of the role before that: dead %s %s (record %llu)",
		    m->dead_at > now_s ? "from" : "since",
		    mf_buf_cstr(&when) == NULL ? "?" : (const char *)when.p,
		    (unsigned long long)m->confirmed_index);
	}
	s->role_confirmed = m->confirmed;
	s->role_dead_at = m->dead_at;
	s->role_record = m->confirmed_index;
}

/* One answer into what is known; what is new of it is said. False: without memory. */
static bool
merge(struct mf_cli *c, struct seen *s, const struct mf_cli_creds *l, int64_t now_s)
{
	credential **v = realloc(s->v, (s->n + l->n + 1) * sizeof(*v));
	if (v == NULL)
		return false;
	s->v = v;
	size_t had = s->n;
	merge_role(c, s, l->sessions, now_s);
	for (size_t i = 0; i < l->n; i++) {
		credential **old = bsearch(&l->v[i], s->v, had, sizeof(*v), by_id), *x = copy(l->v[i]);
		if (x == NULL)
			return false;
		if (x->level[0] != '\0' && (old == NULL || (*old)->level[0] == '\0'))
			say(c, x, now_s);
		if (old == NULL) {
			s->v[s->n++] = x;
			continue;
		}
		mayfly__admin__v1__credential__free_unpacked(*old, NULL);
		*old = x;
	}
	qsort(s->v, s->n, sizeof(*v), by_id);
	return true;
}

static struct counts
count(const struct seen *s, int64_t now_s)
{
	struct counts k = { .waiting = s->role && (!s->role_confirmed || s->role_dead_at > now_s) };
	for (size_t i = 0; i < s->n; i++) {
		const credential *x = s->v[i];
		bool only = mf_cli_only_expires(x);
		int64_t dead = x->level[0] == '\0' ? x->not_after : x->dead_at;
		if (dead <= now_s)
			continue;
		k.waiting += !only;
		k.expiring += only;
		if (only && dead > k.last_s)
			k.last_s = dead;
	}
	return k;
}

/* ---- the outcome ---- */

static enum mf_status
render(const struct mf_cli *c, const Mayfly__Admin__V1__RemovalResponse *r, const struct seen *s, bool dead,
    struct mf_buf *to, struct mf_err *err)
{
	const void *const *rows = (const void *const *)(const void *)s->v;
	if (!c->json)
		return s->n == 0 ? MF_OK
				 : mf_show_table(to, "", mf_cli_death_cols, rows, s->n, mf_now(), err);
	struct mf_jw w;
	mf_show_json_begin(&w, to, "Removal");
	mf_jw_object_begin(&w);
	mf_jw_kstr(&w, "subject", r->subject);
	mf_jw_key(&w, "record_index");
	mf_jw_uint(&w, r->record_index);
	mf_jw_key(&w, "all_dead");
	mf_jw_bool(&w, dead);
	if (s->role) {
		mf_jw_key(&w, "sessions_confirmed");
		mf_jw_bool(&w, s->role_confirmed);
		mf_jw_key(&w, "sessions_record_index");
		mf_jw_uint(&w, s->role_record);
	}
	mf_jw_key(&w, "credentials");
	mf_jw_array_begin(&w);
	for (size_t i = 0; i < s->n; i++) {
		mf_jw_object_begin(&w);
		mf_show_object(&w, mf_cli_credential_cols, s->v[i]);
		mf_jw_object_end(&w);
	}
	mf_jw_array_end(&w);
	mf_jw_object_end(&w);
	return mf_show_json_end(&w, err);
}

static int
finish(struct mf_cli *c, const Mayfly__Admin__V1__RemovalResponse *r, const struct seen *s, bool in_time)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf b, when;
	struct mf_err err = { 0 };
	struct counts k = count(s, mf_now().wall_us / 1000000);
	mf_buf_init(&b, MF_SHOW_MAX);
	mf_buf_init(&when, 64);
	if (render(c, r, s, k.waiting + k.expiring == 0, &b, &err) != MF_OK)
		return mf_cli_fail(c, &err);
	mf_cli_write(c, mf_buf_slice(&b));
	mf_time_put_s(&when, k.last_s);
	if (k.waiting > 0)
		mf_cli_note(c,
		    "%zu not confirmed yet: the broker goes on asking; look again with `mayfly "
		    "credential ls --all`",
		    k.waiting);
	if (k.expiring > 0 && mf_buf_cstr(&when) != NULL)
		mf_cli_note(c,
		    "%zu only expire%s, the last at %s: where servers look at signatures alone, copies "
		    "are accepted until then",
		    k.expiring, k.expiring == 1 ? "s" : "", (const char *)when.p);
	if (k.waiting + k.expiring == 0)
		mf_cli_note(c, s->n == 0 && !s->role
				   ? "nothing of it was left"
				   : "all dead; the evidence is the log: mayfly audit verify");
	return in_time ? MF_EXIT_OK : MF_EXIT_UNREACHABLE;
}

static void
sleep_ms(uint64_t ms)
{
	struct timespec t = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000L };
	(void)nanosleep(&t, NULL);
}

int
mf_cli_wait(struct mf_cli *c, const Mayfly__Admin__V1__RemovalResponse *r)
{
	Mayfly__Admin__V1__ListCredentialsRequest req = MAYFLY__ADMIN__V1__LIST_CREDENTIALS_REQUEST__INIT;
	struct seen s = { .role = r->sessions != NULL };
	struct mf_err err = { 0 };
	bool all = mf_cli_has(c, "timeout"), known = false;
	uint64_t patience = all ? c->timeout_ms : PATIENCE_MS, from = mf_now().mono_ms, pause = LOOK_MIN_MS;
	int rc = -1;
	req.subject = r->subject;
	req.all = true;
	while (rc < 0) {
		MF_AUTO_IN(mf_cli_creds_fini) struct mf_cli_creds l = { 0 };
		enum mf_status got = mf_cli_creds_get(c, &req, &l, &err);
		struct mf_now now = mf_now();
		uint64_t left = now.mono_ms - from >= patience ? 0 : patience - (now.mono_ms - from);
		known |= got == MF_OK;
		if (got == MF_OK && !merge(c, &s, &l, now.wall_us / 1000000))
			got = MF_FAIL(&err, MF_E_NOMEM, "out of memory");
		struct counts k = count(&s, now.wall_us / 1000000);
		bool hopeless =
		    all && k.waiting == 0 && k.last_s * 1000000 > now.wall_us + (int64_t)(left * 1000);
		if (got != MF_OK && (got != MF_E_UNAVAILABLE || left == 0)) {
			rc = mf_cli_fail(c, &err); /* a broker that restarts comes back */
		} else if (known && k.waiting == 0 && (k.expiring == 0 || !all)) {
			rc = finish(c, r, &s, true);
		} else if (left == 0 || hopeless) {
			rc = finish(c, r, &s, false);
		} else {
			sleep_ms(pause < left ? pause : left);
			pause = pause * 2 > LOOK_MAX_MS ? LOOK_MAX_MS : pause * 2;
		}
	}
	seen_fini(&s);
	return rc;
}
