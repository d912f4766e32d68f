/* labels: tsan */
/* OVAs in and out: what export writes is sound; what is extracted is what was packed, whoever packed it; and what is wrong with an
 * archive leaves nothing behind, inside the target or outside. */
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "consumer/operation/ova/cli.h"
#include "rig.h"

static hf_code run_ova(rig *r, const char *operation, const char *input, const char *format, const char *name) {
    hf_spec spec = rig_spec(r, operation, NULL, format);
    spec.vm_path = hf_str_of(rig_path(r, "%s", input));
    spec.name = hf_str_of(name);
    hf_code rc = rig_run(r, "ova", 1, &spec);
    if (rc != HF_OK)
        print_message("%s: %s\n", operation, r->err.detail);
    return rc;
}

/* `hyperworker ova …` in this process; stdout goes to said.txt in the scratch directory, stderr to complained.txt. */
static int cli(rig *r, const char *words) {
    char text[1024], *argv[32];
    int argc = 0, status;
    snprintf(text, sizeof text, "ova %s", words);
    for (char *save, *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save))
        argv[argc++] = word;
    argv[argc] = NULL;
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (chdir(r->dir) || !freopen("said.txt", "w", stdout) || !freopen("complained.txt", "w", stderr))
            _exit(99);
        status = hf_ova_main(argc, argv);
        fflush(NULL);
        _exit(status);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* in/a.raw and in/b.raw, and from them in/web.ova and the directory in/web. */
static void make_ova(rig *r) {
    rig_image(r, "a.raw", 9 << 20, 5);
    rig_image(r, "b.raw", (3 << 20) + 512, 6);
    assert_int_equal(cli(r, "create --cpus 2 --memory 2048 --quiet in/a.raw in/b.raw in/web.ova"), 0);
    assert_int_equal(rig_sh(r, "mkdir in/web && tar -C in/web -xf in/web.ova"), 0);
}

static const char *report_says(rig *r, const char *needle) {
    return memmem(r->result.report.p, r->result.report.len, needle, strlen(needle));
}

static void an_export_is_sound(void **state) {
    (void)state;
    static const char *const kinds[] = {"sha256", "sha1", "sha512"};
    rig r;
    rig_open_fast(&r);
    rig_image(&r, "a.raw", 5 << 20, 5);
    for (size_t i = 0; i < HF_ARRAY_LEN(kinds); i++) {
        hf_spec spec = rig_spec(&r, "export", "a.raw", "ova");
        spec.options.manifest = hf_str_of(kinds[i]);
        assert_int_equal(rig_run(&r, "x", 1, &spec), HF_OK);
        assert_int_equal(cli(&r, "validate --deep --strict out/a.ova"), 0);
        assert_int_equal(rig_sh(&r, "grep -q ': sound (0 errors, 0 warnings, %d notes; 3 members' said.txt", i == 1),
                         0);
        assert_int_equal(run_ova(&r, "ova-validate", "out/a.ova", "", ""), HF_OK);
        assert_non_null(report_says(&r, "\"verdict\":\"sound\""));
        assert_int_equal(rig_sh(&r, "rm -rf out/*"), 0);
    }
    rig_close(&r);
}

/* Whoever packed it, the files come out as they went in, and as hashes say. */
static void archives_of_others_are_extracted(void **state) {
    (void)state;
    static const char *const packers[] = {
        "tar --format=ustar -C in/web -cf in/o.ova web.ovf web.mf web-disk1.vmdk web-disk2.vmdk",
        "tar --format=gnu -C in/web -cf in/o.ova web.ovf web-disk1.vmdk web-disk2.vmdk web.mf",
        "tar --format=posix -C in/web -cf in/o.ova web.ovf web.mf web-disk1.vmdk web-disk2.vmdk",
        "tar --format=v7 -C in/web -cf in/o.ova web.ovf web.mf web-disk1.vmdk web-disk2.vmdk",
        "bsdtar --format=ustar -C in/web -cf in/o.ova web.ovf web.mf web-disk1.vmdk web-disk2.vmdk",
        "bsdtar --format=pax -C in/web -cf in/o.ova web.ovf web.mf web-disk1.vmdk web-disk2.vmdk",
        "bsdtar --format=gnutar -C in/web -cf in/o.ova web.mf web-disk1.vmdk web.ovf web-disk2.vmdk",
    };
    rig r;
    rig_open_fast(&r);
    make_ova(&r);
    for (size_t i = 0; i < HF_ARRAY_LEN(packers); i++) {
        if (strncmp(packers[i], "bsdtar", 6) == 0 && !rig_have("bsdtar"))
            continue;
        assert_int_equal(rig_sh(&r, "%s", packers[i]), 0);
        assert_int_equal(run_ova(&r, "ova-extract", "in/o.ova", "vmdk", ""), HF_OK);
        assert_int_equal(r.result.artifacts.count, 4);
        rig_check_artifacts(&r);
        assert_int_equal(rig_sh(&r, "diff -r in/web out"), 0);
        assert_int_equal(rig_sh(&r, "rm -rf out/*"), 0);
    }
    rig_close(&r);
}

