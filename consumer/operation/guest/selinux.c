/* Operation selinux_prep: SELinux's configuration holds nothing that stops the guest's start, and its files have labels. Files that were written from
 * outside have none, and a guest that enforces does not start with them. Labels are put at once where a program can do it in the appliance: the
 * appliance's own, else the guest's; else the guest does it at its next start (/.autorelabel). */
#include "consumer/operation/guest/selinux_text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consumer/operation/guest/appliance.h"
#include "schemas/base/mem.h"

enum { POLICIES_MAX = 8, ENTRIES_MAX = 64 };

static const char config_path[] = "/etc/selinux/config", mark[] = "/.autorelabel", attribute[] = "security.selinux";

typedef struct state {
    bool force, looked, there; /* there: it has a configuration or a policy */
    hf_selinux_config config;
    char policies[POLICIES_MAX][64];
    uint32_t policy_count;
} state;

static state *state_of(hf_guest_session *x) { return *hf_guest_own(x, HF_GUEST_SELINUX); }

static hf_code prepare(hf_guest_session *x, const json_t *parameters, hf_err *reterr) {
    bool force;
    hf_code rc = hf_guest_flag(parameters, "force", &force, reterr);
    if (rc != HF_OK)
        return rc;
    state *s = *hf_guest_own(x, HF_GUEST_SELINUX) = hf_alloc(sizeof *s);
    if (!s)
        return hf_fail(reterr, HF_E_NO_MEMORY, "a guest operation");
    s->force = force;
    return HF_OK;
}

/* ---- what there is ------------------------------------------------------------------------------------------------------------ */
/* A policy is a folder below /etc/selinux with a compiled policy in it. */
static bool is_policy(hf_guest_session *x, const char *name) {
    char folder[160];
    bool found = false;
    snprintf(folder, sizeof folder, "/etc/selinux/%.63s/policy", name);
    char **files = guestfs_is_dir(hf_guest_handle(x), folder) == 1 ? guestfs_ls(hf_guest_handle(x), folder) : NULL;
    for (char **f = files; f && *f; f++)
        found |= strncmp(*f, "policy.", 7) == 0;
    hf_guest_free_strings(files);
    return found;
}

static void find_policies(hf_guest_session *x) {
    state *s = state_of(x);
    char **names =
        guestfs_is_dir(hf_guest_handle(x), "/etc/selinux") == 1 ? guestfs_ls(hf_guest_handle(x), "/etc/selinux") : NULL;
    for (size_t i = 0; names && names[i] && i < ENTRIES_MAX && s->policy_count < POLICIES_MAX; i++)
        if (strlen(names[i]) < sizeof s->policies[0] && is_policy(x, names[i]))
            snprintf(s->policies[s->policy_count++], sizeof s->policies[0], "%s", names[i]);
    hf_guest_free_strings(names);
}

static bool has_policy(const state *s, const char *type) {
    for (uint32_t i = 0; i < s->policy_count; i++)
        if (strcmp(s->policies[i], type) == 0)
            return true;
    return false;
}

static const char *type_of(const state *s) { return *s->config.type ? s->config.type : "targeted"; }

/* Reads the configuration; *ret_text NULL: there is none, or it cannot be edited. */
static hf_code look(hf_guest_session *x, char **ret_text, hf_err *reterr) {
    state *s = state_of(x);
    size_t len = 0;
    hf_err err = {0};
    *ret_text = NULL;
    hf_code rc = hf_guest_mount(x, reterr);
    if (rc != HF_OK)
        return rc;
    rc = hf_guest_read(x, config_path, ret_text, &len, &err);
    if (rc == HF_E_LIMIT)
        hf_guest_finding(x, "error", "selinux-config-unreadable", "Replace it by one that the distribution brings.",
                         "%s", err.detail);
    else if (rc != HF_OK)
        return hf_fail(reterr, rc, "%s", err.detail);
    s->policy_count = 0;
    s->config = (hf_selinux_config){.type_ok = true};
    find_policies(x);
    if (*ret_text)
        hf_selinux_parse(*ret_text, &s->config);
    s->there = *ret_text || rc == HF_E_LIMIT || s->policy_count > 0;
    s->looked = true;
    return HF_OK;
}

