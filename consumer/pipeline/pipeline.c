/* The ring of slots and the three kinds of thread round it. One lock guards the counters and states; no
 * reading, encoding or writing happens under it. */
#include "consumer/pipeline/pipeline.h"

#include <string.h>

#include "schemas/base/mem.h"

typedef enum slot_state { SLOT_FREE, SLOT_PLANNED, SLOT_BUSY, SLOT_DONE } slot_state;
typedef struct slot {
    hf_chunk chunk;
    slot_state state;
} slot;

struct hf_pipeline {
    hf_flow *flow;
    unsigned threads, slot_count;
    slot *slots;
    uint8_t *memory; /* of all slots */
    pthread_mutex_t lock;
    pthread_cond_t freed, planned, done;
    /* of the run under way, under the lock */
    uint64_t planned_count, taken_count, committed_count;
    bool plan_over, stop;
    hf_err error;
    /* of the run under way, set before its threads start */
    hf_source *source;
    hf_sink *sink;
    int64_t from;
    int64_t populated;         /* the committer's */
    hf_pipeline_before before; /* NULL: none */
    void *before_ctx;
};

typedef struct worker {
    hf_pipeline *pipeline;
    void *lane;
    pthread_t thread;
} worker;

/* A block that is zero equals itself shifted by 16 bytes and begins with 16 zeros: memcmp is the fastest loop there is. */
static bool all_zero(const uint8_t *p, size_t len) {
    static const uint8_t zero[16];
    return memcmp(p, zero, sizeof zero) == 0 && memcmp(p, p + sizeof zero, len - sizeof zero) == 0;
}

uint16_t hf_grains_used(const uint8_t *data, uint16_t mapped) {
    unsigned used = 0;
    for (unsigned i = 0; i < HF_CHUNK_GRAINS; i++)
        if (mapped >> i & 1 && !all_zero(data + (size_t)i * HF_GRAIN_BYTES, HF_GRAIN_BYTES))
            used |= 1u << i;
    return (uint16_t)used;
}

static void stop_with(hf_pipeline *p, const hf_err *error) {
    pthread_mutex_lock(&p->lock);
    if (!p->stop) {
        p->stop = true;
        p->error = *error;
    }
    pthread_cond_broadcast(&p->freed);
    pthread_cond_broadcast(&p->planned);
    pthread_cond_broadcast(&p->done);
    pthread_mutex_unlock(&p->lock);
    if (p->source->stop)
        p->source->stop(p->source);
}

/* ---- planner: extents -> chunks --------------------------------------------------------------- */
typedef struct extent_plan {
    int64_t at; /* everything below is planned */
    int64_t extent_end;
    bool extent_data;
} extent_plan;

static hf_code plan_extent(hf_pipeline *p, extent_plan *plan, int64_t at, hf_err *reterr) {
    if (at < plan->extent_end)
        return HF_OK;
    hf_code rc = hf_source_extent(p->source, at, &plan->extent_end, &plan->extent_data, reterr);
    if (rc == HF_OK && plan->extent_end <= at)
        return hf_fail(reterr, HF_E_INTERNAL, "the source gave an empty extent");
    return rc;
}

/* Fills chunk with the next 1 MiB that holds data; *ret_any false at the end of the disk. */
static hf_code plan_chunk(hf_pipeline *p, extent_plan *plan, hf_chunk *chunk, bool *ret_any, hf_err *reterr) {
    int64_t size = p->source->size_bytes;
    hf_code rc;
    for (*ret_any = false; plan->at < size; plan->at = plan->extent_end) {
        if ((rc = hf_flow_check(p->flow, reterr)) != HF_OK || (rc = plan_extent(p, plan, plan->at, reterr)) != HF_OK)
            return rc;
        if (plan->extent_data)
            break;
    }
    if (plan->at >= size)
        return HF_OK;
    int64_t base = plan->at - plan->at % HF_CHUNK_BYTES;
    int64_t end = size - base < HF_CHUNK_BYTES ? size : base + HF_CHUNK_BYTES;
    unsigned mapped = 0;
    while (plan->at < end) {
        if ((rc = plan_extent(p, plan, plan->at, reterr)) != HF_OK)
            return rc;
        int64_t stop = plan->extent_end < end ? plan->extent_end : end;
        if (plan->extent_data)
            for (int64_t g = (plan->at - base) / HF_GRAIN_BYTES; g <= (stop - 1 - base) / HF_GRAIN_BYTES; g++)
                mapped |= 1u << g;
        plan->at = stop;
    }
    *ret_any = true;
    chunk->offset = base;
    chunk->len = (uint32_t)(end - base);
    chunk->mapped = (uint16_t)mapped;
    return HF_OK;
}

/* The slot the next chunk goes into, or NULL when the run stops. */
static slot *planner_slot(hf_pipeline *p) {
    pthread_mutex_lock(&p->lock);
    while (!p->stop && p->planned_count - p->committed_count == p->slot_count)
        pthread_cond_wait(&p->freed, &p->lock);
    slot *s = p->stop ? NULL : &p->slots[p->planned_count % p->slot_count];
    pthread_mutex_unlock(&p->lock);
    return s;
}

