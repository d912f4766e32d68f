/* Properties of a VM and the info of a lease, as servers of several ages write them. */
#include "check.h"
#include "consumer/provider/vsphere/hardware.h"
#include "consumer/provider/vsphere/lease_inside.h"
#include "schemas/base/mem.h"

#define PROPERTY(name, type, val) "<propSet><name>" name "</name><val xsi:type=\"" type "\">" val "</val></propSet>"
#define DISK(key, controller, unit, more)                                                                              \
    "<VirtualDevice xsi:type=\"VirtualDisk\"><key>" key "</key><deviceInfo><label>Hard disk</label></deviceInfo>"      \
    "<backing xsi:type=\"VirtualDiskFlatVer2BackingInfo\"><fileName>[ds] a.vmdk</fileName>" more "</backing>"          \
    "<controllerKey>" controller "</controllerKey><unitNumber>" unit "</unitNumber><capacityInKB>1024</capacityInKB>"  \
    "<capacityInBytes>1048576</capacityInBytes></VirtualDevice>"
#define OBJECT(properties)                                                                                             \
    ENVELOPE("<R xmlns=\"urn:vim25\"><objects><obj type=\"VirtualMachine\">vm-7</obj>" properties "</objects></R>")

static const char WEB[] = OBJECT(
    PROPERTY("name", "xsd:string", "web &amp; more") PROPERTY("parent", "ManagedObjectReference", "group-v3") PROPERTY(
        "runtime.powerState", "VirtualMachinePowerState",
        "poweredOn") PROPERTY("config.firmware", "xsd:string",
                              "efi") PROPERTY("config.version", "xsd:string",
                                              "vmx-19") PROPERTY("config.bootOptions", "VirtualMachineBootOptions",
                                                                 "<efiSecureBootEnabled>true</efiSecureBootEnabled>")
        PROPERTY("config.guestId", "xsd:string", "debian12_64Guest") PROPERTY("config.hardware.numCPU", "xsd:int", "4")
            PROPERTY("config.hardware.memoryMB", "xsd:int", "8192") PROPERTY(
                "config.hardware.device", "ArrayOfVirtualDevice",
                DISK("2000", "1000", "0", "") /* its controller comes behind it */
                "<VirtualDevice xsi:type=\"VirtualIDEController\"><key>200</key><busNumber>0"
                "</busNumber></VirtualDevice>"
                "<VirtualDevice xsi:type=\"ParaVirtualSCSIController\"><key>1000</key>"
                "<busNumber>1</busNumber></VirtualDevice>" DISK(
                    "2001",
                    "1000",
                    "3", "<diskMode>independent_persistent</diskMode>")
                    DISK(
                        "3000",
                        "200", "1",
                        "<compatibilityMode>physicalMode</compatibilityMode>") "<VirtualDevice xsi:type=\"VirtualVmxnet3\"><key>4000</key><deviceInfo><label>n"
                                                                               "</label><summary>VM Network</summary></deviceInfo><backing><deviceName>LAN"
                                                                               "</deviceName></backing><macAddress>00:50:56:00:00:01</macAddress></VirtualDevice>"
                                                                               "<VirtualDevice xsi:type=\"VirtualE1000e\"><key>4001</key><backing><port>"
                                                                               "<portgroupKey>dvportgroup-9</portgroupKey></port></backing></VirtualDevice>"
                                                                               "<VirtualDevice xsi:type=\"VirtualCdrom\"><key>3002</key></VirtualDevice>"
                                                                               "<VirtualDevice xsi:type=\"VirtualUSB\"><key>7000</key></VirtualDevice>")
                PROPERTY("snapshot", "VirtualMachineSnapshotInfo",
                         "<currentSnapshot type=\"VirtualMachineSnapshot\">snapshot-2</currentSnapshot>"
                         "<rootSnapshotList><snapshot type=\"VirtualMachineSnapshot\">snapshot-1"
                         "</snapshot><name>one</name><quiesced>true</quiesced><childSnapshotList>"
                         "<snapshot type=\"VirtualMachineSnapshot\">snapshot-2</snapshot><name>two"
                         "</name></childSnapshotList></rootSnapshotList>"));

static hf_vsphere_vm vm;
static hf_nic_groups groups;

static hf_code read_vm(const char *xml, hf_err *reterr) {
    hf_soap_answer a = answer_of(xml);
    hf_code code = hf_hardware_read(hf_xml_child(a.response, "objects"), &vm, &groups, reterr);
    hf_soap_answer_done(&a);
    return code;
}

