#include "journal/http/tls.h"

#include <errno.h>
#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "schemas/base/log.h"
#include "schemas/base/mem.h"

enum { CHAIN_MAX = 16, LOOK_EVERY_MS = 1000, PEM_MAX = 1 << 20 };

/* A certificate and its key. Those that were replaced are kept until the end: a handshake may still read them. */
typedef struct pair {
    struct pair *older;
    gnutls_pcert_st chain[CHAIN_MAX];
    unsigned chain_count;
    gnutls_privkey_t key;
} pair;

struct hf_tls {
    const hf_clock *clock;
    const char *certificate, *key, *client_ca; /* paths, of the configuration */
    gnutls_datum_t trust;                      /* client_ca's text */
    pthread_mutex_t lock;
    pair *current;
    struct timespec certificate_time, key_time;
    int64_t looked_ms;
};

/* The callback that libmicrohttpd takes has no context of its own: there is one sidecar in a process. */
static _Atomic(hf_tls *) the_tls;

static hf_code fail_tls(hf_err *reterr, int rc, const char *path) {
    return hf_fail(reterr, HF_E_CONFIG, "%s: %s", path, gnutls_strerror(rc));
}

static void pair_free(pair *p) {
    while (p) {
        pair *older = p->older;
        for (unsigned i = 0; i < p->chain_count; i++)
            gnutls_pcert_deinit(&p->chain[i]);
        if (p->key)
            gnutls_privkey_deinit(p->key);
        free(p);
        p = older;
    }
}

static hf_code load_file(const char *path, gnutls_datum_t *ret, hf_err *reterr) {
    struct stat st;
    if (stat(path, &st) != 0)
        return hf_fail_errno(reterr, errno, "%s", path);
    if (!S_ISREG(st.st_mode) || st.st_size > PEM_MAX)
        return hf_fail(reterr, HF_E_CONFIG, "%s: it must be a PEM file of at most %d bytes", path, PEM_MAX);
    int rc = gnutls_load_file(path, ret);
    return rc == 0 ? HF_OK : fail_tls(reterr, rc, path);
}

static hf_code load_chain(const char *path, pair *p, hf_err *reterr) {
    gnutls_datum_t text = {0};
    unsigned count = CHAIN_MAX;
    hf_code code = load_file(path, &text, reterr);
    if (code != HF_OK)
        return code;
    int rc = gnutls_pcert_list_import_x509_raw(p->chain, &count, &text, GNUTLS_X509_FMT_PEM,
                                               GNUTLS_X509_CRT_LIST_FAIL_IF_UNSORTED);
    gnutls_free(text.data);
    if (rc < 0)
        return fail_tls(reterr, rc, path);
    p->chain_count = count;
    return HF_OK;
}

static hf_code load_key(const char *path, pair *p, hf_err *reterr) {
    struct stat st;
    gnutls_datum_t text = {0};
    if (stat(path, &st) == 0 && st.st_mode & (S_IRGRP | S_IWGRP | S_IROTH | S_IWOTH))
        return hf_fail(reterr, HF_E_CONFIG, "%s: others can read or write the key; chmod 0600 it", path);
    hf_code code = load_file(path, &text, reterr);
    if (code != HF_OK)
        return code;
    int rc = gnutls_privkey_init(&p->key);
    if (rc == 0)
        rc = gnutls_privkey_import_x509_raw(p->key, &text, GNUTLS_X509_FMT_PEM, NULL, 0);
    gnutls_memset(text.data, 0, text.size);
    gnutls_free(text.data);
    return rc == 0 ? HF_OK : fail_tls(reterr, rc, path);
}

/* A key that does not belong to the certificate would fail every handshake. */
static hf_code check_match(const hf_tls *tls, pair *p, hf_err *reterr) {
    unsigned char of_key[64], of_certificate[64];
    size_t n = sizeof of_key, m = sizeof of_certificate;
    gnutls_pubkey_t public_key;
    if (gnutls_pubkey_init(&public_key) != 0)
        return hf_fail(reterr, HF_E_NO_MEMORY, "TLS");
    int rc = gnutls_pubkey_import_privkey(public_key, p->key, 0, 0);
    if (rc == 0)
        rc = gnutls_pubkey_get_key_id(public_key, GNUTLS_KEYID_USE_SHA256, of_key, &n);
    if (rc == 0)
        rc = gnutls_pubkey_get_key_id(p->chain[0].pubkey, GNUTLS_KEYID_USE_SHA256, of_certificate, &m);
    gnutls_pubkey_deinit(public_key);
    if (rc != 0)
        return fail_tls(reterr, rc, tls->key);
    if (n != m || memcmp(of_key, of_certificate, n) != 0)
        return hf_fail(reterr, HF_E_CONFIG, "%s is not the key of the certificate in %s", tls->key, tls->certificate);
    return HF_OK;
}

static hf_code load_pair(const hf_tls *tls, pair **ret, hf_err *reterr) {
    pair *p = hf_alloc(sizeof *p);
    if (!p)
        return hf_fail(reterr, HF_E_NO_MEMORY, "TLS");
    hf_code code = load_chain(tls->certificate, p, reterr);
    if (code == HF_OK)
        code = load_key(tls->key, p, reterr);
    if (code == HF_OK)
        code = check_match(tls, p, reterr);
    if (code == HF_OK)
        *ret = p;
    else
        pair_free(p);
    return code;
}

static void times_of(const hf_tls *tls, struct timespec *certificate, struct timespec *key) {
    struct stat st;
    *certificate = stat(tls->certificate, &st) == 0 ? st.st_mtim : (struct timespec){0};
    *key = stat(tls->key, &st) == 0 ? st.st_mtim : (struct timespec){0};
}

