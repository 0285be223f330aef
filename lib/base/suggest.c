#include "base/suggest.h"

static size_t
min3(size_t a, size_t b, size_t c)
{
	size_t m = a < b ? a : b;
	return m < c ? m : c;
}

/* Edits between two words of at most MF_SUGGEST_WORD_MAX bytes (optimal string alignment). */
static size_t
edits(struct mf_slice a, struct mf_slice b)
{
	uint8_t row[3][MF_SUGGEST_WORD_MAX + 1];
	uint8_t *before = row[0], *last = row[1], *now = row[2];
	for (size_t j = 0; j <= b.n; j++)
		last[j] = (uint8_t)j;
	for (size_t i = 1; i <= a.n; i++) {
		now[0] = (uint8_t)i;
		for (size_t j = 1; j <= b.n; j++) {
			size_t change = a.p[i - 1] == b.p[j - 1] ? 0 : 1;
			size_t d = min3((size_t)last[j] + 1, (size_t)now[j - 1] + 1, last[j - 1] + change);
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1] &&
			    before[j - 2] + (size_t)1 < d)
				d = before[j - 2] + (size_t)1;
			now[j] = (uint8_t)d;
		}
		uint8_t *oldest = before;
		before = last;
		last = now;
		now = oldest;
	}
	return last[b.n];
}

const char *
mf_suggest(struct mf_slice typed, const char *const *words, size_t n)
{
	if (typed.n == 0 || typed.n > MF_SUGGEST_WORD_MAX)
		return NULL;
	const char *best = NULL;
	size_t least = typed.n < 5 ? 2 : 3; /* must be under this */
	for (size_t i = 0; i < n; i++) {
		struct mf_slice w = mf_slice_str(words[i]);
		if (w.n == 0 || w.n > MF_SUGGEST_WORD_MAX)
			continue;
		size_t d = edits(typed, w);
		if (d < least && d < w.n) {
			least = d;
			best = words[i];
		}
	}
	return best;
}

bool
mf_suggest_printable(struct mf_slice s)
{
	if (s.n == 0 || s.n > MF_SUGGEST_WORD_MAX)
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] > 0x7e || s.p[i] == '"' || s.p[i] == '`' || s.p[i] == '\\')
			return false;
	return true;
}
