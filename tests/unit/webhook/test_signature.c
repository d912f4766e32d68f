/* Standard Webhooks 1.0.0: the specification's vector, rotation, what is no secret, and that nothing else verifies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "schemas/base/mem.h"
#include "schemas/webhook/signature.h"

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define ID HF_STR("msg_p5jXN8AQM9LWM0D4loKWxJek")
#define BODY HF_STR("{\"test\": 2432232314}")
#define SIGNED "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
enum { AT = 1614265330 };

static hf_signing_key key_of(const char *secret) {
    hf_signing_key key;
    hf_err err = {0};
    assert_int_equal(hf_signing_key_parse(hf_str_of(secret), &key, &err), HF_OK);
    return key;
}

static void the_vector_of_the_specification(void **state) {
    (void)state;
    hf_signing_key key = key_of(SECRET);
    char text[HF_SIGNATURES_TEXT];
    assert_int_equal(key.len, 24);
    assert_int_equal(hf_webhook_sign(&key, 1, ID, AT, BODY, text, NULL), HF_OK);
    assert_string_equal(text, SIGNED);
    assert_true(hf_webhook_verify(&key, ID, AT, BODY, HF_STR(SIGNED)));
}

static void while_rotating_both_secrets_verify(void **state) {
    (void)state;
    hf_signing_key keys[HF_SIGNING_KEYS_MAX];
    keys[0] = key_of(SECRET);
    keys[1] = key_of("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    keys[2] = key_of("whsec_//////////////////////////////////////////8=");
    keys[3] = key_of("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+Pw==");
    assert_int_equal(keys[1].len, 32);
    assert_int_equal(keys[3].len, 64);
    assert_int_equal(keys[3].bytes[63], 63);
    char text[HF_SIGNATURES_TEXT];
    for (uint32_t count = 1; count <= HF_SIGNING_KEYS_MAX; count++) {
        assert_int_equal(hf_webhook_sign(keys, count, ID, AT, BODY, text, NULL), HF_OK);
        assert_int_equal(strlen(text), count * 48 - 1);
        for (uint32_t i = 0; i < HF_SIGNING_KEYS_MAX; i++)
            assert_int_equal(hf_webhook_verify(&keys[i], ID, AT, BODY, hf_str_of(text)), i < count);
    }
    hf_err err;
    assert_int_equal(hf_webhook_sign(keys, 0, ID, AT, BODY, text, &err), HF_E_LIMIT);
    assert_int_equal(hf_webhook_sign(keys, HF_SIGNING_KEYS_MAX + 1, ID, AT, BODY, text, &err), HF_E_LIMIT);
}

static void nothing_else_verifies(void **state) {
    (void)state;
    hf_signing_key key = key_of(SECRET), other = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSx");
    assert_false(hf_webhook_verify(&other, ID, AT, BODY, HF_STR(SIGNED)));
    assert_false(hf_webhook_verify(&key, HF_STR("msg_p5jXN8AQM9LWM0D4loKWxJel"), AT, BODY, HF_STR(SIGNED)));
    assert_false(hf_webhook_verify(&key, ID, AT + 1, BODY, HF_STR(SIGNED)));
    assert_false(hf_webhook_verify(&key, ID, AT, HF_STR("{\"test\": 2432232315}"), HF_STR(SIGNED)));
    assert_false(hf_webhook_verify(&key, ID, AT, HF_STR(""), HF_STR(SIGNED)));
    assert_false(hf_webhook_verify(&key, HF_STR("a.b"), AT, BODY, HF_STR(SIGNED)));
    static const char *const wrong[] = {
        "",
        " ",
        "v1,",
        "v1",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE==",
        "v1,h0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "V1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=,v1,x",
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(wrong); i++)
        assert_false(hf_webhook_verify(&key, ID, AT, BODY, hf_str_of(wrong[i])));
    assert_true(hf_webhook_verify(&key, ID, AT, BODY, HF_STR("v1a,x v2,y  " SIGNED " v1,z")));
}

static void what_is_no_secret_is_refused_and_not_shown(void **state) {
    (void)state;
    static const struct {
        const char *secret, *why;
    } cases[] = {
        {"", "must begin"},
        {"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "must begin"},
        {"WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "must begin"},
        {"whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "must begin"},
        {"whsec_", "0 bytes"},
        {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLQ==", "22 bytes"},
        {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaQ=", "23 bytes"},
        {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "base64"},
        {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw=", "base64"},
        {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2La LaSw", "base64"},
        {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", "base64"},
        {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2La-_Sw", "base64"},
        {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaL===", "base64"},
        {"whsec_MfKQ=r8GKYqrTwjUPD8ILPZIo2LaLaSw", "base64"},
        {"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0A=", "65 bytes"},
        {"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNE",
         "longer"},
    };
    for (size_t i = 0; i < HF_ARRAY_LEN(cases); i++) {
        hf_signing_key key = {.len = 7};
        hf_err err = {0};
        assert_int_equal(hf_signing_key_parse(hf_str_of(cases[i].secret), &key, &err), HF_E_INVALID);
        assert_non_null(strstr(err.detail, cases[i].why));
        assert_null(strstr(err.detail, "MfKQ"));
        assert_null(strstr(err.detail, "AAEC"));
        assert_int_equal(key.len, 7);
    }
}

static void a_bad_id_is_not_signed(void **state) {
    (void)state;
    hf_signing_key key = key_of(SECRET);
    char text[HF_SIGNATURES_TEXT], longest[130];
    memset(longest, 'x', sizeof longest);
    assert_int_equal(hf_webhook_sign(&key, 1, (hf_str){longest, 128}, AT, BODY, text, NULL), HF_OK);
    assert_int_equal(hf_webhook_sign(&key, 1, (hf_str){longest, 129}, AT, BODY, text, NULL), HF_E_INVALID);
    static const char *const bad[] = {"", "a.b", "a b", "a\nb", "\x7f", "\xc3\xa4"};
    for (size_t i = 0; i < HF_ARRAY_LEN(bad); i++)
        assert_int_equal(hf_webhook_sign(&key, 1, hf_str_of(bad[i]), AT, BODY, text, NULL), HF_E_INVALID);
}

static void a_wiped_key_is_gone(void **state) {
    (void)state;
    hf_signing_key key = key_of(SECRET), zero;
    memset(&zero, 0, sizeof zero);
    hf_signing_key_wipe(&key);
    assert_memory_equal(&key, &zero, sizeof key);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vector_of_the_specification), cmocka_unit_test(while_rotating_both_secrets_verify),
        cmocka_unit_test(nothing_else_verifies),           cmocka_unit_test(what_is_no_secret_is_refused_and_not_shown),
        cmocka_unit_test(a_bad_id_is_not_signed),          cmocka_unit_test(a_wiped_key_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
