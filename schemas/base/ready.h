/* Telling whoever started this program that it is ready to work: caught up with the log, listening.
 * Two ways, both optional and both from the environment:
 *   HF_READY_FD     a descriptor the parent left open: lines "NAME=value\n", the last one "READY=1\n"
 *                   (`hyperctl dev` starts its programs so)
 *   NOTIFY_SOCKET   systemd's protocol, sd_notify(3): "READY=1"
 * Nobody listening is not an error. Thread-safe; the second hf_ready_notify does nothing. */
#pragma once

/* Says something before being ready, for example ("HTTP", "127.0.0.1:41234"): where the sidecar really listens. */
void hf_ready_note(const char *name, const char *value);
/* Ready. Closes the parent's descriptor. */
void hf_ready_notify(void);