static bool is_linux(hf_guest_session *x) {
    const hf_guest_os *os = hf_guest_os_of(x);
    if (os && os->linux_guest)
        return true;
    hf_guest_result(x, "nothing to do", "%s has no SELinux", os && os->windows ? "Windows" : "what was found");
    return false;
}

/* ---- the configuration ----------------------------------------------------------------------------------------------------------- */
static hf_code set(hf_guest_session *x, char **text, const char *variable, const char *value, hf_err *reterr) {
    hf_buf to;
    hf_buf_init(&to, 2 * HF_GUEST_TEXT_MAX);
    hf_code rc = hf_selinux_set(*text, variable, value, &to)
                     ? hf_guest_write(x, config_path, (const char *)to.data, to.len, reterr)
                     : hf_fail(reterr, HF_E_NO_MEMORY, "the guest's %s", config_path);
    if (rc == HF_OK) {
        *text = (char *)(uintptr_t)hf_arena_str(hf_guest_arena(x), hf_buf_str(&to)).p;
        if (*text)
            hf_selinux_parse(*text, &state_of(x)->config);
        else
            rc = hf_fail(reterr, HF_E_NO_MEMORY, "the guest's %s", config_path);
    }
    hf_buf_done(&to);
    return rc;
}

/* libselinux takes no mode from a word that it does not know, and systemd goes on as in permissive: that is written down. */
static hf_code check_mode(hf_guest_session *x, char **text, hf_err *reterr) {
    const hf_selinux_config was = state_of(x)->config;
    if (was.mode == HF_SELINUX_UNSET)
        hf_guest_finding(x, "warning", "selinux-mode-unset", "Add SELINUX=enforcing or SELINUX=permissive.",
                         "%s sets no mode: SELinux does not enforce", config_path);
    if (was.mode != HF_SELINUX_BAD)
        return HF_OK;
    hf_guest_finding(
        x, "warning", "selinux-mode-unknown", "Once the guest has started, set it to enforcing if that was meant.",
        "%s: SELINUX=%s is none of enforcing, permissive and disabled; the guest takes it for permissive, and so it is set",
        config_path, was.mode_word);
    return set(x, text, "SELINUX", "permissive", reterr);
}

static const char *one_that_is_there(const state *s) {
    return has_policy(s, "targeted")  ? "targeted"
           : s->policy_count == 1     ? s->policies[0]
           : has_policy(s, "default") ? "default"
                                      : NULL;
}

/* systemd stops ("Failed to load SELinux policy, freezing") where the policy that is named cannot be loaded and the mode is enforcing. */
static hf_code check_type(hf_guest_session *x, char **text, hf_err *reterr) {
    state *s = state_of(x);
    if (s->config.mode == HF_SELINUX_DISABLED || (s->config.type_ok && has_policy(s, type_of(s))))
        return HF_OK;
    const char *there = one_that_is_there(s);
    if (there) {
        hf_guest_finding(x, "warning", "selinux-policy-missing", NULL,
                         "%s names the policy %s, which is not installed; %s is", config_path, type_of(s), there);
        return set(x, text, "SELINUXTYPE", there, reterr);
    }
    hf_guest_finding(x, "error", "selinux-policy-missing", "Install the policy in the guest and relabel it.",
                     "%s names the policy %s; %s", config_path, type_of(s),
                     s->policy_count ? "several others are installed, and none is the usual one" : "none is installed");
    return s->config.mode == HF_SELINUX_ENFORCING ? set(x, text, "SELINUX", "permissive", reterr) : HF_OK;
}

/* ---- the kernel's command line ------------------------------------------------------------------------------------------------------ */
static void look_for_words(hf_guest_session *x, const char *path) {
    char *text = NULL;
    size_t len = 0;
    if (hf_guest_read(x, path, &text, &len, NULL) != HF_OK || !text)
        return;
    if (hf_selinux_word(text, "selinux=0"))
        hf_guest_finding(x, "info", "selinux-off", "Take it out of the kernel's command line to have SELinux again.",
                         "%s: selinux=0 switches SELinux off, whatever %s says", path, config_path);
    if (hf_selinux_word(text, "enforcing=0"))
        hf_guest_finding(x, "info", "selinux-not-enforcing", "Take it out of the kernel's command line to enforce.",
                         "%s: enforcing=0 makes SELinux permissive, whatever %s says", path, config_path);
}

