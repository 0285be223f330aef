/* verb_record: the envelope of a record that a verb of mayfly-broker writes itself: init and restore. */
#ifndef MF_BROKER_VERB_RECORD_H
#define MF_BROKER_VERB_RECORD_H
#include "broker/core/record.h"

struct mf_verb_record {
	struct mf_record r;
	char id[37];
};

/* ${boot}: the verb. The strings live as long as the record. */
void mf_verb_record_init(struct mf_verb_record *v, enum mf_record_type type, const char *broker_id,
    const char *boot, const char *origin);
#endif