static void disks_come_out_in_another_format(void **state) {
    (void)state;
    rig r;
    rig_open_fast(&r);
    make_ova(&r);
    assert_int_equal(run_ova(&r, "ova-extract", "in/web.ova", "raw", ""), HF_OK);
    rig_check_artifacts(&r);
    assert_int_equal(r.result.artifacts.count, 2);
    assert_int_equal(rig_sh(&r, "cmp out/web-disk1.raw in/a.raw && cmp out/web-disk2.raw in/b.raw && "
                                "test \"$(ls -A out | wc -l)\" = 2 && rm -rf out/*"),
                     0);
    if (rig_have("qemu-img")) {
        assert_int_equal(run_ova(&r, "ova-extract", "in/web.ova", "qcow2", ""), HF_OK);
        rig_check_artifacts(&r);
        assert_int_equal(rig_sh(&r, "qemu-img compare -q out/web-disk1.qcow2 in/a.raw && qemu-img check -q "
                                    "out/web-disk1.qcow2 && qemu-img compare -q out/web-disk2.qcow2 in/b.raw"),
                         0);
    }
    static const char *const others[][2] = {{"vmdk-sparse", "vmdk"}, {"vdi", "vdi"}, {"vhd", "vpc"}, {"vhdx", "vhdx"}};
    for (size_t i = 0; i < HF_ARRAY_LEN(others) && rig_have("qemu-img"); i++) {
        assert_int_equal(rig_sh(&r, "rm -rf out/*"), 0);
        assert_int_equal(run_ova(&r, "ova-extract", "in/web.ova", others[i][0], ""), HF_OK);
        rig_check_artifacts(&r);
        assert_int_equal(rig_sh(&r,
                                "for d in 1=a 2=b; do qemu-img compare -q -f %s -F raw out/web-disk${d%%=*}.* "
                                "in/${d#*=}.raw || exit 1; done",
                                others[i][1]),
                         0);
    }
    assert_int_equal(rig_sh(&r, "rm -rf out/*"), 0);
    assert_int_equal(run_ova(&r, "ova-extract", "in/web.ova", "floppy", ""), HF_E_UNSUPPORTED);
    assert_true(rig_out_empty(&r));
    rig_close(&r);
}

