#include "consumer/worker/peers.h"

static uint32_t name_hash(hf_str name) {
    uint32_t h = (uint32_t)hf_worker_hash(name);
    return name.len ? (h ? h : 1) : 0;
}

static uint32_t name_hashes(hf_list names, uint32_t out[HF_PEER_NAMES_MAX]) {
    uint32_t n = names.count < HF_PEER_NAMES_MAX ? names.count : HF_PEER_NAMES_MAX;
    for (uint32_t i = 0; i < n; i++)
        out[i] = name_hash(*HF_LIST_AT(names, hf_str, i));
    return n;
}

static unsigned bits(bool nbd, bool lvm, bool mount, bool selinux) {
    return (nbd ? 1u : 0) | (lvm ? 2u : 0) | (mount ? 4u : 0) | (selinux ? 8u : 0);
}

static void match_of(const hf_capabilities *c, hf_match *m) {
    *m = (hf_match){0};
    m->needs = bits(c->nbd, c->lvm, c->mount, c->selinux_tools);
    m->memory_gb = c->memory_gb;
    m->disk_gb = c->disk_space_gb;
    m->operation_count = name_hashes(c->operations, m->operations);
    m->provider_count = name_hashes(c->providers, m->providers);
    m->endpoint_count = name_hashes(c->endpoints, m->endpoints);
}

/* Without a source there is no provider to need: intake names one all the same. An endpoint is one. */
static hf_wants wants_of(const hf_spec *s) {
    bool source = s->vm_path.len || s->disks.count || s->endpoint.len;
    return (hf_wants){.needs = bits(s->needs.nbd, s->needs.lvm, s->needs.mount, s->needs.selinux_tools),
                      .operation = name_hash(s->operation),
                      .provider = source ? name_hash(s->provider) : 0,
                      .endpoint = source ? name_hash(s->endpoint) : 0,
                      .memory_gb = s->needs.min_memory_gb,
                      .disk_gb = s->needs.min_disk_space_gb};
}

static bool has(const uint32_t *hashes, uint32_t count, uint32_t wanted) {
    for (uint32_t i = 0; i < count; i++)
        if (hashes[i] == wanted)
            return true;
    return wanted == 0;
}

static bool fits(const hf_match *m, const hf_wants *w) {
    return (w->needs & ~m->needs) == 0 && w->memory_gb <= m->memory_gb && w->disk_gb <= m->disk_gb &&
           has(m->operations, m->operation_count, w->operation) && has(m->providers, m->provider_count, w->provider) &&
           has(m->endpoints, m->endpoint_count, w->endpoint);
}

void hf_peers_init(hf_peers *peers, hf_str worker_id, const hf_capabilities *capabilities) {
    *peers = (hf_peers){.self_hash = hf_worker_hash(worker_id), .kind_count = 1, .generation = 1};
    match_of(capabilities, &peers->self);
}

void hf_peers_done(hf_peers *peers) {
    for (uint32_t i = 0; i < peers->count; i++)
        free(peers->peers[i]);
    for (uint32_t i = 0; i < peers->kind_count; i++)
        free(peers->kinds[i].peers);
}

static bool same_names(const uint32_t *a, uint32_t a_count, const uint32_t *b, uint32_t b_count) {
    return a_count == b_count && memcmp(a, b, a_count * sizeof *a) == 0;
}

static bool same_number(double a, double b) { return !(a < b) && !(a > b); }

static bool match_equal(const hf_match *a, const hf_match *b) {
    return a->needs == b->needs && same_number(a->memory_gb, b->memory_gb) && same_number(a->disk_gb, b->disk_gb) &&
           same_names(a->operations, a->operation_count, b->operations, b->operation_count) &&
           same_names(a->providers, a->provider_count, b->providers, b->provider_count) &&
           same_names(a->endpoints, a->endpoint_count, b->endpoints, b->endpoint_count);
}

/* ---- who is alive --------------------------------------------------------------------------------------- */
static void set_live(hf_peers *peers, hf_peer *peer, bool live) {
    if (peer->live == live)
        return;
    peer->live = live;
    peers->live += live ? 1 : -1u;
    peers->generation++;
}

static hf_peer *peer_of(hf_peers *peers, uint64_t hash) {
    hf_peer *dead = NULL;
    for (uint32_t i = 0; i < peers->count; i++) {
        if (peers->peers[i]->hash == hash)
            return peers->peers[i];
        if (!peers->peers[i]->live)
            dead = peers->peers[i];
    }
    if (peers->count < HF_PEERS_MAX) {
        hf_peer *peer = hf_alloc(sizeof *peer);
        if (!peer)
            return NULL;
        peer->hash = hash;
        return peers->peers[peers->count++] = peer;
    }
    if (dead)
        *dead = (hf_peer){.hash = hash};
    return dead;
}

