#include "broker/verb_record.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/rand.h"
#include "os/build_id.h"

void
mf_verb_record_init(struct mf_verb_record *v, enum mf_record_type type, const char *broker_id,
    const char *boot, const char *origin)
{
	uint8_t random[10];
	*v = (struct mf_verb_record) { .r = { .type = type, .ts_us = mf_now().wall_us } };
	mf_rand_bytes(random, sizeof(random));
	mf_uuid7(v->r.ts_us, random, v->id);
	mf_record_set_str(&v->r, MF_RS_ID, v->id);
	mf_record_set_str(&v->r, MF_RS_ACTOR_KIND, "operator");
	mf_record_set_num(&v->r, MF_RN_UID, (int64_t)getuid());
	mf_record_set_str(&v->r, MF_RS_BROKER, broker_id);
	mf_record_set_str(&v->r, MF_RS_BOOT, boot);
	mf_record_set_str(&v->r, MF_RS_ORIGIN, origin);
	mf_record_set_str(&v->r, MF_RS_RELEASE, mf_build_version());
}
