#include "agent/front/cloud_offers.h"

#include "os/jlog.h"

void
mf_cloud_offers_take(struct mf_svid_entry *e, const Mayfly__Agent__V1__Grant *g)
{
	struct mf_cloud_offer offers[MF_CLOUD_GRANTS];
	struct mf_err err = { 0 };
	for (size_t k = 0; k < g->n_cloud && k < MF_CLOUD_GRANTS; k++) {
		const Mayfly__Agent__V1__CloudOffer *o = g->cloud[k];
		offers[k] = (struct mf_cloud_offer) { .grant = mf_slice_str(o->grant),
			.kind = mf_slice_str(o->kind),
			.target = mf_slice_str(o->target),
			.region = mf_slice_str(o->region),
			.service_endpoint = mf_slice_str(o->service_endpoint) };
	}
	if (mf_cloud_cache_offer(&e->clouds, offers, g->n_cloud, &err) != MF_OK)
		mf_jlog_err(
		    MF_LOG_ERROR, "cloud.bad_offer", "the cloud grants of a profile were not taken", &err);
}