static void look_at_command_lines(hf_guest_session *x) {
    static const char *const paths[] = {"/etc/default/grub",    "/etc/kernel/cmdline", "/boot/grub2/grubenv",
                                        "/boot/grub2/grub.cfg", "/boot/grub/grub.cfg", NULL};
    static const char entries[] = "/boot/loader/entries";
    for (const char *const *p = paths; *p; p++)
        look_for_words(x, *p);
    char **names = guestfs_is_dir(hf_guest_handle(x), entries) == 1 ? guestfs_ls(hf_guest_handle(x), entries) : NULL;
    for (size_t i = 0; names && names[i] && i < ENTRIES_MAX; i++) {
        char path[400];
        size_t n = strlen(names[i]);
        if (n > 5 && n < 256 && strcmp(names[i] + n - 5, ".conf") == 0) {
            snprintf(path, sizeof path, "%s/%s", entries, names[i]);
            look_for_words(x, path);
        }
    }
    hf_guest_free_strings(names);
}

static hf_code config_step(hf_guest_session *x, hf_err *reterr) {
    state *s = state_of(x);
    char *text;
    if (!is_linux(x))
        return HF_OK;
    hf_code rc = look(x, &text, reterr);
    if (rc == HF_OK && !s->there)
        hf_guest_result(x, "nothing to do", "the guest has no SELinux");
    if (rc != HF_OK || !s->there)
        return rc;
    if (text && (rc = check_mode(x, &text, reterr)) == HF_OK)
        rc = check_type(x, &text, reterr);
    if (rc == HF_OK)
        look_at_command_lines(x);
    hf_guest_note(x, "selinux_mode", json_string(hf_selinux_mode_name(s->config.mode)));
    hf_guest_note(x, "selinux_policy", has_policy(s, type_of(s)) ? json_string(type_of(s)) : json_null());
    return rc;
}

/* ---- labels ------------------------------------------------------------------------------------------------------------------------------ */
/* Files without which nothing starts, and those that are written from outside; the first that exists without a label. */
static const char *unlabelled(hf_guest_session *x) {
    static const char *const files[] = {"/",
                                        "/etc",
                                        "/etc/passwd",
                                        "/etc/shadow",
                                        "/etc/group",
                                        "/etc/fstab",
                                        "/etc/crypttab",
                                        "/etc/default/grub",
                                        "/etc/kernel/cmdline",
                                        "/etc/machine-id",
                                        "/etc/hostname",
                                        "/etc/selinux/config",
                                        "/etc/dracut.conf.d/50-hyperfleet.conf",
                                        "/usr",
                                        "/usr/bin",
                                        "/usr/bin/bash",
                                        "/usr/sbin/init",
                                        "/usr/lib/systemd/systemd",
                                        "/usr/lib64/ld-linux-x86-64.so.2",
                                        "/boot",
                                        "/boot/grub2/grub.cfg",
                                        "/var",
                                        "/var/log",
                                        "/root",
                                        NULL};
    for (const char *const *f = files; *f; f++) {
        size_t len = 0;
        if (guestfs_is_symlink(hf_guest_handle(x), *f) == 1 || !hf_guest_exists(x, *f))
            continue;
        hf_auto_free char *label = guestfs_lgetxattr(hf_guest_handle(x), *f, attribute, &len);
        if (!label || len == 0)
            return *f;
    }
    return NULL;
}

/* The appliance's own program. false: it has none, or it failed. */
static bool by_appliance(hf_guest_session *x, const char *contexts) {
    guestfs_h *g = hf_guest_handle(x);
    if (guestfs_selinux_relabel(g, contexts, "/", GUESTFS_SELINUX_RELABEL_FORCE, 0, -1) == 0)
        return true;
    if (guestfs_last_errno(g) != ENOTSUP) /* most appliances have no setfiles */
        hf_guest_say(x, "warn", "the appliance's setfiles: %s", guestfs_last_error(g));
    return false;
}

