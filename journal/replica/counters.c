#include "journal/replica/counters.h"

#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "schemas/base/buf.h"
#include "schemas/base/mem.h"

/* ---- what labels may say ---------------------------------------------------------------------------------- */
static const char *const providers[HF_PROVIDERS] = {"local", "vsphere", "hyperv",       "proxmox", "kvm",
                                                    "ovirt", "nutanix", "openstack",    "aws",     "azure",
                                                    "gcp",   "oci",     "alibabacloud", "other"};
static const char *const operations[HF_OPERATIONS] = {
    "export",      "discover",     "inspect",     "convert",      "offline_fix",
    "boot_repair", "selinux_prep", "lvm_repair",  "fs_repair",    "initramfs_regenerate",
    "sleep",       "import",       "verify",      "snapshot",     "clone",
    "sweep",       "ova-create",   "ova-extract", "ova-validate", "other"};
static const char *const oses[HF_OSES] = {"linux", "windows", "bsd", "unknown", "other"};
static const char *const sizes[HF_SIZES] = {"small", "medium", "large", "xlarge", "xxlarge"};
static const char *const powers[HF_POWERS] = {"poweredOn", "poweredOff", "suspended", "unknown", "other"};
static const char *const needs_names[HF_REQUIREMENTS - HF_PROVIDERS] = {"nbd", "lvm", "mount", "selinux_tools"};
static const hf_state ended[3] = {HF_S_COMPLETED, HF_S_FAILED, HF_S_CANCELLED};

static uint32_t index_of(const char *const *names, uint32_t count, hf_str name) {
    for (uint32_t i = 0; name.p && i < count - 1; i++)
        if (hf_str_eqz(name, names[i]))
            return i;
    return count - 1;
}
uint32_t hf_counters_operation(hf_str operation) { return index_of(operations, HF_OPERATIONS, operation); }
uint32_t hf_counters_provider(hf_str provider) { return index_of(providers, HF_PROVIDERS, provider); }
uint32_t hf_counters_priority(int32_t priority) {
    bool known = priority >= HF_PRIORITY_HIGHEST && priority <= HF_PRIORITY_LOWEST;
    return known ? (uint32_t)(priority - HF_PRIORITY_HIGHEST) : HF_PRIORITIES - 1;
}
static uint32_t provider_bit(hf_str provider) {
    return 1u << (HF_ARRAY_LEN(needs_names) + hf_counters_provider(provider));
}
/* Of a job without a source the provider says nothing: intake names one all the same. */
uint32_t hf_counters_asked(const hf_spec *spec) {
    const hf_needs *n = &spec->needs;
    bool source = spec->vm_path.len > 0 || spec->disks.count > 0 || spec->endpoint.len > 0;
    return (uint32_t)n->nbd | (uint32_t)n->lvm << 1 | (uint32_t)n->mount << 2 | (uint32_t)n->selinux_tools << 3 |
           (source ? provider_bit(spec->provider) : 0);
}
uint32_t hf_counters_met(const hf_capabilities *c) {
    uint32_t met = (uint32_t)c->nbd | (uint32_t)c->lvm << 1 | (uint32_t)c->mount << 2 | (uint32_t)c->selinux_tools << 3;
    for (uint32_t i = 0; i < c->providers.count; i++)
        met |= provider_bit(*HF_LIST_AT(c->providers, hf_str, i));
    return met;
}
static uint32_t provider_of(const hf_job *job) { return hf_counters_provider(job->spec->provider); }
static uint32_t error_of(hf_str code) {
    if (!code.p)
        return HF_CODE_COUNT;
    hf_code c = hf_code_from_name(code.p, code.len);
    return c == HF_E_INTERNAL && !hf_str_eqz(code, "internal") ? HF_CODE_COUNT : (uint32_t)c;
}
static bool contains(hf_str text, const char *word) {
    size_t len = strlen(word);
    for (uint32_t i = 0; i + len <= text.len; i++)
        if (strncasecmp(text.p + i, word, len) == 0)
            return true;
    return false;
}
static uint32_t os_of(hf_str os) {
    static const char *const linuxes[] = {"linux",  "ubuntu", "debian", "centos", "rhel",  "red hat",
                                          "fedora", "suse",   "rocky",  "alma",   "photon"};
    if (os.len == 0)
        return 3;
    for (size_t i = 0; i < HF_ARRAY_LEN(linuxes); i++)
        if (contains(os, linuxes[i]))
            return 0;
    return contains(os, "win") ? 1 : contains(os, "bsd") ? 2 : 4;
}
static uint32_t size_of(int64_t bytes) {
    static const int64_t gib[] = {10, 50, 100, 500};
    uint32_t i = 0;
    while (i < 4 && bytes >= gib[i] << 30)
        i++;
    return i;
}