/* Compressed and split as DSP0243 allows: validated, extracted as they are, and inflated all the same. */
static void compressed_and_split_disks(void **state) {
    (void)state;
    rig r;
    rig_open_fast(&r);
    make_ova(&r);
    assert_int_equal(
        rig_sh(
            &r,
            "cd in/web && rm web.mf && gzip -n web-disk1.vmdk && mv web-disk1.vmdk.gz gz.tmp && "
            "split -b 100000 -d -a 9 gz.tmp web-disk1.vmdk.gz. && S=$(stat -c %%s gz.tmp) && rm gz.tmp && "
            "gzip -n web-disk2.vmdk && Z=$(stat -c %%s web-disk2.vmdk.gz) && "
            "sed -i -E \"s/href=.web-disk1.vmdk. ovf:id=.file1. ovf:size=.[0-9]+./href='web-disk1.vmdk.gz' ovf:id='file1' "
            "ovf:size='$S' ovf:chunkSize='100000' ovf:compression='gzip'/; "
            "s/href=.web-disk2.vmdk. ovf:id=.file2. ovf:size=.[0-9]+./href='web-disk2.vmdk.gz' ovf:id='file2' "
            "ovf:size='$Z' ovf:compression='gzip'/\" web.ovf && grep -q chunkSize web.ovf && sha256sum --tag * | "
            "sed 's/^SHA256 (\\(.*\\)) = /SHA256(\\1)= /' >../web.mf && mv ../web.mf . && tar --format=ustar -cf ../odd.ova web.ovf web.mf web-*"),
        0);
    assert_int_equal(cli(&r, "validate --deep --strict in/odd.ova"), 0);
    assert_int_equal(rig_sh(&r, "grep -q file-chunked said.txt && grep -q file-gzip said.txt"), 0);
    assert_int_equal(run_ova(&r, "ova-extract", "in/odd.ova", "vmdk", ""), HF_OK);
    assert_int_equal(rig_sh(&r, "diff -r in/web out && rm -rf out/*"), 0);
    assert_int_equal(run_ova(&r, "ova-extract", "in/odd.ova", "raw", ""), HF_OK);
    rig_check_artifacts(&r);
    assert_int_equal(rig_sh(&r, "cmp out/web-disk1.raw in/a.raw && cmp out/web-disk2.raw in/b.raw && rm -rf out/*"), 0);
    assert_int_equal(run_ova(&r, "ova-create", "in/web", "", "odd"), HF_OK);
    assert_int_equal(rig_sh(&r, "mkdir t && tar -C t -xf out/odd.ova && diff -r -x web.mf in/web t && rm -r t"), 0);
    assert_int_equal(cli(&r, "validate --strict out/odd.ova"), 0);
    assert_int_equal(
        rig_sh(&r, "rm -rf out/* && printf X | dd of=in/odd.ova bs=1 seek=300000 conv=notrunc status=none"), 0);
    assert_int_equal(run_ova(&r, "ova-extract", "in/odd.ova", "raw", ""), HF_E_SOURCE_INVALID);
    assert_true(rig_out_empty(&r));
    rig_close(&r);
}

static void packing_is_canonical(void **state) {
    (void)state;
    rig r;
    rig_open_fast(&r);
    make_ova(&r);
    assert_int_equal(run_ova(&r, "ova-create", "in/web/web.ovf", "", "packed"), HF_OK);
    rig_check_artifacts(&r);
    assert_int_equal(rig_sh(&r, "cmp out/packed.ova in/web.ova"), 0); /* the same as export wrote it */
    assert_int_equal(rig_sh(&r, "rm out/* in/web/web.mf"), 0);
    static const struct {
        const char *kind, *label, *sum;
    } kinds[] = {{"sha256", "SHA256", "sha256sum"}, {"sha1", "SHA1", "sha1sum"}, {"sha512", "SHA512", "sha512sum"}};
    for (size_t i = 0; i < HF_ARRAY_LEN(kinds); i++) {
        hf_spec spec = rig_spec(&r, "ova-create", NULL, "");
        spec.vm_path = hf_str_of(rig_path(&r, "in/web"));
        spec.name = HF_STR("packed");
        spec.options.manifest = hf_str_of(kinds[i].kind);
        assert_int_equal(rig_run(&r, "pack", 1, &spec), HF_OK);
        assert_int_equal(
            rig_sh(
                &r,
                "mkdir t && tar -C t -xf out/packed.ova && "
                "test \"$(tar -tf out/packed.ova | tr '\\n' ' ')\" = 'web.ovf web.mf web-disk1.vmdk web-disk2.vmdk ' && "
                "cd t && sed 's/^%s(\\(.*\\))= \\(.*\\)$/\\2  \\1/' web.mf | %s -c --quiet --strict - && cd .. && rm -r t",
                kinds[i].label, kinds[i].sum),
            0);
        if (rig_have("bsdtar"))
            assert_int_equal(rig_sh(&r, "bsdtar -tf out/packed.ova >/dev/null"), 0);
        assert_int_equal(cli(&r, "validate --deep out/packed.ova"), 0);
        assert_int_equal(rig_sh(&r, "rm -rf out/*"), 0);
    }
    assert_int_equal(run_ova(&r, "ova-create", "in/a.raw", "", "single"), HF_OK); /* an image: exported */
    assert_int_equal(cli(&r, "validate --strict out/single.ova"), 0);
    rig_close(&r);
}

