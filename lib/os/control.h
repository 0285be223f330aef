/*
 * control: what a supervisor and its roles say to one another, on one SEQPACKET link per role (os/seqpacket.h),
 * whose payload here is plain text.
 *
 *   type  direction  payload               descriptor  meaning
 *   1     role       build id              no          ready: confined and serving
 *   2     role       name of a call        no          violation: sent by the SIGSYS handler, last words
 *   3     role       name of a file        no          ask: open the operator's files anew, as SIGHUP does. The role
 *                                                      says nothing about which file that is
 *   5     role       name of a helper      no          helper: start one (supervisor.h); its link comes by link
 *   6     role       a number           yes         login: whose login is the process that connected this Unix socket?
 *   16    supervisor name of the link      yes         link: a new end of the link to that role; the old one, if
 *                                                      any, is dead or about to be. Comes also for the first time
 *   17    supervisor name of the file      yes         reload: the same file opened anew
 *   18    supervisor none                  no          stop: end in order, then exit 0
 *   19    supervisor NUMBER.UID            no          login: answers 6; "-" in place of the uid: not known, or nobody
 *
 * Links always come by this message and never in the fd map, so a restart of one end is no special case: the
 * surviving role drops the old end, takes the new one and says hello on it. The end of the control link is the end
 * of the supervisor: the role exits.
 */
#ifndef MF_OS_CONTROL_H
#define MF_OS_CONTROL_H
#include "os/named_fd.h"
#include "os/seqpacket.h"

enum mf_control_type {
	MF_CONTROL_READY = 1,
	MF_CONTROL_VIOLATION = 2,
	MF_CONTROL_ASK_RELOAD = 3,
	MF_CONTROL_HELPER = 5,
	MF_CONTROL_ASK_LOGIN = 6,
	MF_CONTROL_LINK = 16,
	MF_CONTROL_RELOAD = 17,
	MF_CONTROL_STOP = 18,
	MF_CONTROL_LOGIN = 19,
};

#define MF_CONTROL_TEXT_MAX 64u /* bytes, NUL included */
#define MF_CONTROL_QUEUE (256u * 1024u)

struct mf_control_msg {
	enum mf_control_type type;
	char text[MF_CONTROL_TEXT_MAX]; /* build id, call or name; letters, digits and "+-._" only */
	int fd;				/* LINK, RELOAD, ASK_LOGIN: the caller's to close; else -1 */
};

/* True for 1 to ${max}-1 of the characters that names on this link have. */
bool mf_control_name_ok(struct mf_slice s, size_t max);
/* Queue and send. ${text} may be NULL for STOP. ${fd} belongs to the link on MF_OK. */
MF_NODISCARD enum mf_status mf_control_send(
    struct mf_seqpacket *s, enum mf_control_type type, const char *text, int fd, struct mf_err *err);
/*
 * Take one message that ${from_role} (or else the supervisor) may send. Errors: as mf_seqpacket_recv; MF_E_INVALID
 * for anything outside the table above, which ends the link.
 */
MF_NODISCARD enum mf_status
mf_control_recv(struct mf_seqpacket *s, bool from_role, struct mf_control_msg *ret_m, struct mf_err *err);
#endif