static const char *label_one(uint32_t i, char *text) {
    (void)i;
    return text[0] = 0, text;
}
static const char *label_state(uint32_t i, char *text) {
    (void)text;
    return hf_state_name((hf_state)i);
}
static const char *label_status(uint32_t i, char *text) {
    (void)text;
    return hf_state_status(ended[i]);
}
static const char *label_event(uint32_t i, char *text) {
    (void)text;
    return hf_event_name((hf_event)i);
}
static const char *label_verdict(uint32_t i, char *text) {
    (void)text;
    return hf_verdict_name((hf_verdict)i);
}
static const char *label_provider(uint32_t i, char *text) {
    (void)text;
    return providers[i];
}
static const char *label_operation(uint32_t i, char *text) {
    (void)text;
    return operations[i];
}
static const char *label_priority(uint32_t i, char *text) {
    if (i + 1 == HF_PRIORITIES)
        return "other";
    snprintf(text, 32, "%u", i + HF_PRIORITY_HIGHEST);
    return text;
}
static const char *label_requirement(uint32_t i, char *text) {
    if (i < HF_ARRAY_LEN(needs_names))
        return needs_names[i];
    snprintf(text, 32, "provider:%s", providers[i - HF_ARRAY_LEN(needs_names)]);
    return text;
}
static const char *label_os(uint32_t i, char *text) {
    (void)text;
    return oses[i];
}
static const char *label_outcome(uint32_t i, char *text) {
    (void)text;
    return hf_delivery_outcome_name((int32_t)i);
}
static const char *label_size(uint32_t i, char *text) {
    (void)text;
    return sizes[i];
}
static const char *label_power(uint32_t i, char *text) {
    (void)text;
    return powers[i];
}
static const char *label_error(uint32_t i, char *text) {
    (void)text;
    return i < HF_CODE_COUNT ? hf_code_name((hf_code)i) : "other";
}
static const char *label_topic(uint32_t i, char *text) {
    (void)text;
    return hf_topic_suffix((hf_topic)i);
}
static const char *label_bucket(hf_dim dim, uint32_t i, char *text) {
    uint32_t count = hf_dim_count(dim);
    if (i + 1 == count)
        return "sum";
    if (i + 2 == count)
        return "inf";
    snprintf(text, 32, dim == HF_D_B_OVF ? "%g" : "%.0f", hf_dim_bound(dim, i));
    return text;
}
static const char *label_seconds(uint32_t i, char *text) { return label_bucket(HF_D_B_SECONDS, i, text); }
static const char *label_speed(uint32_t i, char *text) { return label_bucket(HF_D_B_SPEED, i, text); }
static const char *label_ovf(uint32_t i, char *text) { return label_bucket(HF_D_B_OVF, i, text); }
static const char *label_transfer(uint32_t i, char *text) { return label_bucket(HF_D_B_TRANSFER, i, text); }

