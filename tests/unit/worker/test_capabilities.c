/* The probe on made-up machines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consumer/worker/capabilities.h"
#include "schemas/base/host.h"

static char root[64];
static const char *guestfs_why;

static void put(const char *name, const char *text, mode_t mode) {
    char path[512];
    hf_err err;
    snprintf(path, sizeof path, "%s%s", root, name);
    *strrchr(path, '/') = 0;
    assert_int_equal(hf_make_dirs(path, 0755, &err), HF_OK);
    path[strlen(path)] = '/';
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

static int machine(void **state) {
    (void)state;
    guestfs_why = "not on this machine";
    snprintf(root, sizeof root, "/tmp/hf-probe-XXXXXX");
    assert_non_null(mkdtemp(root));
    put("/proc/self/status", "Name:\tx\nCapEff:\t0000000000000000\n", 0644);
    put("/proc/meminfo", "MemTotal:       16777216 kB\nMemFree: 1 kB\n", 0644);
    put("/proc/1/cgroup", "0::/init.scope\n", 0644);
    put("/etc/os-release", "NAME=\"Some\"\nPRETTY_NAME=\"Some Linux 3\"\n", 0644);
    return 0;
}

static int no_machine(void **state) {
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

typedef struct probed {
    hf_config *config;
    hf_arena arena;
    hf_capabilities c;
} probed;

static void probe(probed *p, const char *setting) {
    char path[128];
    hf_err err;
    snprintf(path, sizeof path, "/nowhere:%s/bin", root);
    p->config = hf_config_new();
    hf_arena_init(&p->arena, 1u << 20);
    if (setting)
        assert_int_equal(hf_config_set(p->config, setting, &err), HF_OK);
    assert_int_equal(
        hf_capabilities_probe(p->config, &(hf_probe_from){root, path, guestfs_why}, &p->arena, &p->c, &err), HF_OK);
}

static void done(probed *p) {
    hf_arena_done(&p->arena);
    hf_config_free(p->config);
}

static bool offers(const probed *p, const char *operation) {
    for (uint32_t i = 0; i < p->c.operations.count; i++)
        if (hf_str_eqz(*HF_LIST_AT(p->c.operations, hf_str, i), operation))
            return true;
    return false;
}

static void a_bare_host(void **state) {
    probed p;
    (void)state;
    probe(&p, NULL);
    assert_false(p.c.nbd || p.c.lvm || p.c.mount || p.c.selinux_tools || p.c.qemu_img);
    assert_true(hf_str_eqz(p.c.execution_mode, "host"));
    assert_true(hf_str_eqz(p.c.level, "userspace-only"));
    assert_true(hf_str_eqz(p.c.os_info, "Some Linux 3"));
    assert_true(p.c.memory_gb > 15.9 && p.c.memory_gb < 16.1);
    assert_true(p.c.cpus >= 1 && p.c.disk_space_gb > 0);
    assert_true(offers(&p, "export") && !offers(&p, "sleep"));
    done(&p);
}

static void containers_are_told_apart(void **state) {
    static const struct {
        const char *file, *text;
    } marks[] = {{"/.dockerenv", ""}, {"/run/.containerenv", ""}, {"/proc/1/cgroup", "0::/kubepods/besteffort/pod1\n"}};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        probed p;
        put(marks[i].file, marks[i].text, 0644);
        probe(&p, NULL);
        assert_true(hf_str_eqz(p.c.execution_mode, "safe_container"));
        done(&p);
        put("/proc/self/status", "CapEff:\t000001ffffffffff\n", 0644);
        probe(&p, NULL);
        assert_true(hf_str_eqz(p.c.execution_mode, "privileged_container"));
        done(&p);
        no_machine(NULL);
        machine(NULL);
    }
}

static void levels_follow_what_is_there(void **state) {
    static const char *const programs[] = {"/bin/qemu-nbd", "/bin/qemu-img", "/bin/lvm",
                                           "/bin/mount",    "/bin/setfiles", "/bin/restorecon"};
    probed p;
    (void)state;
    for (size_t i = 0; i < 6; i++)
        put(programs[i], "#!/bin/sh\n", 0755);
    put("/dev/nbd0", "", 0600);
    put("/dev/mapper/control", "", 0600);
    probe(&p, NULL); /* the programs alone do not do without CAP_SYS_ADMIN */
    assert_true(p.c.nbd && !p.c.lvm && !p.c.mount && p.c.selinux_tools && p.c.qemu_img);
    assert_true(hf_str_eqz(p.c.level, "nbd-inspection"));
    done(&p);
    put("/proc/self/status", "CapEff:\t0000000000200000\n", 0644);
    probe(&p, NULL);
    assert_true(p.c.lvm && p.c.mount);
    assert_true(hf_str_eqz(p.c.level, "full-offline-fixes"));
    done(&p);
}