void hf_peers_heartbeat(hf_peers *peers, const hf_heartbeat *hb, int64_t wall_ms, int64_t mono_ms) {
    uint64_t hash = hf_worker_hash(hb->worker_id);
    if (hash == peers->self_hash)
        return;
    hf_peer *peer = peer_of(peers, hash);
    if (!peer)
        return;
    int64_t age = wall_ms - hb->at; /* what a restart reads may be long past; clocks may differ */
    hf_match match;
    match_of(&hb->capabilities, &match);
    peer->lease_ms = hb->lease_ms;
    peer->seen_ms = mono_ms - (age > 0 ? age : 0);
    peer->slots_free = hb->slots - hb->slots_busy;
    if (!match_equal(&match, &peer->match)) {
        peer->match = match;
        peers->generation++;
    }
    set_live(peers, peer, hb->state == HF_W_ACTIVE && mono_ms < peer->seen_ms + peer->lease_ms);
}

void hf_peers_expire(hf_peers *peers, int64_t mono_ms) {
    for (uint32_t i = 0; i < peers->count; i++)
        if (peers->peers[i]->live && mono_ms >= peers->peers[i]->seen_ms + peers->peers[i]->lease_ms)
            set_live(peers, peers->peers[i], false);
}

/* ---- kinds ------------------------------------------------------------------------------------------------ */
static bool wants_equal(const hf_wants *a, const hf_wants *b) {
    return a->needs == b->needs && a->operation == b->operation && a->provider == b->provider &&
           a->endpoint == b->endpoint && same_number(a->memory_gb, b->memory_gb) && same_number(a->disk_gb, b->disk_gb);
}

int hf_peers_kind(hf_peers *peers, const hf_spec *spec) {
    hf_wants wants = wants_of(spec);
    if (!fits(&peers->self, &wants))
        return -1;
    for (uint32_t i = 1; i < peers->kind_count; i++)
        if (wants_equal(&peers->kinds[i].wants, &wants))
            return (int)i;
    if (peers->kind_count == HF_KINDS_MAX)
        return 0;
    peers->kinds[peers->kind_count] = (hf_kind_row){.wants = wants};
    return (int)peers->kind_count++;
}

bool hf_peers_pause(hf_peers *peers, bool provider, hf_str name, bool paused) {
    uint32_t hash = name_hash(name), i = 0, *list = peers->paused[provider], *count = &peers->paused_count[provider];
    while (i < *count && list[i] != hash)
        i++;
    bool is = i < *count;
    if (is == paused)
        return true;
    if (paused && *count == HF_PAUSED_MAX)
        return false;
    if (paused)
        list[(*count)++] = hash;
    else
        list[i] = list[--*count];
    peers->generation++;
    return true;
}

bool hf_peers_paused(const hf_peers *peers, uint32_t operation, uint32_t provider) {
    return (peers->paused_count[0] && operation && has(peers->paused[0], peers->paused_count[0], operation)) ||
           (peers->paused_count[1] && provider && has(peers->paused[1], peers->paused_count[1], provider));
}

uint32_t hf_peers_name(hf_str name) { return name_hash(name); }

static const hf_kind_row *row_of(hf_peers *peers, int kind) {
    hf_kind_row *row = &peers->kinds[kind];
    if (row->generation == peers->generation)
        return row;
    if (!row->peers && peers->count)
        row->peers = hf_alloc(HF_PEERS_MAX * sizeof *row->peers);
    row->generation = peers->generation;
    row->peer_count = 0;
    for (uint32_t i = 0; kind > 0 && row->peers && i < peers->count; i++)
        if (peers->peers[i]->live && fits(&peers->peers[i]->match, &row->wants))
            row->peers[row->peer_count++] = (uint16_t)i;
    return row;
}

bool hf_peers_prefer_me(hf_peers *peers, int kind, uint64_t job_hash) {
    const hf_kind_row *row = row_of(peers, kind);
    uint64_t mine = hf_worker_mix(peers->self_hash ^ job_hash);
    for (uint32_t i = 0; i < row->peer_count; i++)
        if (hf_worker_mix(peers->peers[row->peers[i]]->hash ^ job_hash) > mine)
            return false;
    return true;
}

bool hf_peers_other_idle(hf_peers *peers, int kind) {
    const hf_kind_row *row = row_of(peers, kind);
    for (uint32_t i = 0; i < row->peer_count; i++)
        if (peers->peers[row->peers[i]]->slots_free > 0)
            return true;
    return false;
}
