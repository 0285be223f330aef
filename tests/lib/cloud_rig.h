/*
 * cloud_rig: the agent's front with a cloud endpoint and a job that has two grants, `data` (aws) and `api-v1` (bearer), before
 * a fake attestor (front_rig.h) that mints.
 */
#ifndef MF_TESTS_CLOUD_RIG_H
#define MF_TESTS_CLOUD_RIG_H
#include "agent/cloud_socket.h"
#include "agent/front/cloud_secret.h"
#include "front_rig.h"
#include "rig_http.h"

struct cloud_rig {
	struct mf_cloud_socket sock;
	uint8_t key[MF_CLOUD_KEY];
	uint16_t port;
	char host[32], secret[MF_CLOUD_SECRET_MAX + 1];
	Mayfly__Agent__V1__CloudOffer aws, api;
	/* How the fake broker answers. */
	Mayfly__Agent__V1__RefusalCode refuse; /* 0: it grants */
	bool mute;
	int64_t ttl_s;
	uint64_t last_id;
	char last_grant[64];
	unsigned granted;
};
extern struct cloud_rig mf_crig; /* of the test that runs */

int mf_crig_setup(void **state); /* *state: the struct rig, not started */
int mf_crig_teardown(void **state);
/* The attestor's answer to a question; on its own where ${mute} is set. */
void mf_crig_answer(struct rig *r, uint64_t mint_id, const char *grant);
/* ${ip} NULL: the job's own address. */
void mf_crig_dial(struct rig *r, struct rig_http *c, const char *ip);
void
mf_crig_get(struct rig_http *c, const char *path, const char *host, const char *secret, const char *more);
void mf_crig_good(struct rig_http *c, const char *path);
int mf_crig_get_once(struct rig *r, const char *path);
/* {H} and {S} in ${request} become host and secret. */
void mf_crig_expand(const char *request, char *to, size_t n);
#endif
