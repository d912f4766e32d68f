#include "schemas/job/job.h"

static const char *const state_names[] = {
#define HF_STATE(id, name, status, terminal) name,
#include "schemas/job/states.def"
#undef HF_STATE
};
static const char *const state_statuses[] = {
#define HF_STATE(id, name, status, terminal) status,
#include "schemas/job/states.def"
#undef HF_STATE
};
static const bool state_terminals[] = {
#define HF_STATE(id, name, status, terminal) terminal,
#include "schemas/job/states.def"
#undef HF_STATE
};
static const char *const event_names[] = {
#define HF_EVENT(id, name, from, to, guards, sentence) name,
#include "schemas/job/transitions.def"
#undef HF_EVENT
};
static const struct {
    const char *name, *sentence;
} verdicts[] = {
#define HF_VERDICT(id, name, sentence) {name, sentence},
#include "schemas/job/verdicts.def"
#undef HF_VERDICT
};

const char *hf_state_name(hf_state s) { return (unsigned)s < HF_STATE_COUNT ? state_names[s] : "none"; }
const char *hf_state_status(hf_state s) { return (unsigned)s < HF_STATE_COUNT ? state_statuses[s] : "none"; }
bool hf_state_terminal(hf_state s) { return (unsigned)s < HF_STATE_COUNT && state_terminals[s]; }

bool hf_state_from_name(hf_str name, hf_state *ret) {
    for (int s = 0; s < HF_STATE_COUNT; s++)
        if (hf_str_eqz(name, state_names[s])) {
            *ret = (hf_state)s;
            return true;
        }
    return false;
}

const char *hf_event_name(hf_event e) { return (unsigned)e < HF_EVENT_COUNT ? event_names[e] : "unknown"; }
const char *hf_verdict_name(hf_verdict v) { return (unsigned)v < HF_VERDICT_COUNT ? verdicts[v].name : "unknown"; }
const char *hf_verdict_sentence(hf_verdict v) { return (unsigned)v < HF_VERDICT_COUNT ? verdicts[v].sentence : ""; }

int32_t hf_job_attempts_left(const hf_job *job) {
    return job->spec->policy.retry_count + 1 - (job->attempt - job->released);
}
