/* Work aside: one piece of work that may block for long (an fsync) in a thread of its own, so that whoever waits for it can be
 * cancelled. What it works on it owns: after a cancel it ends in its own time, and its owner is long gone. */
#pragma once
#include <stdbool.h>

#include "consumer/pipeline/flow.h"

typedef struct hf_aside hf_aside;

typedef struct hf_aside_class {
    hf_code (*run)(void *arg, hf_err *reterr);
    void (*drop)(void *arg, bool left); /* frees arg; left: nobody waited for the end. Any thread */
} hf_aside_class;

/* arg belongs to the work from here on, also when this fails. Without a thread the work is done before this returns. */
hf_code hf_aside_start(const hf_aside_class *cls, void *arg, hf_aside **ret, hf_err *reterr);
bool hf_aside_ended(hf_aside *aside);
/* What the work returned; CANCELLED as soon as the flow is (NULL: never). *aside is NULL afterwards. NULL in *aside is fine. */
hf_code hf_aside_wait(hf_aside **aside, const hf_flow *flow, hf_err *reterr);
/* Waits no longer. NULL in *aside is fine. */
void hf_aside_leave(hf_aside **aside);

/* fsync of fd (duplicated). */
hf_code hf_aside_fsync(int fd, hf_aside **ret, hf_err *reterr);