static void what_does_not_hold_is_not_packed(void **state) {
    (void)state;
    static const char *const breakages[] = {
        "echo >>in/web/web-disk2.vmdk",                                                    /* size and hash */
        "rm in/web/web-disk1.vmdk",                                                        /* missing */
        "rm in/web/web-disk1.vmdk && mkdir in/web/web-disk1.vmdk",                         /* no file */
        "mv in/web/web-disk1.vmdk in/d && ln -s ../d in/web/web-disk1.vmdk",               /* a link */
        "printf x | dd of=in/web/web-disk1.vmdk bs=1 seek=70000 conv=notrunc status=none", /* the manifest disagrees */
        "sed -i 's/href=\"web-disk1.vmdk/href=\"..\\/a.raw/' in/web/web.ovf && rm in/web/web.mf",
    };
    rig r;
    for (size_t i = 0; i < HF_ARRAY_LEN(breakages); i++) {
        rig_open_fast(&r);
        make_ova(&r);
        assert_int_equal(rig_sh(&r, "%s", breakages[i]), 0);
        assert_int_equal(run_ova(&r, "ova-create", "in/web", "", "packed"), HF_E_SOURCE_INVALID);
        assert_true(rig_out_empty(&r));
        rig_close(&r);
    }
}

/* ---- hostile archives ------------------------------------------------------------------------------------------ */
static void hostile_archives_leave_nothing(void **state) {
    (void)state;
    static const char *const bends[] = {
        "ln -s ../../secret in/web/evil.txt && tar -C in/web -rf in/h.ova evil.txt",
        "ln in/web/web.ovf in/web/evil.txt && tar -C in/web -cf in/h.ova web.ovf evil.txt web.mf web-disk1.vmdk web-disk2.vmdk",
        "echo evil >evil.txt && tar -P --transform 's,^,../../,' -rf in/h.ova evil.txt",
        "echo evil >evil.txt && tar -P --transform \"s,^,$PWD/,\" -rf in/h.ova evil.txt",
        "mkdir sub && echo evil >sub/evil.txt && tar -rf in/h.ova sub/evil.txt",
        "echo evil >'a\\b' && tar -rf in/h.ova --no-unquote 'a\\b'",
        "mkfifo in/web/fifo && tar -C in/web -rf in/h.ova fifo",
        "cp in/web/web-disk1.vmdk in/web/WEB-DISK1.vmdk && tar -C in/web -rf in/h.ova WEB-DISK1.vmdk",
        "truncate -s 10M in/web/hole && tar -S -C in/web -rf in/h.ova hole",
        "head -c 3000000 in/web.ova >in/h.ova",
        "echo trailing >>in/h.ova",
        "printf X | dd of=in/h.ova bs=1 seek=100000 conv=notrunc status=none",
        "printf X | dd of=in/h.ova bs=1 seek=700 conv=notrunc status=none",
    };
    static const char *const formats[] = {"vmdk", "raw"};
    rig r;
    rig_open_fast(&r);
    make_ova(&r);
    assert_int_equal(rig_sh(&r, "echo mine >secret && cp -r in in.good && touch names now && ls -A >names"), 0);
    for (size_t i = 0; i < HF_ARRAY_LEN(bends); i++)
        for (size_t f = 0; f < HF_ARRAY_LEN(formats); f++) {
            assert_int_equal(rig_sh(&r, "cp in/web.ova in/h.ova && %s", bends[i]), 0);
            assert_int_equal(rig_sh(&r, "rm -rf evil.txt sub 'a\\b'"), 0);
            assert_int_equal(run_ova(&r, "ova-extract", "in/h.ova", formats[f], ""), HF_E_SOURCE_INVALID);
            assert_true(rig_out_empty(&r));
            assert_int_equal(rig_sh(&r,
                                    "test \"$(cat secret)\" = mine && rm -rf in && cp -r in.good in && ls -A >now && "
                                    "diff names now && test ! -e ../evil.txt"),
                             0);
        }
    rig_close(&r);
}

/* What lies in the target already, a link too, is neither followed nor replaced. */
static void the_target_is_not_followed(void **state) {
    (void)state;
    rig r;
    rig_open_fast(&r);
    make_ova(&r);
    assert_int_equal(rig_sh(&r, "mkdir other && ln -s ../other/new.vmdk out/web-disk1.vmdk"), 0);
    assert_int_equal(run_ova(&r, "ova-extract", "in/web.ova", "vmdk", ""), HF_E_EXISTS);
    assert_int_equal(rig_sh(&r, "test -z \"$(ls -A other)\" && test \"$(ls -A out)\" = web-disk1.vmdk"), 0);
    assert_int_equal(rig_sh(&r, "rm out/* && echo mine >out/web-disk2.raw"), 0);
    assert_int_equal(run_ova(&r, "ova-extract", "in/web.ova", "raw", ""), HF_E_EXISTS);
    assert_int_equal(rig_sh(&r, "test \"$(cat out/*)\" = mine && test \"$(ls -A out)\" = web-disk2.raw"), 0);
    assert_int_equal(rig_sh(&r, "rm -r out && ln -s /etc out"), 0);
    assert_int_equal(run_ova(&r, "ova-extract", "in/web.ova", "vmdk", ""), HF_E_OUTSIDE_ROOT);
    assert_int_equal(rig_sh(&r, "test ! -e /etc/web.ovf"), 0);
    rig_close(&r);
}