static void planner_publish(hf_pipeline *p, slot *s) {
    pthread_mutex_lock(&p->lock);
    if (s) {
        s->state = SLOT_PLANNED;
        p->planned_count++;
        pthread_cond_signal(&p->planned);
    } else {
        p->plan_over = true;
        pthread_cond_broadcast(&p->planned);
        pthread_cond_broadcast(&p->done);
    }
    pthread_mutex_unlock(&p->lock);
}

static void *planner_main(void *arg) {
    hf_pipeline *p = arg;
    extent_plan plan = {.at = p->from, .extent_end = p->from};
    for (slot *s; (s = planner_slot(p)) != NULL;) {
        bool any;
        hf_err error = {0};
        if (plan_chunk(p, &plan, &s->chunk, &any, &error) != HF_OK) {
            stop_with(p, &error);
            break;
        }
        planner_publish(p, any ? s : NULL);
        if (!any)
            break;
    }
    return NULL;
}

/* ---- workers: read, zero test, encode ------------------------------------------------------------ */
static hf_code chunk_read(hf_pipeline *p, hf_chunk *chunk, hf_err *reterr) {
    for (unsigned i = 0; i < HF_CHUNK_GRAINS;) {
        if (!(chunk->mapped >> i & 1)) {
            i++;
            continue;
        }
        unsigned from = i;
        while (i < HF_CHUNK_GRAINS && chunk->mapped >> i & 1)
            i++;
        size_t at = (size_t)from * HF_GRAIN_BYTES, end = (size_t)i * HF_GRAIN_BYTES;
        size_t len = (end < chunk->len ? end : chunk->len) - at;
        hf_code rc = p->source->charged ? HF_OK : hf_flow_charge(p->flow, (int64_t)len, reterr);
        if (rc != HF_OK ||
            (rc = hf_source_read(p->source, chunk->data + at, len, chunk->offset + (int64_t)at, reterr)) != HF_OK)
            return rc;
        if (!p->source->charged)
            atomic_fetch_add_explicit(&p->flow->bytes_read, (long long)len, memory_order_relaxed);
        memset(chunk->data + at + len, 0, end - at - len);
    }
    return HF_OK;
}

static hf_code chunk_work(hf_pipeline *p, void *lane, hf_chunk *chunk, hf_err *reterr) {
    hf_code rc = chunk_read(p, chunk, reterr);
    if (rc != HF_OK)
        return rc;
    chunk->used = hf_grains_used(chunk->data, chunk->mapped);
    chunk->out_len = 0;
    return chunk->used && p->sink->cls->encode ? p->sink->cls->encode(p->sink, lane, chunk, reterr) : HF_OK;
}

static slot *worker_take(hf_pipeline *p) {
    pthread_mutex_lock(&p->lock);
    while (!p->stop && p->taken_count == p->planned_count && !p->plan_over)
        pthread_cond_wait(&p->planned, &p->lock);
    slot *s = NULL;
    if (!p->stop && p->taken_count < p->planned_count) {
        s = &p->slots[p->taken_count++ % p->slot_count];
        s->state = SLOT_BUSY;
    }
    pthread_mutex_unlock(&p->lock);
    return s;
}

static void *worker_main(void *arg) {
    worker *w = arg;
    hf_pipeline *p = w->pipeline;
    for (slot *s; (s = worker_take(p)) != NULL;) {
        hf_err error = {0};
        if (chunk_work(p, w->lane, &s->chunk, &error) != HF_OK) {
            stop_with(p, &error);
            break;
        }
        pthread_mutex_lock(&p->lock);
        s->state = SLOT_DONE;
        pthread_cond_signal(&p->done);
        pthread_mutex_unlock(&p->lock);
    }
    return NULL;
}

