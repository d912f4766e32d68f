/* Where the fleet is: what the user said, else a running `hyperctl dev`, else the configuration. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "producer/ctl/ctl.h"

const char *hf_dev_file_path(char *text, size_t size) {
    const char *dir = getenv("XDG_RUNTIME_DIR");
    if (dir && *dir == '/')
        snprintf(text, size, "%s/hyperfleet-dev.json", dir);
    else
        snprintf(text, size, "/tmp/hyperfleet-dev-%u.json", (unsigned)geteuid());
    return text;
}

/* "host:port" or a URL -> URL without trailing slash. */
static hf_code set_url(hf_where *where, const char *text, const char *source, hf_err *reterr) {
    const char *scheme = strstr(text, "://") ? "" : "http://";
    int n = snprintf(where->http, sizeof where->http, "%s%s", scheme, text);
    if (!*text || n < 0 || (size_t)n >= sizeof where->http)
        return hf_fail(reterr, HF_E_USAGE, "%s: give the sidecar's URL, for example http://127.0.0.1:8080", source);
    if (strncmp(where->http, "http://", 7) != 0 && strncmp(where->http, "https://", 8) != 0)
        return hf_fail(reterr, HF_E_USAGE, "%s '%.100s': only http:// and https:// are spoken", source, text);
    for (size_t len = (size_t)n; len > 0 && where->http[len - 1] == '/'; len--)
        where->http[len - 1] = 0;
    return HF_OK;
}

/* The file must be our own and its fleet alive: anybody may write to /tmp, and a killed fleet leaves its file behind. */
static bool read_dev_file(const char *path, hf_where *where, hf_err *reterr) {
    struct stat st;
    if (lstat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_size > 1 << 20)
        return false;
    json_t *file = json_load_file(path, JSON_REJECT_DUPLICATES, NULL);
    const char *http = json_string_value(json_object_get(file, "http"));
    const char *kafka = json_string_value(json_object_get(file, "kafka"));
    json_int_t pid = json_integer_value(json_object_get(json_object_get(file, "pids"), "hyperctl"));
    bool alive = pid > 0 && (kill((pid_t)pid, 0) == 0 || errno == EPERM);
    bool good =
        http && kafka && alive && strlen(kafka) < sizeof where->kafka && set_url(where, http, path, reterr) == HF_OK;
    if (good)
        snprintf(where->kafka, sizeof where->kafka, "%s", kafka);
    json_decref(file);
    return good;
}

/* http.listen as a client would name it: 0.0.0.0 and [::] are this machine. */
static hf_code from_config(const hf_ctl *ctl, hf_where *where, hf_err *reterr) {
    const char *listen = hf_config_str(ctl->config, HF_C_HTTP_LISTEN);
    char text[300];
    if (strncmp(listen, "0.0.0.0:", 8) == 0)
        snprintf(text, sizeof text, "127.0.0.1:%s", listen + 8);
    else if (strncmp(listen, "[::]:", 5) == 0)
        snprintf(text, sizeof text, "[::1]:%s", listen + 5);
    else
        snprintf(text, sizeof text, "%s", listen);
    return set_url(where, text, "http.listen", reterr);
}

hf_code hf_ctl_where(const hf_ctl *ctl, hf_where *ret, hf_err *reterr) {
    hf_where where = {0};
    const char *said = hf_args_get(&ctl->args, HF_OPT_HTTP);
    const char *source = "--http";
    if (!said && (said = getenv("HF_HTTP")) != NULL)
        source = "HF_HTTP";
    hf_code code = HF_OK;
    char path[512];
    bool configured = hf_args_get(&ctl->args, HF_OPT_CONFIG) || hf_args_get(&ctl->args, HF_OPT_SET);
    if (said && *said) {
        code = set_url(&where, said, source, reterr);
        where.http_said = true;
    } else if (!configured && read_dev_file(hf_dev_file_path(path, sizeof path), &where, NULL)) {
        where.from_dev = true;
    } else {
        code = from_config(ctl, &where, reterr);
    }
    if (!code)
        *ret = where;
    return code;
}