static void a_machine_is_read_with_all_its_parts(void **state) {
    (void)state;
    assert_ok(read_vm(WEB, err));
    const hf_machine *m = &vm.machine;
    assert_string_equal(m->name, "web & more");
    assert_string_equal(vm.ref.value, "vm-7");
    assert_int_equal(vm.power, HF_POWER_ON);
    assert_int_equal(m->cpus, 4);
    assert_int_equal(m->memory_mb, 8192);
    assert_int_equal(m->firmware, HF_FIRMWARE_EFI);
    assert_true(m->secure_boot && m->cdrom && !m->floppy);
    assert_int_equal(m->hardware_version, 19);
    assert_int_equal(m->controller_count, 2);
    assert_int_equal(m->controllers[1].kind, HF_CTL_PVSCSI);
    assert_int_equal(m->controllers[1].bus, 1);
    assert_int_equal(m->nic_count, 2);
    assert_string_equal(m->nics[0].network, "LAN");
    assert_string_equal(m->nics[1].model, "E1000e");
    assert_string_equal(groups.group[1].value, "dvportgroup-9");
    assert_string_equal(groups.group[0].value, "");
}

static void disks_hang_where_they_hang_and_snapshots_leave_some_out(void **state) {
    (void)state;
    assert_ok(read_vm(WEB, err));
    assert_int_equal(vm.disk_count, 3);
    assert_int_equal(vm.disks[0].place.controller, 1);
    assert_int_equal(vm.disks[1].place.unit, 3);
    assert_int_equal(vm.disks[2].place.controller, 0);
    assert_int_equal(vm.disks[0].capacity_bytes, 1048576);
    assert_true(!vm.disks[0].left_out && vm.disks[1].left_out && vm.disks[2].left_out);
    assert_int_equal(vm.snapshot_count, 2);
    assert_string_equal(vm.snapshots[1].name, "two");
    assert_int_equal(vm.snapshots[1].depth, 1);
    assert_true(vm.snapshots[0].quiesced && !vm.snapshots[1].quiesced);
}

static void what_a_server_leaves_out_is_not_known(void **state) {
    (void)state;
    assert_ok(read_vm(OBJECT(""), err));
    assert_string_equal(vm.machine.name, "");
    assert_int_equal(vm.power, HF_POWER_UNKNOWN);
    assert_string_equal(hf_power_name(vm.power), "unknown");
    assert_true(vm.disk_count == 0 && vm.snapshot_count == 0 && vm.machine.cpus == 0);
    assert_ok(read_vm(OBJECT(PROPERTY("config.hardware.numCPU", "xsd:int", "99999999999999999999999")
                                 PROPERTY("config.hardware.device", "ArrayOfVirtualDevice", DISK("x", "", "1e9", ""))),
                      err));
    assert_int_equal(vm.disk_count, 1);
    assert_int_equal(vm.disks[0].place.controller, -1);
    assert_int_equal(vm.machine.cpus, 0);
}

static void more_disks_than_a_job_may_have_are_refused(void **state) {
    (void)state;
    hf_buf b;
    hf_buf_init(&b, 1 << 20);
    hf_buf_puts(&b, "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\" "
                    "xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><e:Body><R><objects><propSet><name>"
                    "config.hardware.device</name><val>");
    for (int i = 0; i <= HF_MAX_DISKS; i++)
        hf_buf_puts(&b, DISK("1", "2", "3", ""));
    hf_buf_puts(&b, "</val></propSet></objects></R></e:Body></e:Envelope>");
    hf_buf_put(&b, "", 1);
    assert_fails(read_vm((const char *)b.data, err), HF_E_LIMIT, "more than 64 disks");
    hf_buf_done(&b);
}

/* ---- leases --------------------------------------------------------------------------------------------------------- */
#define SHA1_PIN "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:01:02:03"
#define FILE_(key, url, thumb, disk, size)                                                                             \
    "<deviceUrl><key>" key "</key><importKey>i</importKey><url>" url "</url><sslThumbprint>" thumb                     \
    "</sslThumbprint><disk>" disk "</disk><targetId>t</targetId><fileSize>" size "</fileSize></deviceUrl>"
#define INFO(files)                                                                                                    \
    ENVELOPE("<R xmlns=\"urn:vim25\"><val>" files "<totalDiskCapacityInKB>2048</totalDiskCapacityInKB>"                \
             "<leaseTimeout>300</leaseTimeout></val></R>")

static hf_endpoint endpoint = {
    .name = "vc1", .host = "vc", .authority = "vc:8443", .port = 8443, .tls = {.pin_len = 32}};

static hf_code read_info(const char *xml, hf_lease *lease, hf_err *reterr) {
    hf_soap_answer a = answer_of(xml);
    *lease = (hf_lease){.files = hf_alloc(HF_LEASE_FILES_MAX * sizeof *lease->files)};
    hf_code code = hf_lease_read_info(&endpoint, &vm, hf_xml_child(a.response, "val"), lease, reterr);
    hf_soap_answer_done(&a);
    return code;
}

