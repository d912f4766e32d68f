#include "consumer/notify/send.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "consumer/notify/send_inside.h"
#include "schemas/base/clock.h"
#include "schemas/base/mem.h"

enum { EVENTS = 64, ROUNDS = 8, KEPT_CONNECTIONS = 1024 };

static int64_t now_ms(void) { return hf_mono_ns() / 1000000; }

/* ---- curl's wishes -------------------------------------------------------------------------------------------------- */
/* A descriptor that cannot be watched is left to its post's time-out: failing here would end every transfer. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *known) {
    hf_sender *s = ctx;
    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(s->epoll, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    struct epoll_event event = {.data.fd = fd};
    event.events = (what & CURL_POLL_IN ? EPOLLIN : 0u) | (what & CURL_POLL_OUT ? EPOLLOUT : 0u);
    if (epoll_ctl(s->epoll, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event) != 0 &&
        (errno == EEXIST || errno == ENOENT))
        epoll_ctl(s->epoll, errno == EEXIST ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
    if (!known)
        curl_multi_assign(s->multi, fd, s);
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *ctx) {
    hf_sender *s = ctx;
    (void)multi;
    s->deadline_ms = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
    return 0;
}

/* ---- life --------------------------------------------------------------------------------------------------------------- */
static hf_sender_options with_defaults(const hf_sender_options *given) {
    hf_sender_options o = given ? *given : (hf_sender_options){.allow_private = false};
    o.ca_file = o.ca_file && *o.ca_file ? o.ca_file : NULL;
    o.proxy = o.proxy && *o.proxy ? o.proxy : NULL;
    o.user_agent = o.user_agent ? o.user_agent : "hyperhook/" HF_VERSION;
    o.in_flight = o.in_flight ? o.in_flight : 256;
    o.endpoint_in_flight = o.endpoint_in_flight ? o.endpoint_in_flight : 8;
    o.bytes_in_flight = o.bytes_in_flight ? o.bytes_in_flight : 64u << 20;
    o.connect_timeout_ms = o.connect_timeout_ms > 0 ? o.connect_timeout_ms : 5000;
    o.idle_ms = o.idle_ms > 0 ? o.idle_ms : 60000;
    o.lifetime_ms = o.lifetime_ms > 0 ? o.lifetime_ms : 600000;
    o.dns_cache_ms = o.dns_cache_ms > 0 ? o.dns_cache_ms : o.dns_cache_ms < 0 ? 0 : 30000;
    return o;
}

hf_sender_options hf_sender_options_of(const hf_config *config) {
    return (hf_sender_options){.allow_private = hf_config_bool(config, HF_C_WEBHOOK_ALLOW_PRIVATE),
                               .ca_file = hf_config_str(config, HF_C_WEBHOOK_CA),
                               .proxy = hf_config_str(config, HF_C_WEBHOOK_PROXY),
                               .in_flight = (uint32_t)hf_config_int(config, HF_C_WEBHOOK_IN_FLIGHT),
                               .endpoint_in_flight = (uint32_t)hf_config_int(config, HF_C_WEBHOOK_ENDPOINT_IN_FLIGHT),
                               .connect_timeout_ms = hf_config_int(config, HF_C_WEBHOOK_CONNECT)};
}

/* The options' texts outlive the caller's. */
static bool keep_texts(hf_sender_options *o) {
    const char **texts[] = {&o->ca_file, &o->proxy, &o->user_agent};
    bool ok = true;
    for (size_t i = 0; i < HF_ARRAY_LEN(texts); i++)
        if (*texts[i]) {
            *texts[i] = ok ? hf_strndup(*texts[i], strlen(*texts[i])) : NULL;
            ok = *texts[i] != NULL;
        }
    return ok;
}

static bool set_up(hf_sender *s) {
    s->multi = curl_multi_init();
    return s->multi && !curl_multi_setopt(s->multi, CURLMOPT_SOCKETFUNCTION, on_socket) &&
           !curl_multi_setopt(s->multi, CURLMOPT_SOCKETDATA, s) &&
           !curl_multi_setopt(s->multi, CURLMOPT_TIMERFUNCTION, on_timer) &&
           !curl_multi_setopt(s->multi, CURLMOPT_TIMERDATA, s) &&
           !curl_multi_setopt(s->multi, CURLMOPT_MAXCONNECTS, (long)KEPT_CONNECTIONS);
}

