/* Who else is alive, what they can run, and who prefers which job (rendezvous hashing: of the live workers
 * that could run it, the one with the highest hash of (worker, job)). Owned by hf_worker_core.
 *
 * Jobs of the same requirements share a kind, and a kind keeps the list of live workers that match it, so judging a job
 * costs one multiplication a candidate. Bounds: HF_PEERS_MAX workers and HF_KINDS_MAX kinds are told apart; beyond
 * them workers are not waited for and jobs are everybody's. Both only cost refused claims. */
#pragma once
#include "consumer/worker/qjobs.h"
#include "schemas/job/control.h"

enum { HF_PEERS_MAX = 1024, HF_KINDS_MAX = 256, HF_PEER_NAMES_MAX = 64, HF_PAUSED_MAX = HF_CONTROL_NAMES_MAX };

/* Capabilities as far as matching needs them. */
typedef struct hf_match {
    unsigned needs; /* bits of hf_needs */
    double memory_gb, disk_gb;
    uint32_t operations[HF_PEER_NAMES_MAX], providers[HF_PEER_NAMES_MAX], endpoints[HF_PEER_NAMES_MAX]; /* hashes */
    uint32_t operation_count, provider_count, endpoint_count;
} hf_match;

typedef struct hf_peer {
    uint64_t hash; /* of the worker id */
    int64_t seen_ms, lease_ms;
    int32_t slots_free;
    bool live;
    hf_match match;
} hf_peer;

/* What a job asks for. */
typedef struct hf_wants {
    unsigned needs;
    uint32_t operation, provider, endpoint; /* hashes; 0: does not matter */
    double memory_gb, disk_gb;
} hf_wants;

typedef struct hf_kind_row {
    hf_wants wants;
    uint32_t generation; /* of `peers` */
    uint16_t peer_count;
    uint16_t *peers; /* indexes of live ones that match; NULL: not known */
} hf_kind_row;

typedef struct hf_peers {
    uint64_t self_hash;
    hf_match self;
    hf_peer *peers[HF_PEERS_MAX];
    uint32_t count, live;
    uint32_t generation; /* rises when the set of live workers, their capabilities or what is paused change */
    uint32_t paused[2][HF_PAUSED_MAX], paused_count[2]; /* hashes of operations, and of providers */
    hf_kind_row kinds[HF_KINDS_MAX];
    uint32_t kind_count; /* kind 0 is everybody's */
} hf_peers;

void hf_peers_init(hf_peers *peers, hf_str worker_id, const hf_capabilities *capabilities);
void hf_peers_done(hf_peers *peers);
/* Notes what a worker said of itself. */
void hf_peers_heartbeat(hf_peers *peers, const hf_heartbeat *heartbeat, int64_t wall_ms, int64_t mono_ms);
/* Those whose lease ran out are not live any more. */
void hf_peers_expire(hf_peers *peers, int64_t mono_ms);
/* The kind of a job this worker could run, or -1 when it could not. */
int hf_peers_kind(hf_peers *peers, const hf_spec *spec);
/* Of an operation, or of a provider. False: HF_PAUSED_MAX names are paused already. */
bool hf_peers_pause(hf_peers *peers, bool provider, hf_str name, bool paused);
/* Are jobs of that operation and provider (hashes, hf_peers_name) paused? */
bool hf_peers_paused(const hf_peers *peers, uint32_t operation, uint32_t provider);
uint32_t hf_peers_name(hf_str name); /* 0 for "" alone */
/* Does this worker prefer that job, of those who could run it? */
bool hf_peers_prefer_me(hf_peers *peers, int kind, uint64_t job_hash);
/* Has another live worker that could run that kind a free slot? */
bool hf_peers_other_idle(hf_peers *peers, int kind);