/* ---- committer: in the order of the disk ------------------------------------------------------------ */
static slot *committer_next(hf_pipeline *p) {
    pthread_mutex_lock(&p->lock);
    slot *s;
    for (;;) {
        s = &p->slots[p->committed_count % p->slot_count];
        bool there = p->committed_count < p->planned_count;
        if (p->stop || (p->plan_over && !there)) {
            s = NULL;
            break;
        }
        if (there && s->state == SLOT_DONE)
            break;
        pthread_cond_wait(&p->done, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return s;
}

static void committer_free(hf_pipeline *p, slot *s) {
    pthread_mutex_lock(&p->lock);
    s->state = SLOT_FREE;
    p->committed_count++;
    pthread_cond_signal(&p->freed);
    pthread_mutex_unlock(&p->lock);
}

static void commit_all(hf_pipeline *p) {
    for (slot *s; (s = committer_next(p)) != NULL;) {
        hf_err error = {0};
        if (hf_flow_check(p->flow, &error) != HF_OK ||
            (p->before && p->before(p->before_ctx, p->sink, s->chunk.offset, &error) != HF_OK) ||
            p->sink->cls->commit(p->sink, &s->chunk, &error) != HF_OK) {
            stop_with(p, &error);
            return;
        }
        p->populated += (int64_t)__builtin_popcount(s->chunk.used) * HF_GRAIN_BYTES;
        int64_t done = (int64_t)__builtin_popcount(s->chunk.mapped) * HF_GRAIN_BYTES;
        committer_free(p, s);
        hf_flow_advance(p->flow, done);
    }
}

/* ---- a run -------------------------------------------------------------------------------------------- */
static void lanes_free(hf_sink *sink, worker *workers, unsigned count) {
    for (unsigned i = 0; i < count; i++)
        if (workers[i].lane)
            sink->cls->lane_free(sink, workers[i].lane);
}

static hf_code lanes_new(hf_pipeline *p, hf_sink *sink, worker *workers, hf_err *reterr) {
    for (unsigned i = 0; i < p->threads; i++) {
        workers[i] = (worker){.pipeline = p};
        if (sink->cls->lane_new && !(workers[i].lane = sink->cls->lane_new(sink))) {
            lanes_free(sink, workers, i);
            return hf_fail(reterr, HF_E_NO_MEMORY, "working memory of a codec");
        }
    }
    return HF_OK;
}

static void run_threads(hf_pipeline *p, worker *workers) {
    pthread_t planner;
    unsigned started = 0;
    bool planning = pthread_create(&planner, NULL, planner_main, p) == 0;
    while (planning && started < p->threads &&
           pthread_create(&workers[started].thread, NULL, worker_main, &workers[started]) == 0)
        started++;
    if (started == 0) {
        hf_err error;
        hf_fail(&error, HF_E_NO_MEMORY, "no thread could be started");
        stop_with(p, &error);
    }
    commit_all(p);
    for (unsigned i = 0; i < started; i++)
        pthread_join(workers[i].thread, NULL);
    if (planning)
        pthread_join(planner, NULL);
}

void hf_pipeline_watch(hf_pipeline *p, hf_pipeline_before before, void *ctx) {
    p->before = before;
    p->before_ctx = ctx;
}

hf_code hf_pipeline_run(hf_pipeline *p, hf_source *source, hf_sink *sink, hf_err *reterr) {
    return hf_pipeline_run_from(p, source, sink, 0, 0, reterr);
}

hf_code hf_pipeline_run_from(hf_pipeline *p, hf_source *source, hf_sink *sink, int64_t next_offset,
                             int64_t populated_bytes, hf_err *reterr) {
    worker workers[HF_PIPELINE_THREADS_MAX] = {0};
    hf_code rc = lanes_new(p, sink, workers, reterr);
    if (rc != HF_OK)
        return rc;
    p->source = source;
    p->sink = sink;
    p->planned_count = p->taken_count = p->committed_count = 0;
    p->plan_over = p->stop = false;
    p->from = next_offset;
    p->populated = populated_bytes;
    for (unsigned i = 0; i < p->slot_count; i++)
        p->slots[i].state = SLOT_FREE;
    run_threads(p, workers);
    lanes_free(sink, workers, p->threads);
    if (p->stop) {
        if (reterr)
            *reterr = p->error;
        return p->error.code;
    }
    if ((rc = hf_flow_check(p->flow, reterr)) != HF_OK)
        return rc;
    return sink->cls->finish(sink, reterr);
}

int64_t hf_pipeline_populated(const hf_pipeline *p) { return p->populated; }

hf_code hf_pipeline_new(int threads, hf_flow *flow, hf_pipeline **ret, hf_err *reterr) {
    hf_pipeline *p = hf_alloc(sizeof *p);
    if (!p)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a pipeline");
    p->flow = flow;
    p->threads = threads < 1 ? 1 : threads > HF_PIPELINE_THREADS_MAX ? HF_PIPELINE_THREADS_MAX : (unsigned)threads;
    p->slot_count = 2 * p->threads + 4 < 8 ? 8 : 2 * p->threads + 4;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->freed, NULL);
    pthread_cond_init(&p->planned, NULL);
    pthread_cond_init(&p->done, NULL);
    size_t each = (size_t)HF_CHUNK_BYTES + HF_ENCODED_CHUNK_MAX;
    p->slots = hf_alloc(p->slot_count * sizeof *p->slots);
    p->memory = hf_alloc(p->slot_count * each);
    if (!p->slots || !p->memory) {
        hf_pipeline_free(p);
        return hf_fail(reterr, HF_E_NO_MEMORY, "%u pipeline slots of %zu bytes", 2 * (unsigned)threads + 4, each);
    }
    for (unsigned i = 0; i < p->slot_count; i++) {
        p->slots[i].chunk.data = p->memory + i * each;
        p->slots[i].chunk.out = p->memory + i * each + HF_CHUNK_BYTES;
    }
    *ret = p;
    return HF_OK;
}

void hf_pipeline_free(hf_pipeline *p) {
    if (!p)
        return;
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->freed);
    pthread_cond_destroy(&p->planned);
    pthread_cond_destroy(&p->done);
    free(p->slots);
    free(p->memory);
    free(p);
}