/* The guest's, which also works where SELinux does not run. -m: the appliance's mounts do not say that they can be labelled. */
static bool by_guest(hf_guest_session *x, const char *contexts) {
    const char *const argv[] = {"setfiles", "-m", "-e",   "/proc",  "-e", "/sys", "-e",
                                "/dev",     "-e", "/run", contexts, "/",  NULL};
    hf_err err = {0};
    if (!hf_guest_has_program(x, "setfiles"))
        return false;
    if (hf_guest_command(x, argv, NULL, &err) == HF_OK)
        return true;
    hf_guest_say(x, "warn", "the guest's setfiles: %s", err.detail);
    return false;
}

static hf_code at_next_start(hf_guest_session *x, hf_err *reterr) {
    hf_guest_finding(x, "info", "relabels-at-start", NULL,
                     "the guest puts its labels at its next start (%s), which takes minutes, and starts once more",
                     mark);
    return hf_guest_write(x, mark, "", 0, reterr);
}

static hf_code relabel(hf_guest_session *x, const char *why, hf_err *reterr) {
    state *s = state_of(x);
    char contexts[200];
    snprintf(contexts, sizeof contexts, "/etc/selinux/%s/contexts/files/file_contexts", type_of(s));
    if (hf_guest_dry(x)) {
        hf_guest_change(x, "labels", "/", why, "put again");
        return HF_OK;
    }
    bool done = hf_guest_exists(x, contexts) && (by_appliance(x, contexts) || by_guest(x, contexts));
    if (guestfs_ping_daemon(hf_guest_handle(x)) != 0)
        return hf_guest_fail(x, reterr, "putting labels");
    const char *without = done ? unlabelled(x) : NULL;
    if (!done || without) {
        if (without)
            hf_guest_say(x, "warn", "%s has no label after all were put", without);
        return at_next_start(x, reterr);
    }
    hf_guest_change(x, "labels", "/", why, "put by setfiles");
    return HF_OK;
}

static hf_code relabel_step(hf_guest_session *x, hf_err *reterr) {
    state *s = state_of(x);
    char *text = NULL, why[200];
    if (!is_linux(x))
        return HF_OK;
    hf_code rc = s->looked ? hf_guest_mount(x, reterr) : look(x, &text, reterr);
    if (rc != HF_OK)
        return rc;
    bool off = s->config.mode == HF_SELINUX_DISABLED;
    if (!s->there || off || !has_policy(s, type_of(s))) {
        hf_guest_result(x, "nothing to do", "%s",
                        off        ? "SELinux is switched off in the guest"
                        : s->there ? "no policy is installed"
                                   : "the guest has no SELinux");
        return HF_OK;
    }
    if (hf_guest_exists(x, mark)) {
        hf_guest_result(x, "nothing to do", "%s is there: the guest puts its labels at its next start", mark);
        return HF_OK;
    }
    const char *without = unlabelled(x);
    if (without)
        snprintf(why, sizeof why, "%s has no label", without);
    else if (hf_guest_changes(x) > 0)
        snprintf(why, sizeof why, "files were changed");
    else if (s->force)
        snprintf(why, sizeof why, "asked for");
    else {
        hf_guest_result(x, "nothing to do", "the files have their labels, and nothing was changed");
        return HF_OK;
    }
    return relabel(x, why, reterr);
}

static const hf_guest_step steps[] = {{"selinux_config", "checks SELinux's configuration", config_step},
                                      {"selinux_relabel", "sees that files have SELinux's labels", relabel_step},
                                      {NULL, NULL, NULL}};
const hf_guest_plan hf_selinux_plan = {
    .operation = "selinux_prep", .steps = steps, .needs_os = true, .prepare = prepare};

hf_code hf_op_selinux_prep(hf_run *run, hf_result *ret_result, hf_str *ret_phase, hf_err *reterr) {
    return hf_guest_run(run, &hf_selinux_plan, ret_result, ret_phase, reterr);
}