static bool same_time(struct timespec a, struct timespec b) { return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec; }

/* Under the lock. Files half-written by who renews them do not load: the old pair stays until they do. */
static void look_again(hf_tls *tls) {
    struct timespec certificate, key;
    pair *fresh = NULL;
    hf_err err;
    int64_t now = hf_mono_ms(tls->clock);
    if (now - tls->looked_ms < LOOK_EVERY_MS)
        return;
    tls->looked_ms = now;
    times_of(tls, &certificate, &key);
    if (same_time(certificate, tls->certificate_time) && same_time(key, tls->key_time))
        return;
    tls->certificate_time = certificate;
    tls->key_time = key;
    if (load_pair(tls, &fresh, &err) != HF_OK) {
        HF_LOG_ERR(WARN, "tls-not-reloaded", &err, {"certificate", HF_V_Z(tls->certificate)});
        return;
    }
    fresh->older = tls->current;
    tls->current = fresh;
    HF_LOG(INFO, "tls-reloaded", {"certificate", HF_V_Z(tls->certificate)});
}

static int retrieve(gnutls_session_t session, const struct gnutls_cert_retr_st *info, gnutls_pcert_st **chain,
                    unsigned *chain_count, gnutls_ocsp_data_st **ocsp, unsigned *ocsp_count, gnutls_privkey_t *key,
                    unsigned *flags) {
    hf_tls *tls = atomic_load(&the_tls);
    (void)session;
    (void)info;
    *ocsp = NULL;
    *ocsp_count = 0;
    *flags = 0; /* the pair stays ours */
    if (!tls)
        return -1;
    pthread_mutex_lock(&tls->lock);
    look_again(tls);
    *chain = tls->current->chain;
    *chain_count = tls->current->chain_count;
    *key = tls->current->key;
    pthread_mutex_unlock(&tls->lock);
    return 0;
}

hf_code hf_tls_open(const hf_config *config, const hf_clock *clock, hf_tls **ret, hf_err *reterr) {
    const char *certificate = hf_config_str(config, HF_C_HTTP_TLS_CERT),
               *key = hf_config_str(config, HF_C_HTTP_TLS_KEY),
               *client_ca = hf_config_str(config, HF_C_HTTP_TLS_CLIENT_CA);
    *ret = NULL;
    if (!*certificate && !*key && !*client_ca)
        return HF_OK;
    if (!*certificate || !*key)
        return hf_fail(reterr, HF_E_CONFIG, "http.tls.certificate and http.tls.key belong together: %s is not set",
                       *certificate ? "http.tls.key" : "http.tls.certificate");
    hf_tls *tls = hf_alloc(sizeof *tls);
    if (!tls)
        return hf_fail(reterr, HF_E_NO_MEMORY, "TLS");
    tls->clock = clock;
    tls->certificate = certificate;
    tls->key = key;
    tls->client_ca = client_ca;
    pthread_mutex_init(&tls->lock, NULL);
    tls->looked_ms = hf_mono_ms(clock);
    times_of(tls, &tls->certificate_time, &tls->key_time);
    hf_code code = load_pair(tls, &tls->current, reterr);
    if (code == HF_OK && *client_ca)
        code = load_file(client_ca, &tls->trust, reterr);
    if (code != HF_OK) {
        hf_tls_close(tls);
        return hf_context(reterr, "http.tls");
    }
    atomic_store(&the_tls, tls);
    *ret = tls;
    return HF_OK;
}

void hf_tls_close(hf_tls *tls) {
    if (!tls)
        return;
    hf_tls *mine = tls;
    atomic_compare_exchange_strong(&the_tls, &mine, NULL);
    pair_free(tls->current);
    gnutls_free(tls->trust.data);
    pthread_mutex_destroy(&tls->lock);
    free(tls);
}

static void *as_pointer(const char *text) {
    union {
        const char *from;
        void *to;
    } p = {.from = text}; /* only read */
    return p.to;
}

void hf_tls_options(hf_tls *tls, struct MHD_OptionItem options[HF_TLS_OPTIONS]) {
    union {
        int (*function)(gnutls_session_t, const struct gnutls_cert_retr_st *, gnutls_pcert_st **, unsigned *,
                        gnutls_ocsp_data_st **, unsigned *, gnutls_privkey_t *, unsigned *);
        void *pointer;
    } callback = {.function = retrieve};
    int n = 0;
    options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK2, 0, callback.pointer};
    options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_PRIORITIES, 0,
                                           as_pointer("NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2")};
    if (tls->trust.data)
        options[n++] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_TRUST, 0, tls->trust.data};
    options[n] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
}

void hf_tls_subject(hf_tls *tls, struct MHD_Connection *connection, char subject[HF_TLS_SUBJECT_MAX + 1]) {
    const union MHD_ConnectionInfo *info =
        tls->trust.data ? MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION) : NULL;
    unsigned count = 0, status = 0;
    size_t len = HF_TLS_SUBJECT_MAX + 1;
    gnutls_x509_crt_t certificate;
    subject[0] = 0;
    if (!info || !info->tls_session)
        return;
    gnutls_session_t session = info->tls_session;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);
    if (!chain || count == 0 || gnutls_certificate_verify_peers3(session, NULL, &status) != 0 || status != 0 ||
        gnutls_x509_crt_init(&certificate) != 0)
        return;
    if (gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER) != 0 ||
        gnutls_x509_crt_get_dn(certificate, subject, &len) != 0)
        subject[0] = 0;
    gnutls_x509_crt_deinit(certificate);
}
