/* Reading a log to its end, living or not; what the outcome means. */
#include <time.h>

#include "base/clock.h"
#include "cli/audit/audit.h"

void
mf_audit_sleep_ms(unsigned ms)
{
	struct timespec t = { ms / 1000, (long)(ms % 1000) * 1000000 };
	(void)nanosleep(&t, NULL);
}

uint64_t
mf_audit_unsigned(const struct mf_verify_report *rep)
{
	return rep->records - (rep->have_head ? rep->head.head.size : 0);
}

int
mf_audit_exit_of(enum mf_status s)
{
	return s == MF_OK ? AUDIT_OK : s == MF_E_CORRUPT || s == MF_E_UNAUTH ? AUDIT_BAD : AUDIT_INCOMPLETE;
}

/* Heads up to the newest. MF_E_NOTFOUND (no head yet) is left to the caller. */
static enum mf_status
newest_head(struct mf_verifier *v, struct mf_err *err)
{
	for (bool moved = true; moved;)
		MF_TRY(mf_verifier_head(v, &moved, err));
	return MF_OK;
}

enum mf_status
mf_audit_read_all(struct mf_verifier *v, struct mf_err *err)
{
	const struct mf_verify_report *rep = mf_verifier_report(v);
	enum mf_status s = newest_head(v, err);
	if (s != MF_OK && s != MF_E_NOTFOUND)
		return s;
	MF_TRY(mf_verifier_tail(v, err));
	uint64_t until = mf_now().mono_ms + AUDIT_PATIENCE_MS, target = rep->records;
	for (;;) {
		bool waiting = !rep->have_head || rep->head.head.size < target || rep->unfinished;
		/* Old ones will not be signed any more while we look. */
		bool young = mf_now().wall_us - rep->last_ts_us < 30 * INT64_C(1000000);
		if (!waiting || !young || target == 0 || mf_now().mono_ms > until)
			break;
		mf_audit_sleep_ms(50);
		if (rep->unfinished)
			MF_TRY(mf_verifier_tail(v, err));
		s = newest_head(v, err);
		if (s != MF_OK && s != MF_E_NOTFOUND)
			return s;
	}
	return rep->have_head
		   ? MF_OK
		   : MF_FAIL(err, MF_E_NOTFOUND, "the log has no signed head: nothing in it can be verified");
}