static void the_appliance_meets_what_the_host_lacks(void **state) {
    probed p;
    (void)state;
    probe(&p, NULL);
    json_t *json = hf_capabilities_json(&p.c, HF_STR("w1"), HF_STR("host"), 3, 1768645800000);
    const json_t *guest = json_object_get(json, "guest_operations");
    assert_true(json_is_false(json_object_get(guest, "possible")) && !offers(&p, "fs_repair"));
    assert_string_equal(json_string_value(json_object_get(guest, "why_not")), "not on this machine");
    json_decref(json);
    done(&p);
    guestfs_why = "";
    probe(&p, NULL);
    assert_true(p.c.lvm && p.c.mount && p.c.selinux_tools && !p.c.nbd && !p.c.host_lvm && offers(&p, "fs_repair"));
    assert_true(hf_str_eqz(p.c.level, "full-offline-fixes"));
    json = hf_capabilities_json(&p.c, HF_STR("w1"), HF_STR("host"), 3, 1768645800000);
    const json_t *by = json_object_get(json_object_get(json_object_get(json, "guest_operations"), "met_by"), "lvm");
    assert_int_equal(json_array_size(by), 1);
    assert_string_equal(json_string_value(json_array_get(by, 0)), "appliance");
    json_decref(json);
    done(&p);
    probe(&p, "worker.operations={theirs: {command: [/bin/true], needs: [lvm]}}");
    assert_false(offers(&p, "theirs")); /* a program on the host needs the host's LVM */
    done(&p);
}

static void limits_of_the_cgroup_count(void **state) {
    probed p;
    (void)state;
    put("/sys/fs/cgroup/memory.max", "2147483648\n", 0644);
    put("/sys/fs/cgroup/cpu.max", "50000 100000\n", 0644);
    probe(&p, NULL);
    assert_true(p.c.memory_gb > 1.99 && p.c.memory_gb < 2.01);
    assert_int_equal(p.c.cpus, 1);
    done(&p);
    put("/sys/fs/cgroup/memory.max", "max\n", 0644);
    put("/sys/fs/cgroup/cpu.max", "max 100000\n", 0644);
    probe(&p, NULL);
    assert_true(p.c.memory_gb > 15.9);
    done(&p);
}

static void external_operations_need_what_they_say(void **state) {
    probed p;
    (void)state;
    const char *setting =
        "worker.operations={plain: {command: [/bin/true]}, hungry: {command: [/bin/true], needs: [qemu_img]}}";
    probe(&p, setting);
    assert_true(offers(&p, "plain") && !offers(&p, "hungry"));
    done(&p);
    put("/bin/qemu-img", "#!/bin/sh\n", 0755);
    probe(&p, setting);
    assert_true(offers(&p, "hungry"));
    done(&p);
    probe(&p, "worker.sleep_operation=true");
    assert_true(offers(&p, "sleep"));
    done(&p);
}

static void json_has_the_shape_of_worker_capabilities(void **state) {
    static const char *const members[] = {
        "worker_id",     "hostname",   "capabilities",   "max_disk_size_tb", "max_concurrent_jobs", "memory_gb",
        "disk_space_gb", "os_info",    "kernel_version", "last_heartbeat",   "execution_mode",      "level",
        "cpus",          "operations", "providers",      "endpoints",        "guest_operations"};
    static const char *const can[] = {"nbd", "lvm", "mount", "selinux", "qemu_img"};
    probed p;
    (void)state;
    probe(&p, "endpoints={lab: {provider: vsphere}}");
    json_t *json = hf_capabilities_json(&p.c, HF_STR("w1"), HF_STR("host"), 3, 1768645800000);
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        assert_non_null(json_object_get(json, members[i]));
    assert_int_equal(json_object_size(json), sizeof members / sizeof *members);
    for (size_t i = 0; i < 5; i++)
        assert_true(json_is_boolean(json_object_get(json_object_get(json, "capabilities"), can[i])));
    assert_string_equal(json_string_value(json_object_get(json, "last_heartbeat")), "2026-01-17T10:30:00.000Z");
    assert_int_equal(json_integer_value(json_object_get(json, "max_concurrent_jobs")), 3);
    assert_string_equal(json_string_value(json_array_get(json_object_get(json, "endpoints"), 0)), "lab");
    json_decref(json);
    done(&p);
}

static void a_worker_id_must_be_one(void **state) {
    char id[HF_ID_MAX_BYTES + 1];
    hf_err err;
    (void)state;
    hf_config *config = hf_config_new();
    assert_int_equal(hf_worker_id(config, id, &err), HF_OK);
    assert_true(id[0] != 0);
    hf_config_set(config, "worker.id=a/b", &err);
    assert_int_equal(hf_worker_id(config, id, &err), HF_E_INVALID);
    assert_non_null(strstr(err.detail, "worker.id"));
    hf_config_free(config);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, machine, no_machine)
    const struct CMUnitTest tests[] = {TEST(a_bare_host),
                                       TEST(containers_are_told_apart),
                                       TEST(levels_follow_what_is_there),
                                       TEST(limits_of_the_cgroup_count),
                                       TEST(external_operations_need_what_they_say),
                                       TEST(the_appliance_meets_what_the_host_lacks),
                                       TEST(json_has_the_shape_of_worker_capabilities),
                                       TEST(a_worker_id_must_be_one)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
