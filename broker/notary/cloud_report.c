#include "broker/notary/cloud_report.h"

#include <stdarg.h>
#include <stdio.h>

static const char *const sides[] = { [SIDE_NONE] = "",
	[SIDE_PROFILE] = "profile",
	[SIDE_BROKER] = "broker",
	[SIDE_PUBLICATION] = "publication",
	[SIDE_PROVIDER] = "provider",
	[SIDE_NETWORK] = "network",
	[SIDE_CLOCK] = "clock" };
static const char *const levels[] = { [REPORT_OK] = "ok", [REPORT_WARN] = "warn", [REPORT_FAIL] = "fail" };

struct report_finding *
mf_report_add(struct cloud_report *r, const char *code, enum report_level level, enum report_side side,
    const char *fmt, ...)
{
	struct report_finding *f = &r->v[r->n < MF_REPORT_FINDINGS ? r->n++ : MF_REPORT_FINDINGS - 1];
	va_list ap;
	*f = (struct report_finding) { .code = code, .level = level, .side = side };
	va_start(ap, fmt);
	(void)vsnprintf(f->cause, sizeof(f->cause), fmt, ap);
	va_end(ap);
	return f;
}

void
mf_report_cure(struct report_finding *f, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(f->cure, sizeof(f->cure), fmt, ap);
	va_end(ap);
}

struct report_finding *
mf_report_find(struct cloud_report *r, const char *code)
{
	for (size_t i = 0; i < r->n; i++)
		if (strcmp(r->v[i].code, code) == 0)
			return &r->v[i];
	return NULL;
}

bool
mf_report_failed(const struct cloud_report *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].level == REPORT_FAIL)
			return true;
	return false;
}

/* Texts are packed, never changed; what was cut in the middle of a letter is not sent. */
static char *
text(char *s)
{
	size_t n = strlen(s);
	while (n > 0 && !mf_utf8_ok(mf_slice_str(s)))
		s[--n] = '\0';
	return s;
}

void
mf_report_send(struct mf_engine *e, struct mf_now now, uint64_t call_id, const struct cloud_report *r,
    const struct mf_policy_profile *profile, const char *cred)
{
	Mayfly__Roles__V1__AdminReply reply = MAYFLY__ROLES__V1__ADMIN_REPLY__INIT;
	Mayfly__Admin__V1__CloudProbe p = MAYFLY__ADMIN__V1__CLOUD_PROBE__INIT;
	Mayfly__Admin__V1__CloudFinding m[MF_REPORT_FINDINGS], *pm[MF_REPORT_FINDINGS];
	char *grants[MF_LIM_CLOUD_GRANTS];
	for (size_t i = 0; i < r->n; i++) {
		mayfly__admin__v1__cloud_finding__init(&m[i]);
		m[i].code = (char *)(uintptr_t)r->v[i].code;
		m[i].level = (char *)(uintptr_t)levels[r->v[i].level];
		m[i].side = (char *)(uintptr_t)sides[r->v[i].side];
		m[i].cause = text((char *)(uintptr_t)r->v[i].cause);
		m[i].cure = text((char *)(uintptr_t)r->v[i].cure);
		pm[i] = &m[i];
	}
	p.findings = pm;
	p.n_findings = r->n;
	for (size_t i = 0; profile != NULL && i < profile->n_cloud; i++)
		grants[p.n_grants++] = (char *)(uintptr_t)profile->cloud[i].name;
	p.grants = grants;
	p.credential_id = (char *)(uintptr_t)cred;
	reply.call_id = call_id;
	reply.what_case = MAYFLY__ROLES__V1__ADMIN_REPLY__WHAT_CLOUD_PROBE;
	reply.cloud_probe = &p;
	uint64_t size = mf_state_size(e->state);
	mf_release_admin(e, now, size == 0 ? 0 : size - 1, &reply);
	mf_release_due(e, now);
}
