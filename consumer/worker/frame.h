/* What a worker and its runner say to each other over their socketpair: frames of a length, a kind and a body.
 * Both ends are the same program, so numbers are native; all the same every length and count is checked, and a
 * frame that breaks a rule ends the conversation: the other end may have been overwritten by a provider's library. */
#pragma once
#include "schemas/base/buf.h"
#include "schemas/event/codec.h"

enum {
    HF_FRAME_MAX = HF_MAX_RECORD + 4096,
    HF_FRAME_IN_MAX = 2 * HF_FRAME_MAX, /* bytes read and not taken yet */
};

typedef enum hf_frame_kind {
    /* worker to runner */
    HF_FRAME_JOB = 'J',       /* head; JobSubmission body */
    HF_FRAME_RECALL = 'R',    /* head: give it back unless it began */
    HF_FRAME_CANCEL = 'C',    /* head: stop it */
    HF_FRAME_LIMIT = 'L',     /* head; bandwidth is the new limit */
    HF_FRAME_ANNOUNCED = 'K', /* head: code says what came of announcement `serial`, or answers question `serial` */
    /* runner to worker */
    HF_FRAME_HELLO = 'H',    /* head: it is ready */
    HF_FRAME_PROGRESS = 'P', /* head; ProgressEvent body */
    HF_FRAME_ANNOUNCE = 'A', /* head with serial; ProgressEvent body whose phase is to be on record before it goes on */
    HF_FRAME_ASK = 'Q',      /* head with serial; ProgressEvent body whose phase is a job's id: has it ended? */
    HF_FRAME_DONE = 'D',     /* head; JobEvent body with Completed or Failed */
    HF_FRAME_RETURNED = 'B', /* head */
} hf_frame_kind;

/* Of which job; what else depends on the kind. */
typedef struct hf_frame_head {
    int32_t attempt;
    int32_t threads;     /* JOB */
    int64_t bandwidth;   /* JOB, LIMIT: bytes/s */
    int64_t duration_us; /* DONE */
    int32_t code;        /* DONE, ANNOUNCED: hf_code */
    uint32_t serial;     /* ANNOUNCE, ASK, ANNOUNCED */
    uint32_t id_len;     /* bytes of job id behind the head */
} hf_frame_head;

typedef struct hf_frame {
    hf_frame_kind kind;
    hf_frame_head head;
    hf_str job_id;
    hf_str body;
} hf_frame;

/* Appends a frame; `record` of that schema is its body, NULL for none. LIMIT past HF_FRAME_MAX or the buffer's bound. */
hf_code hf_frame_put(hf_buf *out, hf_frame_kind kind, hf_frame_head head, hf_str job_id, hf_schema schema,
                     const void *record, hf_err *reterr);
/* Takes the frame at *at of `in`: HF_OK, and *at behind it; NOT_FOUND while it is not whole; PROTOCOL where it is none.
 * The frame borrows from `in`. */
hf_code hf_frame_take(const hf_buf *in, size_t *at, hf_frame *ret, hf_err *reterr);
/* Drops the first `used` bytes. */
void hf_frame_drop(hf_buf *in, size_t used);
/* One read(2) into `in` as far as its bound allows: bytes read, 0 at the end, -1 with errno. */
long hf_frame_read(int fd, hf_buf *in);