/* ---- families and cells -------------------------------------------------------------------------------------- */
static const struct {
    uint32_t count;
    const char *(*label)(uint32_t, char *);
} dims[HF_DIM_COUNT] = {
#define HF_DIM(id, count_, label_) [HF_D_##id] = {count_, label_},
#include "journal/replica/counters.def"
};
static const hf_counter_family families[HF_COUNTER_FAMILIES] = {
#define HF_COUNTER(id, family, a, b, c, labels_, doc_)                                                                 \
    [HF_N_##id] = {family, labels_, doc_, {HF_D_##a, HF_D_##b, HF_D_##c}},
#include "journal/replica/counters.def"
};

const hf_counter_family *hf_counter_family_of(hf_counter counter) { return &families[counter]; }
uint32_t hf_dim_count(hf_dim dim) { return dims[dim].count; }
const char *hf_dim_label(hf_dim dim, uint32_t index, char text[32]) { return dims[dim].label(index, text); }
bool hf_dim_is_histogram(hf_dim dim) {
    return dim == HF_D_B_SECONDS || dim == HF_D_B_SPEED || dim == HF_D_B_TRANSFER || dim == HF_D_B_OVF;
}
double hf_dim_bound(hf_dim dim, uint32_t index) {
    static const double ovf[] = {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10};
    if (dim == HF_D_B_OVF)
        return index < HF_ARRAY_LEN(ovf) ? ovf[index] : INFINITY;
    double first = dim == HF_D_B_SECONDS ? 1 : dim == HF_D_B_SPEED ? 1048576 : 10;
    return index + 2 >= dims[dim].count ? INFINITY : ldexp(first, (int)index);
}

/* Each family's cells follow the former one's. */
enum {
#define HF_DIM(id, count_, label_) COUNT_##id = (count_),
#include "journal/replica/counters.def"
};
enum {
#define HF_COUNTER(id, family, a, b, c, labels, doc)                                                                   \
    BASE_##id, LAST_##id = BASE_##id + COUNT_##a * COUNT_##b * COUNT_##c - 1,
#include "journal/replica/counters.def"
    ALL_CELLS
};
static const uint32_t bases[HF_COUNTER_FAMILIES + 1] = {
#define HF_COUNTER(id, family, a, b, c, labels, doc) [HF_N_##id] = BASE_##id,
#include "journal/replica/counters.def"
    [HF_COUNTER_FAMILIES] = ALL_CELLS};

static size_t base_of(hf_counter n) { return bases[n]; }
static size_t cells_of(hf_counter n) { return bases[n + 1] - bases[n]; }
static size_t cell(hf_counter n, uint32_t a, uint32_t b, uint32_t c) {
    const hf_dim *d = families[n].dims;
    return base_of(n) + ((size_t)a * dims[d[1]].count + b) * dims[d[2]].count + c;
}
int64_t hf_counter_get(const hf_counters *k, hf_counter n, uint32_t a, uint32_t b, uint32_t c) {
    return k->now[cell(n, a, b, c)];
}
static void bump(hf_counters *k, hf_counter n, uint32_t a, uint32_t b, uint32_t c, int64_t by) {
    k->now[cell(n, a, b, c)] += by;
}

static uint32_t bucket_of(hf_dim dim, double value) {
    uint32_t i = 0;
    while (i + 2 < dims[dim].count && value > hf_dim_bound(dim, i))
        i++;
    return i;
}

/* Cells of `n` in its dimension `dim`: the bucket of `value`, and the sum. a and b: the labels before it. */
static void observe(hf_counters *k, hf_counter n, hf_dim dim, uint32_t a, uint32_t b, double value, int64_t as_sum) {
    uint32_t count = dims[dim].count, i = bucket_of(dim, value);
    int at = families[n].dims[2] == dim ? 2 : families[n].dims[1] == dim ? 1 : 0;
    uint32_t index[3] = {a, b, 0};
    index[at] = i;
    bump(k, n, index[0], index[1], index[2], 1);
    index[at] = count - 1;
    bump(k, n, index[0], index[1], index[2], as_sum);
}

hf_code hf_counters_init(hf_counters *k, hf_err *reterr) {
    k->cells = ALL_CELLS;
    k->now = hf_alloc(k->cells * sizeof *k->now);
    k->stored = hf_alloc(k->cells * sizeof *k->stored);
    if (k->now && k->stored)
        return HF_OK;
    hf_counters_done(k);
    return hf_fail(reterr, HF_E_NO_MEMORY, "counters");
}
void hf_counters_done(hf_counters *k) {
    free(k->now);
    free(k->stored);
    *k = (hf_counters){0};
}

/* ---- what was discovered -------------------------------------------------------------------------------------- */
typedef struct discovered {
    int64_t at, by, vms[HF_POWERS];
} discovered;

static discovered discovered_of(const hf_counters *k, uint32_t provider) {
    discovered d = {
        k->now[cell(HF_N_DISCOVERED_AT, provider, 0, 0)], k->now[cell(HF_N_DISCOVERED_BY, provider, 0, 0)], {0}};
    for (uint32_t i = 0; i < HF_POWERS; i++)
        d.vms[i] = k->now[cell(HF_N_DISCOVERED, provider, i, 0)];
    return d;
}

/* A job that ended later takes the place of an earlier one; two in one millisecond are told apart by where they stand. */
static void keep_latest(hf_counters *k, uint32_t provider, const discovered *d) {
    discovered now = discovered_of(k, provider);
    if (d->at < now.at || (d->at == now.at && d->by <= now.by))
        return;
    k->now[cell(HF_N_DISCOVERED_AT, provider, 0, 0)] = d->at;
    k->now[cell(HF_N_DISCOVERED_BY, provider, 0, 0)] = d->by;
    for (uint32_t i = 0; i < HF_POWERS; i++)
        k->now[cell(HF_N_DISCOVERED, provider, i, 0)] = d->vms[i];
}

static bool is_latest(size_t i) { return i >= base_of(HF_N_DISCOVERED) && i < bases[HF_N_DISCOVERED_BY + 1]; }

/* power_states of the report of `discover`; another program of that name may say nothing we know. */
static void count_discovered(hf_counters *k, const hf_job *job) {
    hf_str report = job->result->report;
    json_t *json = report.len ? json_loadb(report.p, report.len, 0, NULL) : NULL, *value;
    json_t *states = json_object_get(json, "power_states");
    const char *said = json_string_value(json_object_get(json, "provider")), *state;
    hf_str provider = job->spec->provider.len ? job->spec->provider : hf_str_of(said);
    discovered d = {.at = job->finished_at, .by = (int64_t)hf_position_key(job->last)};
    if (json_is_object(states) && json_object_size(states) <= 64) {
        json_object_foreach(states, state, value) {
            json_int_t n = json_integer_value(value);
            d.vms[index_of(powers, HF_POWERS, hf_str_of(state))] += n > 0 && n < INT32_MAX ? n : 0;
        }
        keep_latest(k, index_of(providers, HF_PROVIDERS, provider), &d);
    }
    json_decref(json);
}

void hf_counters_add(hf_counters *k, const hf_counters *from) {
    for (size_t i = 0; i < k->cells; i++)
        k->now[i] += is_latest(i) ? 0 : from->now[i];
    for (uint32_t provider = 0; provider < HF_PROVIDERS; provider++) {
        discovered d = discovered_of(from, provider);
        keep_latest(k, provider, &d);
    }
}

/* ---- what a record adds ------------------------------------------------------------------------------------ */
void hf_counters_record(hf_counters *k, hf_topic topic) { bump(k, HF_N_RECORDS, topic, 0, 0, 1); }
void hf_counters_delivery(hf_counters *k, int32_t outcome) { bump(k, HF_N_DELIVERIES, (uint32_t)outcome, 0, 0, 1); }
void hf_counters_unreadable(hf_counters *k, hf_topic topic) { bump(k, HF_N_UNREADABLE, topic, 0, 0, 1); }

static bool seconds_of(const json_t *object, const char *name, double *ret) {
    const json_t *value = json_object_get(object, name);
    *ret = json_number_value(value);
    return json_is_number(value) && *ret >= 0 && *ret < 1e7;
}

static int64_t as_ms(double seconds) { return (int64_t)(seconds * 1000 + 0.5); }

/* How long each disk and the descriptor took, as the result's report says; another program's may say nothing of it. */
static void count_disks(hf_counters *k, uint32_t provider, const hf_result *r) {
    json_t *json = r->report.len ? json_loadb(r->report.p, r->report.len, 0, NULL) : NULL;
    const json_t *disks = json_object_get(json, "disks");
    double seconds;
    size_t counted = 0;
    for (size_t i = 0; i < json_array_size(disks) && i < HF_MAX_DISKS; i++) {
        const json_t *disk = json_array_get(disks, i);
        if (!seconds_of(disk, "seconds", &seconds))
            continue;
        uint32_t size = size_of(json_integer_value(json_object_get(disk, "capacity_bytes")));
        observe(k, HF_N_TRANSFER, HF_D_B_TRANSFER, provider, size, seconds, as_ms(seconds));
        counted++;
    }
    if (counted == 0)
        observe(k, HF_N_TRANSFER, HF_D_B_TRANSFER, provider, size_of(r->bytes_read), (double)r->duration_ms / 1000,
                r->duration_ms);
    if (seconds_of(json, "ovf_seconds", &seconds) && seconds > 0)
        observe(k, HF_N_OVF, HF_D_B_OVF, 0, 0, seconds, as_ms(seconds));
    json_decref(json);
}

bool hf_counters_end_of(const hf_job *before, const hf_job *job, hf_counted_end *ret) {
    if (!hf_state_terminal((hf_state)job->state) || (before && hf_state_terminal((hf_state)before->state)))
        return false;
    int64_t from = job->started_at ? job->started_at : job->created_at;
    *ret = (hf_counted_end){.provider = provider_of(job)};
    while (ret->status < 2 && ended[ret->status] != (hf_state)job->state)
        ret->status++;
    ret->ms = job->finished_at > from ? job->finished_at - from : 0; /* clocks of two machines may disagree */
    ret->bucket = bucket_of(HF_D_B_SECONDS, (double)ret->ms / 1000);
    return true;
}

static void count_end(hf_counters *k, const hf_job *job, const hf_counted_end *end) {
    uint32_t provider = end->provider;
    bump(k, HF_N_JOBS_ENDED, end->status, provider, 0, 1);
    observe(k, HF_N_DURATION, HF_D_B_SECONDS, end->status, provider, (double)end->ms / 1000, end->ms);
    const hf_result *r = job->result;
    if (job->state == HF_S_COMPLETED && r && hf_str_eqz(job->spec->operation, "discover"))
        count_discovered(k, job);
    if (job->state != HF_S_COMPLETED || !r || !hf_str_eqz(job->spec->operation, "export"))
        return;
    bump(k, HF_N_VMS_EXPORTED, provider, os_of(r->os_type), 0, 1);
    bump(k, HF_N_BYTES_EXPORTED, provider, 0, 0, r->bytes_written);
    if (r->duration_ms <= 0)
        return;
    double speed = (double)r->bytes_read * 1000 / (double)r->duration_ms;
    observe(k, HF_N_SPEED, HF_D_B_SPEED, provider, 0, speed, (int64_t)speed);
    count_disks(k, provider, r);
}

static void count_transition(hf_counters *k, hf_event event, const hf_job *after) {
    bump(k, HF_N_EVENTS, event, 0, 0, 1);
    if (event == HF_EV_CREATED)
        bump(k, HF_N_JOBS_CREATED, provider_of(after), 0, 0, 1);
    if ((event == HF_EV_RETRY_SCHEDULED || event == HF_EV_FAILED || event == HF_EV_LEASE_EXPIRED ||
         event == HF_EV_REJECTED) &&
        after->error)
        bump(k, HF_N_ERRORS, error_of(after->error->code), provider_of(after), 0, 1);
    if (event == HF_EV_RETRY_SCHEDULED || (event == HF_EV_LEASE_EXPIRED && after->state == HF_S_RETRYING))
        bump(k, HF_N_RETRIES, hf_counters_operation(after->spec->operation), provider_of(after), 0, 1);
}

static void count_waiting(hf_counters *k, const hf_job *job, int64_t by) {
    const hf_spec *spec = job->spec;
    bump(k, HF_N_JOBS_QUEUED, hf_counters_operation(spec->operation), hf_counters_priority(hf_job_priority(job)), 0,
         by);
    uint32_t wants = hf_counters_asked(spec);
    for (uint32_t i = 0; i < HF_REQUIREMENTS; i++)
        if (wants & 1u << i)
            bump(k, HF_N_JOBS_NEEDING, i, 0, 0, by);
}

void hf_counters_change(hf_counters *k, const hf_record *record, hf_verdict verdict, const hf_job *before,
                        const hf_job *after) {
    bump(k, HF_N_VERDICTS, verdict, 0, 0, 1);
    if (verdict != HF_V_ACCEPTED)
        return;
    for (uint32_t i = 0; i < record->transitions.count; i++)
        count_transition(k, hf_record_event(record, i), after);
    if (before && !before->deleted)
        bump(k, HF_N_JOBS_STATE, (uint32_t)before->state, 0, 0, -1);
    bool waited = before && before->state == HF_S_QUEUED, waits = after->state == HF_S_QUEUED;
    if (waited)
        count_waiting(k, before, -1);
    if (waits)
        count_waiting(k, after, 1);
    if (!after->deleted)
        bump(k, HF_N_JOBS_STATE, (uint32_t)after->state, 0, 0, 1);
    else if (!before || !before->deleted)
        bump(k, HF_N_JOBS_DELETED, 0, 0, 0, 1);
    hf_counted_end end;
    if (hf_counters_end_of(before, after, &end))
        count_end(k, after, &end);
}

/* ---- rows ------------------------------------------------------------------------------------------------------ */
enum { NAME_BYTES = 160, ROOM_EACH = NAME_BYTES + 64 };

static hf_str name_of(hf_counter n, size_t at, char text[NAME_BYTES]) {
    const hf_counter_family *f = &families[n];
    uint32_t c = dims[f->dims[2]].count, b = dims[f->dims[1]].count;
    const uint32_t index[3] = {(uint32_t)(at / c / b), (uint32_t)(at / c % b), (uint32_t)(at % c)};
    int len = snprintf(text, NAME_BYTES, "%s", f->name);
    for (int i = 0; i < 3; i++) {
        char label[32];
        if (f->dims[i] != HF_D_ONE)
            len += snprintf(text + len, NAME_BYTES - (size_t)len, "/%s", hf_dim_label(f->dims[i], index[i], label));
    }
    return (hf_str){text, (uint32_t)len};
}

typedef bool (*cell_fn)(void *ctx, hf_str name, size_t index);
static bool each_cell(bool (*wanted)(const hf_counters *, size_t), const hf_counters *k, cell_fn fn, void *ctx) {
    char text[NAME_BYTES];
    for (int n = 0; n < HF_COUNTER_FAMILIES; n++)
        for (size_t i = 0, base = base_of((hf_counter)n); i < cells_of((hf_counter)n); i++)
            if (wanted(k, base + i) && !fn(ctx, name_of((hf_counter)n, i, text), base + i))
                return false;
    return true;
}
static bool changed(const hf_counters *k, size_t i) { return k->now[i] != k->stored[i]; }
static bool any(const hf_counters *k, size_t i) {
    (void)k, (void)i;
    return true;
}

size_t hf_counters_room(const hf_counters *k) {
    size_t n = 0;
    for (size_t i = 0; i < k->cells; i++)
        n += changed(k, i);
    return n * ROOM_EACH;
}

typedef struct {
    const hf_counters *counters;
    hf_changes *changes;
    hf_table table;
} putting;
static bool put_cell(void *ctx, hf_str name, size_t index) {
    putting *p = ctx;
    int64_t value = p->counters->now[index];
    if (value == 0) /* a gauge that went back: a rebuild that folds it in one batch would not have the row */
        return hf_changes_delete(p->changes, p->table, name);
    return hf_changes_put(p->changes, p->table, name, (hf_str){(const char *)&value, sizeof value}, 0);
}
bool hf_counters_put(const hf_counters *k, hf_changes *changes, hf_table table) {
    return each_cell(changed, k, put_cell, &(putting){k, changes, table});
}
void hf_counters_mark(hf_counters *k) { memcpy(k->stored, k->now, k->cells * sizeof *k->now); }

/* Each cell's row by name, in the order of their bytes: there are thousands of cells, and rows of few. Made once, kept for good. */
typedef struct named {
    uint32_t at, len; /* in the texts */
    uint32_t index;
} named;
static struct {
    pthread_mutex_t lock; /* a leaf; what it made is read without it */
    hf_buf texts;
    named *of; /* NULL: no memory */
    size_t count;
} names = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int compare_texts(hf_str a, hf_str b) {
    int c = memcmp(a.p, b.p, a.len < b.len ? a.len : b.len);
    return c ? c : (a.len > b.len) - (a.len < b.len);
}
static hf_str text_of(const named *n) { return (hf_str){(const char *)names.texts.data + n->at, n->len}; }
static int compare_named(const void *a, const void *b) { return compare_texts(text_of(a), text_of(b)); }
static int compare_to_key(const void *key, const void *n) { return compare_texts(*(const hf_str *)key, text_of(n)); }

static bool add_name(void *ctx, hf_str name, size_t index) {
    (void)ctx;
    names.of[names.count++] = (named){(uint32_t)names.texts.len, name.len, (uint32_t)index};
    return hf_buf_put(&names.texts, name.p, name.len);
}

static void make_names(void) {
    size_t cells = 0;
    for (int n = 0; n < HF_COUNTER_FAMILIES; n++)
        cells += cells_of((hf_counter)n);
    hf_buf_init(&names.texts, cells * NAME_BYTES);
    names.count = 0;
    names.of = hf_alloc(cells * sizeof *names.of);
    if (!names.of || !each_cell(any, NULL, add_name, NULL)) {
        free(names.of);
        names.of = NULL;
        hf_buf_done(&names.texts);
        return;
    }
    qsort(names.of, names.count, sizeof *names.of, compare_named);
}

static bool have_names(void) {
    pthread_mutex_lock(&names.lock);
    if (!names.of)
        make_names();
    bool have = names.of != NULL;
    pthread_mutex_unlock(&names.lock);
    return have;
}

static void load_row(hf_counters *k, hf_str key, hf_str value) {
    const named *n = bsearch(&key, names.of, names.count, sizeof *names.of, compare_to_key);
    if (n && value.len == sizeof(int64_t))
        memcpy(&k->now[n->index], value.p, sizeof(int64_t));
}

hf_code hf_counters_load(hf_counters *k, hf_read *read, hf_table table, hf_err *reterr) {
    hf_cursor *cursor = NULL;
    hf_str key, value;
    hf_code rc = have_names() ? hf_cursor_open(read, table, &cursor, reterr)
                              : hf_fail(reterr, HF_E_NO_MEMORY, "no memory for the counters' names");
    for (hf_move move = HF_FIRST; rc == HF_OK; move = HF_NEXT)
        if ((rc = hf_cursor_move(cursor, move, &key, &value, reterr)) == HF_OK)
            load_row(k, key, value);
    hf_cursor_close(cursor);
    hf_counters_mark(k);
    return rc == HF_E_NOT_FOUND ? HF_OK : rc;
}