static void cancel_at(rig *r, const hf_progress *progress) {
    if (hf_str_eqz(progress->phase, "extract"))
        atomic_store(&r->cancel, true);
}

static void a_cancel_leaves_nothing(void **state) {
    (void)state;
    static const char *const formats[] = {"vmdk", "raw", "qcow2"};
    rig r;
    rig_open_fast(&r);
    make_ova(&r);
    for (size_t f = 0; f < HF_ARRAY_LEN(formats); f++) {
        r.on_report = cancel_at;
        atomic_store(&r.cancel, false);
        assert_int_equal(run_ova(&r, "ova-extract", "in/web.ova", formats[f], ""), HF_E_CANCELLED);
        assert_true(rig_out_empty(&r));
    }
    rig_close(&r);
}

static void memory_may_run_out(void **state) {
    (void)state;
    static const struct {
        const char *operation, *input, *format;
    } runs[] = {
        {"ova-extract", "in/web.ova", "vmdk"}, {"ova-extract", "in/web.ova", "raw"}, {"ova-create", "in/web", ""}};
    rig r;
    rig_open_fast(&r);
    rig_image(&r, "a.raw", 300000, 5);
    assert_int_equal(cli(&r, "create in/a.raw in/web.ova"), 0);
    assert_int_equal(rig_sh(&r, "mkdir in/web && tar -C in/web -xf in/web.ova"), 0);
    for (size_t i = 0; i < HF_ARRAY_LEN(runs); i++) {
        bool done = false;
        for (uint64_t n = 1; n < 300 && !done; n++) {
            hf_spec spec = rig_spec(&r, runs[i].operation, NULL, runs[i].format);
            spec.vm_path = hf_str_of(rig_path(&r, "%s", runs[i].input));
            hf_alloc_fail_after(n);
            hf_code rc = rig_run(&r, "ova", 1, &spec);
            hf_alloc_fail_after(0);
            assert_true(rc == HF_OK || rc == HF_E_NO_MEMORY);
            assert_true(rc == HF_OK || rig_out_empty(&r));
            done = rc == HF_OK;
        }
        assert_true(done);
        assert_int_equal(rig_sh(&r, "rm -rf out/* out/.hf*"), 0);
    }
    rig_close(&r);
}