hf_code hf_sender_new(const hf_sender_options *options, const hf_sender_hooks *hooks, hf_sender **ret, hf_err *reterr) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return hf_fail(reterr, HF_E_NO_MEMORY, "libcurl");
    hf_sender *s = hf_alloc(sizeof *s);
    if (!s) {
        curl_global_cleanup();
        return hf_fail(reterr, HF_E_NO_MEMORY, "the sender of webhooks");
    }
    s->options = with_defaults(options);
    s->hooks = *hooks;
    s->deadline_ms = -1;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    hf_code code = s->epoll < 0 ? hf_fail_errno(reterr, errno, "the sender of webhooks: epoll") : HF_OK;
    bool kept = keep_texts(&s->options);
    if (!code && (!kept || !set_up(s)))
        code = hf_fail(reterr, HF_E_NO_MEMORY, "the sender of webhooks");
    if (code)
        hf_sender_free(s);
    else
        *ret = s;
    return code;
}

static void take_out(hf_flight *f) {
    *f->here = f->next;
    if (f->next)
        f->next->here = f->here;
}

static void put_into(hf_flight **list, hf_flight *f) {
    f->next = *list;
    f->here = list;
    if (f->next)
        f->next->here = &f->next;
    *list = f;
}

static void leave_endpoint(hf_sender *s, hf_flight *f) {
    hf_sender_endpoint *e = HF_TAKE(f->endpoint);
    if (!e || --e->in_flight)
        return;
    HASH_DEL(s->endpoints, e);
    free(e);
}

void hf_sender_free(hf_sender *sender) {
    if (!sender)
        return;
    for (hf_flight *f; (f = sender->flying);) {
        curl_multi_remove_handle(sender->multi, f->easy);
        take_out(f);
        leave_endpoint(sender, f);
        hf_flight_free(f);
    }
    for (hf_flight *f; (f = sender->idle);) {
        take_out(f);
        hf_flight_free(f);
    }
    curl_multi_cleanup(sender->multi);
    hf_close_p(&sender->epoll);
    free((void *)(uintptr_t)sender->options.ca_file);
    free((void *)(uintptr_t)sender->options.proxy);
    free((void *)(uintptr_t)sender->options.user_agent);
    free(sender);
    curl_global_cleanup();
}

/* ---- posts ---------------------------------------------------------------------------------------------------------------- */
static hf_sender_endpoint *find(const hf_sender *s, hf_str id) {
    hf_sender_endpoint *e = NULL;
    HASH_FIND(hh, s->endpoints, id.p, id.len, e);
    return e;
}

uint32_t hf_sender_in_flight(const hf_sender *sender) { return sender->in_flight; }

uint32_t hf_sender_room(const hf_sender *sender, hf_str endpoint) {
    const hf_sender_endpoint *e = endpoint.len ? find(sender, endpoint) : NULL;
    const hf_sender_options *o = &sender->options;
    uint32_t all = o->in_flight > sender->in_flight ? o->in_flight - sender->in_flight : 0;
    uint32_t own = !e                                     ? o->endpoint_in_flight
                   : o->endpoint_in_flight > e->in_flight ? o->endpoint_in_flight - e->in_flight
                                                          : 0;
    if (sender->bytes_in_flight >= o->bytes_in_flight)
        return 0;
    return all < own ? all : own;
}

static hf_code check(const hf_sender *s, const hf_post *post, hf_err *reterr) {
    hf_code code = HF_OK;
    if (post->endpoint.len == 0 || post->endpoint.len > 256)
        return hf_fail(reterr, HF_E_INVALID, "an endpoint's id has 1 to 256 bytes");
    if (post->body.len > HF_POST_BODY_MAX)
        return hf_fail(reterr, HF_E_LIMIT, "a body of %u bytes; at most %d are sent", post->body.len, HF_POST_BODY_MAX);
    if (post->header_count > HF_POST_HEADERS_MAX)
        return hf_fail(reterr, HF_E_LIMIT, "%u headers; an endpoint has at most %d", post->header_count,
                       HF_POST_HEADERS_MAX);
    for (uint32_t i = 0; !code && i < post->header_count; i++)
        code = hf_post_header_check(post->headers[i].name, post->headers[i].value, reterr);
    if (!code && post->webhook_id.len)
        code = hf_post_header_check(HF_STR("id"), post->webhook_id, reterr);
    return code ? code : hf_post_url_check(post->url, s->options.allow_private, reterr);
}

static hf_code check_room(const hf_sender *s, const hf_post *post, hf_err *reterr) {
    if (hf_sender_room(s, post->endpoint) == 0)
        return hf_fail(reterr, HF_E_BUSY,
                       "%u posts are on their way, which is the bound in all (%u) or for this endpoint (%u)",
                       s->in_flight, s->options.in_flight, s->options.endpoint_in_flight);
    if (s->in_flight && s->bytes_in_flight + post->body.len > s->options.bytes_in_flight)
        return hf_fail(reterr, HF_E_BUSY, "the bodies on their way have %llu bytes, and the bound is %llu",
                       (unsigned long long)s->bytes_in_flight, (unsigned long long)s->options.bytes_in_flight);
    return HF_OK;
}

