/* What a job's parameters say of the machine stands in the descriptor; what cannot be is refused by name, before anything is made. */
#include "tests/unit/operation/rig.h"

static hf_code run(rig *r, const char *id, const char *parameters, uint32_t disks) {
    static hf_disk list[70];
    hf_spec spec = rig_spec(r, "export", NULL, "ovf");
    for (uint32_t i = 0; i < disks; i++)
        list[i] = (hf_disk){.path = hf_str_of(rig_path(r, "in/a.raw"))};
    spec.disks = (hf_list){list, disks};
    spec.name = hf_str_of(id);
    spec.parameters = hf_str_of(parameters);
    return rig_run(r, id, 1, &spec);
}

static void good(rig *r, const char *id, const char *parameters, const char *const *lines) {
    if (run(r, id, parameters, 1) != HF_OK)
        fail_msg("%s: %s", parameters, r->err.detail);
    for (; *lines; lines++)
        if (rig_sh(r, "grep -qF '%s' out/%s/%s.ovf", *lines, id, id) != 0)
            fail_msg("%s: no %s", parameters, *lines);
}

static void said_by_the_job(void **state) {
    (void)state;
    rig r;
    rig_open(&r);
    rig_image(&r, "a.raw", 1 << 20, 3);
    good(&r, "none", "{}",
         (const char *[]){"ovf:id=\"102\" vmw:osType=\"otherGuest64\"", "ResourceSubType>lsilogic<", "envelope/1\"",
                          "Quantity>1024<", NULL});
    assert_int_not_equal(rig_sh(&r, "grep -q 'vmw:Config\\|NetworkSection\\|CoresPerSocket' out/none/none.ovf"), 0);
    good(
        &r, "all",
        "{\"os_type\": \"ubuntu64Guest\", \"cpus\": 6, \"cores_per_socket\": 3, \"memory_mb\": 4096, \"firmware\": \"efi\","
        " \"secure_boot\": true, \"controller\": \"nvme\", \"ovf_version\": \"2.0\", \"annotation\": \"a & b\", \"cdrom\": true,"
        " \"nics\": [{\"model\": \"e1000\", \"network\": \"net\", \"mac\": \"00:50:56:01:02:03\"}]}",
        (const char *[]){"ovf:id=\"94\" vmw:osType=\"ubuntu64Guest\"", "Quantity>6<",
                         "CoresPerSocket ovf:required=\"false\">3<", "Quantity>4096<",
                         "vmw:key=\"firmware\" vmw:value=\"efi\"", "efiSecureBootEnabled\" vmw:value=\"true\"",
                         "vmware.nvme.controller", "envelope/2\"", "<StorageItem>", "<EthernetPortItem>", ">a &amp; b<",
                         "epasd:Address>00:50:56:01:02:03<", "epasd:ResourceSubType>E1000<", "Network ovf:name=\"net\"",
                         "vmware.cdrom", NULL});
    good(&r, "safe", "{\"secure_boot\": true}", (const char *[]){"vmw:key=\"firmware\" vmw:value=\"efi\"", NULL});
    rig_close(&r);
}

static void refused(rig *r, const char *parameters, const char *words, uint32_t disks) {
    hf_code rc = run(r, "bad", parameters, disks);
    if (rc != HF_E_INVALID && rc != HF_E_LIMIT)
        fail_msg("%s: %d", parameters, rc);
    if (!strstr(r->err.detail, words))
        fail_msg("%s: %s", parameters, r->err.detail);
    assert_true(rig_out_empty(r));
}

static void refused_by_name(void **state) {
    (void)state;
    static const struct {
        const char *parameters, *words;
    } cases[] = {
        {"{\"cpus\": 0}", "parameters.cpus must be a whole number from 1 to 768"},
        {"{\"cpus\": \"4\"}", "parameters.cpus"},
        {"{\"cpus\": 4, \"cores_per_socket\": 3}", "does not divide the machine's 4 CPUs"},
        {"{\"memory_mb\": 3}", "from 4 to"},
        {"{\"memory_mb\": 1023}", "multiple of 4"},
        {"{\"os_type\": \"a b\"}", "parameters.os_type must be a guest id"},
        {"{\"os_type\": 7}", "parameters.os_type"},
        {"{\"firmware\": \"uboot\"}", "parameters.firmware must be bios or efi"},
        {"{\"firmware\": \"bios\", \"secure_boot\": true}", "secure_boot needs firmware efi"},
        {"{\"secure_boot\": 1}", "parameters.secure_boot must be true or false"},
        {"{\"controller\": \"floppy\"}", "parameters.controller must be one of ide"},
        {"{\"controller\": null}", "parameters.controller must be one of ide"},
        {"{\"nics\": {}}", "at most 16"},
        {"{\"nics\": [{}, {\"model\": \"rtl8139\"}]}", "parameters.nics[1].model"},
        {"{\"nics\": [{\"network\": \"\"}]}", "parameters.nics[0].network must be a name of 1 to 80 bytes"},
        {"{\"nics\": [{\"mac\": \"00-50-56-00-00-00\"}]}", "parameters.nics[0].mac must be like"},
        {"{\"ovf_version\": 2.0}", "parameters.ovf_version must be \"1.1\" or \"2.0\""},
        {"{\"annotation\": \"a\\u0001\"}", "parameters.annotation must be a text of at most 4096 bytes"},
        {"{\"cdrom\": \"no\"}", "parameters.cdrom must be true or false"},
    };
    rig r;
    rig_open(&r);
    rig_image(&r, "a.raw", 1 << 20, 3);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refused(&r, cases[i].parameters, cases[i].words, 1);
    refused(&r, "{\"controller\": \"ide\"}", "5 disks do not fit on IDE controllers, which hold 4", 5);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(said_by_the_job), cmocka_unit_test(refused_by_name)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
