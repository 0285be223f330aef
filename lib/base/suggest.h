/*
 * suggest: "did you mean ...?" for names that people type. Pure, no memory.
 */
#ifndef MF_BASE_SUGGEST_H
#define MF_BASE_SUGGEST_H
#include "base/slice.h"

#define MF_SUGGEST_WORD_MAX 64u /* bytes; longer words get no suggestion */

/*
 * The entry of ${words} that ${typed} most likely meant: at most two edits away (insert, drop, change or swap
 * of neighbours), one for words under five bytes. NULL when none is that near. Entries may be NULL: skipped.
 */
const char *mf_suggest(struct mf_slice typed, const char *const *words, size_t n);
/* True when ${s} may be shown in an error text: 1..MF_SUGGEST_WORD_MAX printable ASCII bytes without quotes.
 */
bool mf_suggest_printable(struct mf_slice s);
#endif
