/*
 * net_metrics: the counters of listeners and clients as OpenMetrics text. All label values are ours
 * (a listener's name, a status code): a peer cannot make series.
 */
#ifndef MF_NET_METRICS_H
#define MF_NET_METRICS_H
#include "net/grpc_conn.h"

struct mf_net_metrics_item {
	const char *name; /* label value of "listener": "jobs", "admin", "agents", "broker" */
	const struct mf_net_counters *counters;
};

/* Whole metric families called ${prefix}_net_..., without the final "# EOF". */
void
mf_net_metrics_put(struct mf_buf *to, const char *prefix, const struct mf_net_metrics_item *items, size_t n);
#endif