static void a_leases_files_are_matched_with_disks(void **state) {
    (void)state;
    hf_lease l;
    assert_ok(read_vm(WEB, err));
    assert_ok(read_info(INFO(FILE_("/vm-7/VirtualIDEController0:1", "https://vc:8443/a", SHA1_PIN, "true", "5")
                                 FILE_("/vm-7/ParaVirtualSCSIController1:0", "https://esx/b", SHA1_PIN, "true", "0")
                                     FILE_("/vm-7/nvram", "https://esx/c", "", "false", "-9")),
                        &l, err));
    assert_int_equal(l.file_count, 3);
    assert_int_equal(l.files[0].device, 2);
    assert_int_equal(l.files[1].device, 0);
    assert_int_equal(l.files[2].device, -1);
    assert_false(l.files[2].disk);
    assert_int_equal(l.files[2].size_bytes, 0);
    assert_int_equal(l.files[0].tls.pin_len, 32); /* the endpoint itself */
    assert_int_equal(l.files[1].tls.pin_len, 20); /* a host known by the lease's thumbprint */
    assert_int_equal(l.files[2].tls.pin_len, 32); /* none given: the endpoint's own trust */
    assert_int_equal(l.timeout_ms, 300000);
    assert_int_equal(l.total_capacity_bytes, 2048 * 1024);
    hf_lease_done(&l);
}

static void keys_that_say_nothing_leave_it_to_the_order(void **state) {
    (void)state;
    hf_lease l;
    assert_ok(read_vm(WEB, err)); /* one of its three disks is in a snapshot */
    assert_ok(read_info(
        INFO(FILE_("k", "https://h/a", "", "false", "1") FILE_("disk-0", "https://h/b", "", "true", "1")), &l, err));
    assert_int_equal(l.files[1].device, 0);
    hf_lease_done(&l);
    assert_ok(read_info(INFO(FILE_("a", "https://h/a", "", "true", "1") FILE_("b", "https://h/b", "", "true", "1")), &l,
                        err));
    assert_int_equal(l.files[0].device, -1); /* two disks are neither all nor those */
    hf_lease_done(&l);
}

static void hosts_of_leases_are_completed(void **state) {
    static const struct {
        const char *from, *to;
    } urls[] = {{"https://*/nfc/1/a.vmdk", "https://vc:8443/nfc/1/a.vmdk"},
                {"https://*:28989/nfc/1/a.vmdk", "https://vc:28989/nfc/1/a.vmdk"},
                {"HTTPS://esx.example.com/x*y", "HTTPS://esx.example.com/x*y"}};
    (void)state;
    char to[HF_LEASE_URL_MAX], large[HF_LEASE_URL_MAX + 10];
    for (size_t i = 0; i < HF_ARRAY_LEN(urls); i++) {
        assert_ok(hf_lease_url(&endpoint, hf_str_of(urls[i].from), to, err));
        assert_string_equal(to, urls[i].to);
    }
    assert_fails(hf_lease_url(&endpoint, HF_STR("http://esx/a"), to, err), HF_E_UNSUPPORTED, "not https");
    assert_fails(hf_lease_url(&endpoint, HF_STR_NONE, to, err), HF_E_UNSUPPORTED, "not https");
    memset(large, 'a', sizeof large);
    memcpy(large, "https://", 8);
    assert_fails(hf_lease_url(&endpoint, (hf_str){large, sizeof large}, to, err), HF_E_LIMIT, "URL of more than");
}

static void leases_over_the_bounds_are_refused(void **state) {
    (void)state;
    hf_lease l;
    hf_buf b;
    assert_ok(read_vm(WEB, err));
    assert_fails(read_info(INFO(""), &l, err), HF_E_PROTOCOL, "has no files");
    hf_lease_done(&l);
    hf_buf_init(&b, 1 << 20);
    hf_buf_puts(&b, "<e:Envelope xmlns:e=\"http://schemas.xmlsoap.org/soap/envelope/\"><e:Body><R><val>");
    for (int i = 0; i <= HF_LEASE_FILES_MAX; i++)
        hf_buf_puts(&b, FILE_("k", "https://h/a", "", "true", "1"));
    hf_buf_puts(&b, "</val></R></e:Body></e:Envelope>");
    hf_buf_put(&b, "", 1);
    assert_fails(read_info((const char *)b.data, &l, err), HF_E_LIMIT, "more than 68 files");
    hf_lease_done(&l);
    hf_buf_done(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_machine_is_read_with_all_its_parts),
                                       cmocka_unit_test(disks_hang_where_they_hang_and_snapshots_leave_some_out),
                                       cmocka_unit_test(what_a_server_leaves_out_is_not_known),
                                       cmocka_unit_test(more_disks_than_a_job_may_have_are_refused),
                                       cmocka_unit_test(a_leases_files_are_matched_with_disks),
                                       cmocka_unit_test(keys_that_say_nothing_leave_it_to_the_order),
                                       cmocka_unit_test(hosts_of_leases_are_completed),
                                       cmocka_unit_test(leases_over_the_bounds_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
