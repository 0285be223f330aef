#include "broker/backends/common/outcome.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "codec/url.h"

#define SKEW_S 60

void
mf_outcome_init(struct mf_cloud_outcome *o, int64_t now_s)
{
	*o = (struct mf_cloud_outcome) { .error = "", .now_s = now_s };
}

void
mf_outcome_set(struct mf_cloud_outcome *o, const char *word, const char *fmt, ...)
{
	va_list ap;
	o->error = word;
	va_start(ap, fmt);
	(void)vsnprintf(o->reason, sizeof(o->reason), fmt, ap);
	va_end(ap);
}

bool
mf_outcome_plain(struct mf_slice s, size_t max)
{
	if (s.n == 0 || s.n > max)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) &&
		    (c == '\0' || strchr("._:/+=@,-", c) == NULL))
			return false;
	}
	return true;
}

bool
mf_outcome_printable(struct mf_slice s, size_t max)
{
	if (s.n == 0 || s.n > max)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f)
			return false;
	return true;
}

void
mf_outcome_request_id(struct mf_cloud_outcome *o, struct mf_slice id)
{
	if (!mf_outcome_plain(id, sizeof(o->request_id) - 1))
		return;
	memcpy(o->request_id, id.p, id.n);
	o->request_id[id.n] = '\0';
}

void
mf_outcome_no_reply(
    struct mf_cloud_outcome *o, const char *what, const struct mf_http_reply *reply, bool minting)
{
	bool maybe = minting && reply->sent;
	o->retry_after_ms = reply->retry_after_s * 1000;
	if (reply->status == 0 && reply->refused)
		mf_outcome_set(o, "config", "%s: %s", what, reply->transport);
	else if (reply->status == 0)
		mf_outcome_set(o, maybe ? "unknown" : "transient", "%s: no reply: %s", what,
		    reply->transport == NULL ? "the connection failed" : reply->transport);
	else
		mf_outcome_set(o, maybe ? "unknown" : "transient", "%s: HTTP %u with %s", what, reply->status,
		    reply->cut ? "a reply that was cut or too long" : "a reply that cannot be read");
}

bool
mf_http_date(const char *text, int64_t *ret_s)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec",
			  form[] = "???, ## ??? #### ##:##:## GMT";
	char iso[32];
	int64_t us;
	if (strlen(text) != sizeof(form) - 1)
		return false;
	for (size_t i = 0; form[i] != '\0'; i++)
		if (form[i] == '#' ? text[i] < '0' || text[i] > '9' : form[i] != '?' && text[i] != form[i])
			return false;
	for (unsigned m = 0; m < 12; m++) {
		if (memcmp(text + 8, months + m * 3, 3) != 0)
			continue;
		(void)snprintf(
		    iso, sizeof(iso), "%.4s-%02u-%.2sT%.8sZ", text + 12, m + 1, text + 5, text + 17);
		if (mf_time_get(mf_slice_str(iso), &us, NULL) != MF_OK)
			return false;
		*ret_s = us / 1000000;
		return true;
	}
	return false;
}

/* Seconds by which the provider's clock is ahead of ours; 0 when nobody can say, or it does not matter. */
static int64_t
skew(const struct mf_cloud_outcome *o, const struct mf_http_reply *reply)
{
	int64_t theirs;
	if (reply->date == NULL || o->now_s == 0 || !mf_http_date(reply->date, &theirs))
		return 0;
	int64_t ahead = theirs - o->now_s;
	return ahead > SKEW_S || ahead < -SKEW_S ? ahead : 0;
}

static const char *
word_of_status(unsigned status, bool minting)
{
	if (status == 429)
		return "throttled";
	if (status >= 500)
		return minting ? "unknown" : "transient";
	return status == 401 || status == 403 ? "denied" : "config";
}

void
mf_outcome_refused(struct mf_cloud_outcome *o, const char *what, const struct mf_http_reply *reply,
    struct mf_slice code, const struct mf_cloud_code *table, bool minting)
{
	const char *word = NULL;
	o->retry_after_ms = reply->retry_after_s * 1000;
	for (; table->code != NULL && word == NULL; table++)
		if (mf_slice_eq_str(code, table->code))
			word = table->word;
	bool known = word != NULL;
	if (!known)
		word = word_of_status(reply->status, minting);
	/* An assertion is good for a minute: one that is not yet, or no more, is refused for anything. */
	int64_t ahead = strcmp(word, "trust") == 0 || strcmp(word, "clock") == 0 ? skew(o, reply) : 0;
	if (ahead != 0)
		mf_outcome_set(o, "clock",
		    "%s: HTTP %u: the provider's clock is %lld s %s ours: assertions live for a minute", what,
		    reply->status, (long long)(ahead < 0 ? -ahead : ahead),
		    ahead < 0 ? "behind" : "ahead of");
	else if (reply->status / 100 == 3)
		mf_outcome_set(o, "config", "%s: HTTP %u: redirects are not followed", what, reply->status);
	else if (mf_outcome_plain(code, 64))
		mf_outcome_set(o, word, "%s: HTTP %u, %.*s%s%s", what, reply->status, (int)code.n,
		    (const char *)code.p, o->request_id[0] == '\0' ? "" : ", request ", o->request_id);
	else
		mf_outcome_set(o, word, "%s: HTTP %u", what, reply->status);
}

void
mf_form_put(struct mf_buf *to, const char *key, struct mf_slice value)
{
	mf_buf_putf(to, "%s%s=", to->n == 0 ? "" : "&", key);
	mf_url_encode(to, value);
}

void
mf_form_put_str(struct mf_buf *to, const char *key, const char *value)
{
	mf_form_put(to, key, mf_slice_str(value));
}
