/* What operators have frozen, as far as they were told: nothing leaves for it until it is lifted. */
#include "sim_observer.h"

#include <stdlib.h>

#define FREEZES 16u
#define TENANT "default"

struct freeze {
	char kind[12], name[32];	  /* as `mayfly revoke --KIND NAME`; kind "": free */
	bool effective, recorded;	  /* that is what operators were told, and it was not lifted since */
	uint64_t lifted;		  /* index of the record that lifted it; NEVER */
	bool was_effective, was_recorded; /* before */
	bool perhaps;			  /* it may stand */
};

struct obs_freezes {
	struct freeze v[FREEZES];
};

struct obs_freezes *
sim_freezes_new(void)
{
	return sim_alloc(sizeof(struct obs_freezes));
}

void
sim_freezes_free(struct obs_freezes *f)
{
	free(f);
}

static struct freeze *
freeze_of(const char *kind, const char *name)
{
	struct obs_freezes *o = sim->observer->freezes;
	for (size_t i = 0; i < FREEZES; i++) {
		struct freeze *f = &o->v[i];
		if (f->kind[0] == '\0') {
			*f = (struct freeze) { .lifted = NEVER };
			(void)snprintf(f->kind, sizeof(f->kind), "%s", kind);
			(void)snprintf(f->name, sizeof(f->name), "%s", name);
		}
		if (strcmp(f->kind, kind) == 0 && strcmp(f->name, name) == 0)
			return f;
	}
	sim_abort("more freezes than a history has");
}

/* A record's "person:unix:alice". */
static struct freeze *
freeze_of_subject(struct mf_slice subject)
{
	char text[48], *colon;
	(void)snprintf(text, sizeof(text), "%.*s", (int)subject.n, (const char *)subject.p);
	colon = strchr(text, ':');
	if (colon != NULL)
		*colon = '\0';
	return freeze_of(text, colon == NULL ? "" : colon + 1);
}

static bool
matches(const struct freeze *f, const struct obs_job *j)
{
	char person[40];
	const char *user = sim_user(j->uid), *pool = sim_agent_pool(sim->agents[j->agent]);
	(void)snprintf(person, sizeof(person), "unix:%s", user == NULL ? "" : user);
	if (strcmp(f->kind, "all") == 0)
		return true;
	if (strcmp(f->kind, "tenant") == 0)
		return strcmp(f->name, TENANT) == 0;
	if (strcmp(f->kind, "person") == 0)
		return user != NULL && strcmp(f->name, person) == 0;
	if (strcmp(f->kind, "profile") == 0)
		return strcmp(f->name, j->profile) == 0;
	return user != NULL && sim_policy_is_rule(f->name, pool, user, j->profile);
}

void
obs_check_frozen(const struct obs_job *j, const char *what)
{
	const struct obs_freezes *o = sim->observer->freezes;
	for (size_t i = 0; o != NULL && i < FREEZES; i++)
		if (o->v[i].effective && matches(&o->v[i], j))
			sim_violated(7, "%s leaves for %s of profile %s, and an operator has frozen %s %s",
			    what, j->key, j->profile, o->v[i].kind, o->v[i].name);
}

/* ---- what operators were told ---- */

void
sim_saw_freeze(const char *kind, const char *name, uint64_t index, bool recorded)
{
	struct freeze *f = freeze_of(kind, name);
	struct sim_observer *o = sim->observer;
	f->perhaps = true;
	if (f->lifted != NEVER && f->lifted > index)
		return; /* the answer is of before */
	f->effective = true;
	f->recorded = recorded;
	for (size_t i = 0; i < o->jobs_n; i++) {
		const struct obs_job *j = &o->jobs[i];
		if (j->profile[0] != '\0' && j->opened != NEVER && j->ended == NEVER && matches(f, j))
			sim_violated(7, "%s %s is frozen, and %s goes on", kind, name, j->key);
	}
}

void
sim_saw_freeze_asked(const char *kind, const char *name)
{
	freeze_of(kind, name)->perhaps = true;
}

void
sim_saw_not_frozen(const char *kind, const char *name)
{
	freeze_of(kind, name)->perhaps = false;
}

bool
sim_some_freeze(size_t from, const char **ret_kind, const char **ret_name)
{
	const struct obs_freezes *o = sim->observer->freezes;
	for (size_t i = 0; i < FREEZES; i++) {
		const struct freeze *f = &o->v[(from + i) % FREEZES];
		if (!f->perhaps)
			continue;
		*ret_kind = f->kind;
		*ret_name = f->name;
		return true;
	}
	return false;
}

/* ---- what the log says ---- */

void
sim_saw_freeze_record(uint64_t index, const struct mf_record *r)
{
	if (sim->observer->freezes == NULL)
		return;
	struct freeze *f = freeze_of_subject(r->s[MF_RS_SUBJECT]);
	f->perhaps = true;
	if (r->type != MF_REC_FREEZE_LIFTED)
		return;
	f->lifted = index;
	f->was_effective = f->effective;
	f->was_recorded = f->recorded;
	f->effective = f->recorded = false;
}

void
sim_saw_freezes_lost(void)
{
	struct obs_freezes *o = sim->observer->freezes;
	for (size_t i = 0; o != NULL && i < FREEZES; i++)
		if (o->v[i].kind[0] != '\0') {
			o->v[i].effective = o->v[i].recorded = false;
			o->v[i].lifted = NEVER;
			o->v[i].perhaps = true;
		}
}

void
sim_saw_freezes_restart(bool power, uint64_t size)
{
	struct obs_freezes *o = sim->observer->freezes;
	for (size_t i = 0; o != NULL && i < FREEZES; i++) {
		struct freeze *f = &o->v[i];
		if (f->lifted != NEVER && f->lifted >= size) { /* the lifting is gone, so it stands */
			f->effective = f->effective || f->was_effective;
			f->recorded = f->recorded || f->was_recorded;
			f->lifted = NEVER;
			f->perhaps = true;
		}
		if (power && !f->recorded)
			f->effective = false; /* nobody was promised that it survives the machine */
	}
}