/* ---- the command line --------------------------------------------------------------------------------------------- */
static void statuses_and_words(void **state) {
    (void)state;
    static const struct {
        const char *words;
        int status;
        const char *said, *complained;
    } runs[] = {
        {"--help", 0, "hyperctl ova extract --format qcow2", NULL},
        {"validate --help", 0, "Exit status: 0 sound", NULL},
        {"create --help", 0, "--manifest KIND", NULL},
        {"extract --help", 0, "--format FORMAT", NULL},
        {"ls --help", 0, "Examples:", NULL},
        {"info --help", 0, "Examples:", NULL},
        {"explode in/web.ova", 64, NULL, "there is no command ova explode"},
        {"validate", 64, NULL, "it is: ova validate FILE"},
        {"ls --deep in/web.ova", 64, NULL, "has no option --deep"},
        {"info --output xml in/web.ova", 64, NULL, "text or json"},
        {"validate in/none.ova", 66, NULL, "not-found"},
        {"validate --strict in/web.ova", 0, "sound", NULL},
        {"validate in/nomf.ova", 0, "manifest-missing", NULL},
        {"validate --strict in/nomf.ova", 1, "warnings (0 errors, 1 warnings", NULL},
        {"validate in/cut.ova", 65, "tar-truncated", NULL},
        {"validate --output json in/cut.ova", 65, "\"id\": \"tar-truncated\"", NULL},
        {"validate in/web", 0, "sound", NULL},
        {"validate in/web/web.ovf", 0, "sound", NULL},
        {"info in/web.ova", 0, "memory          2048 MiB", NULL},
        {"info --output json in/web.ova", 0, "\"memory_mb\": 2048", NULL},
        {"ls in/web.ova", 0, "web-disk2.vmdk", NULL},
        {"ls --output json in/web", 0, "\"role\": \"manifest\"", NULL},
        {"extract in/cut.ova x", 65, NULL, "tar-truncated"},
        {"extract --output json in/web.ova y", 0, "\"artifacts\"", NULL},
        {"extract --format raw --hash in/web.ova z", 0, "/z/web-disk1.raw", NULL},
        {"extract --format raw in/web.ova w", 0, "/w/web-disk2.raw", NULL},
        {"create in/web/web.ovf in/new.ova --manifest sha1", 0, "in/new.ova", NULL},
        {"create in/web in/new.ova", 73, NULL, "is there already"},
        {"create in/web in/new.tar", 64, NULL, "ends in .ova"},
        {"create --cpus 2 in/web in/new2.ova", 64, NULL, "packed as it is"},
        {"create --cpus none in/a.raw in/new2.ova", 64, NULL, "whole number"},
    };
    rig r;
    rig_open_fast(&r);
    make_ova(&r);
    assert_int_equal(
        rig_sh(&r, "head -c 2000000 in/web.ova >in/cut.ova && tar --format=ustar -C in/web -cf in/nomf.ova web.ovf "
                   "web-disk1.vmdk web-disk2.vmdk"),
        0);
    for (size_t i = 0; i < HF_ARRAY_LEN(runs); i++) {
        int status = cli(&r, runs[i].words);
        int said = runs[i].said ? rig_sh(&r, "grep -qF -- '%s' said.txt", runs[i].said) : 0;
        int complained = runs[i].complained ? rig_sh(&r, "grep -qF -- '%s' complained.txt", runs[i].complained) : 0;
        if (status != runs[i].status || said || complained) {
            print_error("ova %s: status %d\n", runs[i].words, status);
            rig_sh(&r, "cat said.txt complained.txt >&2");
        }
        assert_int_equal(status, runs[i].status);
        assert_int_equal(said + complained, 0);
    }
    assert_int_equal(
        rig_sh(&r, "test ! -e x/web.ovf && diff -r in/web y && diff -r z w && cmp z/web-disk1.raw in/a.raw"), 0);
    rig_close(&r);
}

/* ova-validate as a job: completes and tells, or fails where it was asked to. */
static void a_job_tells_or_fails(void **state) {
    (void)state;
    rig r;
    rig_open_fast(&r);
    make_ova(&r);
    assert_int_equal(rig_sh(&r, "printf X | dd of=in/web.ova bs=1 seek=100000 conv=notrunc status=none"), 0);
    assert_int_equal(run_ova(&r, "ova-validate", "in/web.ova", "", ""), HF_OK);
    assert_non_null(report_says(&r, "\"verdict\":\"errors\""));
    assert_non_null(report_says(&r, "\"id\":\"manifest-digest\""));
    assert_true(hf_str_eqz(r.result.vm_name, "web"));
    hf_spec spec = rig_spec(&r, "ova-validate", NULL, "");
    spec.vm_path = hf_str_of(rig_path(&r, "in/web.ova"));
    spec.parameters = HF_STR("{\"fail_on\": \"error\"}");
    assert_int_equal(rig_run(&r, "ova", 1, &spec), HF_E_SOURCE_INVALID);
    assert_non_null(strstr(r.err.detail, "manifest-digest"));
    spec.parameters = HF_STR("{\"fail_on\": \"always\"}");
    assert_int_equal(rig_run(&r, "ova", 1, &spec), HF_E_INVALID);
    spec.vm_path = HF_STR("/etc/passwd");
    assert_int_equal(rig_run(&r, "ova", 1, &spec), HF_E_OUTSIDE_ROOT);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_export_is_sound),
        cmocka_unit_test(archives_of_others_are_extracted),
        cmocka_unit_test(disks_come_out_in_another_format),
        cmocka_unit_test(compressed_and_split_disks),
        cmocka_unit_test(packing_is_canonical),
        cmocka_unit_test(what_does_not_hold_is_not_packed),
        cmocka_unit_test(hostile_archives_leave_nothing),
        cmocka_unit_test(the_target_is_not_followed),
        cmocka_unit_test(a_cancel_leaves_nothing),
        cmocka_unit_test(memory_may_run_out),
        cmocka_unit_test(statuses_and_words),
        cmocka_unit_test(a_job_tells_or_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
