/*
 * xml: reads the few leaves that we want out of a reply of an AWS query API, of AWS itself or of who speaks like it.
 *
 * Tolerant in what differs between them (namespaces, order, unknown elements, white space), strict in all else: elements are
 * balanced, a wanted leaf stands there once, no document type, no CDATA, no entity but the five of XML and numbers.
 * At most 64 KiB, 32 levels. Pure.
 */
#ifndef MF_AWS_XML_H
#define MF_AWS_XML_H
#include "base/buf.h"

#define MF_AWS_XML_MAX (64u * 1024u)
#define MF_AWS_XML_DEPTH 32u

struct mf_aws_want {
	const char *parent; /* the element around it; NULL: anywhere */
	const char *name;
	struct mf_buf *to; /* its text, unescaped; empty when it is not there */
};

/* MF_E_INVALID, MF_E_TOOBIG; no byte of ${doc} goes into the text. ${wants}' buffers then hold nothing of use. */
MF_NODISCARD enum mf_status
mf_aws_xml_read(struct mf_slice doc, const struct mf_aws_want *wants, size_t n, struct mf_err *err);
#endif
