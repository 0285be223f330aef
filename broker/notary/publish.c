#include "broker/notary/publish.h"

#include "base/clock.h"
#include "broker/notary/foreign.h"
#include "os/jlog.h"
#include "os/secure_file.h"

#define FOREIGN MAYFLY__AGENT__V1__DOCUMENT_KIND__DOCUMENT_FOREIGN_BUNDLES

enum mf_status
mf_publish_foreign(struct mf_engine *e, struct mf_front_link *front, const char *own_trust_domain, int fd,
    struct mf_err *err)
{
	MF_AUTO_IN(mf_buf_fini) struct mf_buf files, doc;
	mf_buf_init(&files, MF_LIM_FOREIGN * (MF_LIM_BUNDLE_JSON + 512u));
	mf_buf_init(&doc, MF_LIM_DOCUMENT);
	if (fd >= 0)
		MF_TRY(mf_file_read_all(fd, &files, err));
	MF_TRY(mf_foreign_document(mf_buf_slice(&files), own_trust_domain, &doc, err));
	uint64_t number = (uint64_t)(mf_now().wall_us / 1000); /* grows over restarts, too */
	mf_engine_document(e, FOREIGN, number, mf_buf_slice(&doc));
	mf_front_link_document(front, FOREIGN, number, mf_buf_slice(&doc));
	MF_LOG(MF_LOG_INFO, "foreign.loaded", "foreign bundles loaded", mf_ju("bytes", doc.n));
	return MF_OK;
}