static hf_sender_endpoint *enter_endpoint(hf_sender *s, hf_str id) {
    hf_sender_endpoint *e = find(s, id);
    if (!e && (e = hf_alloc(sizeof *e + id.len))) {
        memcpy(e->id, id.p, id.len);
        e->id_len = id.len;
        HASH_ADD_KEYPTR(hh, s->endpoints, e->id, e->id_len, e);
        if (!e->hh.tbl) /* uthash had no memory and took it out again */
            hf_free_p(&e);
    }
    if (e)
        e->in_flight++;
    return e;
}

static hf_flight *take_idle(hf_sender *s) {
    hf_flight *f = s->idle;
    if (f)
        take_out(f);
    return f ? f : hf_flight_new(s);
}

/* Back to the idle ones, with nothing left in it. */
static void settle(hf_sender *s, hf_flight *f) {
    leave_endpoint(s, f);
    hf_flight_unload(f);
    put_into(&s->idle, f);
}

hf_code hf_sender_post(hf_sender *sender, const hf_post *post, hf_err *reterr) {
    hf_code code = check(sender, post, reterr);
    if (!code)
        code = check_room(sender, post, reterr);
    if (code)
        return code;
    hf_flight *f = take_idle(sender);
    if (!f)
        return hf_fail(reterr, HF_E_NO_MEMORY, "delivery %.*s", HF_STR_ARG(post->webhook_id));
    code = hf_flight_load(f, post, reterr);
    f->endpoint = code ? NULL : enter_endpoint(sender, post->endpoint);
    f->begun_ns = hf_mono_ns();
    if (!code && (!f->endpoint || curl_multi_add_handle(sender->multi, f->easy)))
        code = hf_fail(reterr, HF_E_NO_MEMORY, "delivery %.*s", HF_STR_ARG(post->webhook_id));
    if (code) {
        settle(sender, f);
        return code;
    }
    put_into(&sender->flying, f);
    sender->in_flight++;
    sender->bytes_in_flight += f->body_len;
    return HF_OK;
}

/* ---- the loop --------------------------------------------------------------------------------------------------------------- */
static void finish(hf_sender *s, CURL *easy, CURLcode result) {
    hf_post_outcome outcome;
    void *private = NULL;
    curl_easy_getinfo(easy, CURLINFO_PRIVATE, &private);
    hf_flight *f = private;
    hf_flight_outcome(f, result, &outcome);
    curl_multi_remove_handle(s->multi, easy);
    take_out(f);
    s->in_flight--;
    s->bytes_in_flight -= f->body_len;
    uint64_t tag = f->tag;
    settle(s, f);
    s->hooks.on_done(s->hooks.ctx, tag, &outcome);
}

static bool finish_all(hf_sender *s) {
    bool any = false;
    int left;
    for (CURLMsg *m; (m = curl_multi_info_read(s->multi, &left));)
        if (m->msg == CURLMSG_DONE) {
            finish(s, m->easy_handle, m->data.result);
            any = true;
        }
    return any;
}

int hf_sender_fd(const hf_sender *sender) { return sender->epoll; }

int hf_sender_timeout_ms(const hf_sender *sender) {
    if (sender->deadline_ms < 0)
        return -1;
    int64_t left = sender->deadline_ms - now_ms();
    return left < 0 ? 0 : left > 3600000 ? 3600000 : (int)left;
}

static CURLMcode act(hf_sender *s, bool *ret_any) {
    struct epoll_event events[EVENTS];
    int running, n = epoll_wait(s->epoll, events, EVENTS, 0);
    CURLMcode code = CURLM_OK;
    for (int i = 0; i < n && !code; i++) {
        uint32_t e = events[i].events;
        int what = (e & EPOLLIN ? CURL_CSELECT_IN : 0) | (e & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (e & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        code = curl_multi_socket_action(s->multi, events[i].data.fd, what, &running);
    }
    bool due = s->deadline_ms >= 0 && now_ms() >= s->deadline_ms;
    if (!code && due) {
        s->deadline_ms = -1;
        code = curl_multi_socket_action(s->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    *ret_any = n > 0 || due;
    return code;
}

hf_code hf_sender_step(hf_sender *sender, hf_err *reterr) {
    bool any = true;
    for (int round = 0; any && round < ROUNDS; round++) {
        CURLMcode code = act(sender, &any);
        any = finish_all(sender) || any;
        if (code)
            return hf_fail(reterr, code == CURLM_OUT_OF_MEMORY ? HF_E_NO_MEMORY : HF_E_INTERNAL, "libcurl: %s",
                           curl_multi_strerror(code));
    }
    return HF_OK;
}
