/*
 * limits: every size that a peer can grow, in one place. Units are in the names.
 */
#ifndef MF_BASE_LIMITS_H
#define MF_BASE_LIMITS_H

/* A longer name must not move every other line: */
/* clang-format off */

#define MF_LIM_SPIFFE_ID 2048u		    /* bytes, SPIFFE-ID 2.3 */
#define MF_LIM_TRUST_DOMAIN 255u	    /* bytes */
#define MF_LIM_HINT 1024u		    /* bytes, Workload API */
#define MF_LIM_IDENTITIES 4u		    /* identities (keys) of one instance */
#define MF_LIM_DNS_NAMES 8u		    /* DNS SANs of one SVID */
#define MF_LIM_CERT_DER 8192u		    /* bytes of one certificate */
#define MF_LIM_CHAIN 4u			    /* certificates of one chain */
#define MF_LIM_BUNDLE_DER 65536u	    /* bytes of one trust domain's bundle */
#define MF_LIM_BUNDLE_CERTS 32u		    /* certificates of one trust domain's bundle */
#define MF_LIM_CRL_DER (1024u * 1024u)	    /* bytes of one CRL */
#define MF_LIM_CRLS 64u			    /* CRLs of one Workload API message */
#define MF_LIM_TRUST_DOMAINS 1024u	    /* whose bundles one client holds */
#define MF_LIM_CLIENT_SVIDS 64u		    /* identities of one Workload API message, of any agent */
#define MF_LIM_KEY_DER 8192u		    /* bytes of a PKCS#8 private key, RSA included */
#define MF_LIM_BUNDLE_JSON (128u * 1024u)   /* bytes of a SPIFFE bundle document */
#define MF_LIM_BUNDLE_KEYS 128u		    /* JWKs of one */
#define MF_LIM_FOREIGN 64u		    /* foreign trust domains of one broker */
#define MF_LIM_DOCUMENT 61440u		    /* bytes of a document for all nodes beside the bundle */
#define MF_LIM_JWT 32768u		    /* bytes of a JWT, compact */
#define MF_LIM_JWT_AUDIENCES 16u	    /* audiences of one JWT */
#define MF_LIM_JWT_AUDIENCE 1024u	    /* bytes of one */
#define MF_LIM_JSON 65536u		    /* bytes of a JSON document */
#define MF_LIM_JSON_DEPTH 32u		    /* nesting */
#define MF_LIM_YAML (4u * 1024u * 1024u)    /* bytes of a configuration or policy file */
#define MF_LIM_YAML_DEPTH 32u		     /* nesting */
#define MF_LIM_YAML_NODES 200000u	     /* texts, lists and maps of one file */
#define MF_LIM_PROBLEMS 50u		     /* told about one file */
#define MF_LIM_MANIFEST 32768u		    /* bytes */
#define MF_LIM_SCOPE_VALUE 512u /* bytes of a value in a cloud token's scope */
#define MF_LIM_CLOUD_GRANTS 8u /* of a profile */
#define MF_LIM_RECORD 32768u		    /* bytes of one log record */
#define MF_LIM_GRPC_MESSAGE (256u * 1024u)  /* bytes of one gRPC message, both directions */
#define MF_LIM_INNER_MESSAGE (1024u * 1024u) /* bytes of one message of the inner session */
#define MF_LIM_INNER_CHUNK 16384u	    /* bytes of plaintext in one sealed chunk */
#define MF_LIM_INNER_QUEUE (4u * 1024u * 1024u) /* bytes queued on a session's bounded lane */
#define MF_LIM_INNER_REMOVALS (16u * 1024u * 1024u) /* bytes queued on a session's removal lane */
#define MF_LIM_KEYFILE 24576u		    /* bytes of a sealed key file */
#define MF_LIM_KEYFILE_SECRET 16384u	    /* bytes of the secret in it */
#define MF_LIM_KEY_NUMBER 1000000u	    /* keys that one set may ever have had */
#define MF_LIM_POP_SIGNATURE 1024u	    /* bytes of a proof of possession */
#define MF_LIM_POP_KEY 8192u		    /* bytes of a node's private key, DER */
#define MF_LIM_NODE_CA 61440u		    /* bytes of a node CA file, PEM: fits one role message */
#define MF_LIM_JOIN_TOKEN 2048u		    /* bytes of a join token's text */
#define MF_LIM_IPC_MESSAGE 65536u	    /* bytes of one role message */
#define MF_LIM_PB_DEPTH 16u		    /* nesting of protobuf messages */
#define MF_LIM_PB_BYTES (1024u * 1024u)	    /* bytes of one encoded protobuf message */
#define MF_LIM_PB_ELEMENTS 16384u	    /* repeated elements, sub-messages, unknown fields of one message */
#define MF_LIM_PB_MEMORY (8u * 1024u * 1024u) /* bytes of memory of one unpacked message */
#define MF_LIM_H2_STREAMS 128u		    /* concurrent streams of one HTTP/2 connection */
#define MF_LIM_H2_HEADER_LIST 16384u	    /* bytes of one header list, 32 added per field */
#define MF_LIM_H2_CONTINUATIONS 7u	    /* frames of one head after its first */
#define MF_LIM_H2_STREAM_WINDOW 65535u	    /* bytes a peer may send unread on one stream */
#define MF_LIM_H2_CONN_WINDOW (1024u * 1024u) /* the same on one connection */
#define MF_LIM_H2_STREAM_OUT (512u * 1024u) /* bytes queued for one stream */
#define MF_LIM_H2_CONN_OUT (4u * 1024u * 1024u) /* bytes queued for all streams of a connection */
#define MF_LIM_H2_CONN_IN (2u * 1024u * 1024u) /* bytes of unfinished messages of a connection */
#define MF_LIM_H2_FRAMES_OUT 1000u	    /* frames queued for one connection, bodies aside */
#define MF_LIM_H2_CALM_BURST 400u	    /* control frames before a peer is told to calm down */
#define MF_LIM_H2_CALM_RATE 20u		    /* control frames per second regained */
#define MF_LIM_H2_RESET_BURST 500u	    /* resets of unanswered streams, the same way */
#define MF_LIM_H2_RESET_RATE 50u
#define MF_LIM_NET_CONNS 4096u		    /* connections of one listener */
#define MF_LIM_NET_PEER_CONNS 1024u	    /* of one uid or address */
#define MF_LIM_NET_HANDSHAKES 64u	    /* TLS handshakes at one time */
#define MF_LIM_NET_HANDSHAKE_MS 10000u
#define MF_LIM_NET_FIRST_CALL_MS 30000u
#define MF_LIM_NET_IDLE_MS 300000u
#define MF_LIM_NET_STALL_MS 60000u
#define MF_LIM_NET_WRITE_QUEUE (64u * 1024u) /* bytes waiting for a socket */
#define MF_LIM_SELECTORS 256u		    /* selectors of one instance */
#define MF_LIM_SELECTOR 1024u		    /* bytes of one selector */
#define MF_LIM_JOB_KEY 512u		    /* bytes of a manager's key of a job */
#define MF_LIM_JOB_INSTANCES 16384u	    /* instances that one job ever has */
#define MF_LIM_MANAGER_FILE 32768u	    /* bytes of one statement of a manager on a node */
#define MF_LIM_MANAGED 65536u		    /* jobs of managers that are known by word only */
#define MF_LIM_NODE_INSTANCES 4096u	    /* live instances of one node */
#define MF_LIM_POLICY_RULES 1000u	     /* rules of a policy */
#define MF_LIM_POLICY_PROFILES 256u	     /* profiles of a policy */
#define MF_LIM_POLICY_EXPR 256u		     /* operators of one rule */
#define MF_LIM_POLICY_DEPTH 8u		     /* nesting of operators */
#define MF_LIM_POLICY_VALUES 256u 	     /* values of one `in` or `subset` */
#define MF_LIM_POLICY_ATTRS 256u	     /* different attributes that one policy speaks of */
#define MF_LIM_FACTS 2048u		     /* attribute values of one request to policy */
#define MF_LIM_WAL_SEGMENT (64u * 1024u * 1024u)
#define MF_LIM_WAL_FRAME (4u * 1024u * 1024u) /* bytes of one frame's records, lengths included */
#define MF_LIM_WAL_BATCH 16384u		      /* records of one frame */
#define MF_LIM_ISSUER 255u		      /* bytes of an OIDC issuer's URL (OpenID Connect: 255 letters) */
#define MF_LIM_OIDC_DOCUMENT 65536u	      /* bytes of one OIDC document */
#define MF_LIM_NOTE 65536u		      /* bytes of a signed note, signatures included */
#define MF_LIM_NOTE_SIGS 32u		      /* signature lines of a note; C2SP asks for 16 at least */
#define MF_LIM_NOTE_NAME 255u		      /* bytes of a key name (the log's origin) */
#define MF_LIM_ADMIN_RULES 1024u	      /* assignments of admin roles */
#define MF_LIM_ADMIN_BUNDLES 64u	      /* foreign trust domains of administrators */
#define MF_LIM_SSHSIG 8192u		      /* bytes of one SSH signature, its key included */
#define MF_LIM_SIGNERS 256u		      /* keys of admin_signers */
#define MF_LIM_SIGNERS_FILE 65536u	      /* bytes of that file */
#define MF_LIM_APPROVALS 16u		      /* signatures of one admin act */
#define MF_LIM_ADMIN_TEXT 65536u	      /* bytes of the text that is signed */
#define MF_LIM_CLOUD_TARGETS 64u	      /* cloud_targets of one broker */
#define MF_LIM_CERT_SUBJECT 1024u	      /* bytes of a client certificate's subject as text */
#endif
