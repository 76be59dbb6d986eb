/* What an OCSP response is worth: who may sign it, which certificate it is about, and for how long it holds. Whatever is
 * wrong with one makes it unusable, never good. */
#include "sallyport/pki/ocsp.h"

#include "ocsp_fixture.h"
#include "pki_bench.h"
#include "sallyport/pki/x509.h"

struct world {
    struct fix_cert ca, other_ca, leaf, sibling;
    struct fix_cert delegated, without_eku, by_other_ca, expired_delegate, weak_delegate;
};

static void open_world(struct world *w)
{
    w->ca = fix_issue(&(struct fix_spec){.subject = "CN=CA"}, NULL, true);
    w->other_ca = fix_issue(&(struct fix_spec){.subject = "CN=Other CA"}, NULL, true);
    w->leaf = fix_issue(&(struct fix_spec){.subject = "CN=leaf"}, &w->ca, false);
    w->sibling = fix_issue(&(struct fix_spec){.subject = "CN=sibling"}, &w->ca, false);
    const struct fix_spec responder = {.subject = "CN=responder", .eku = "OCSPSigning"};
    struct fix_spec odd = responder;
    w->delegated = fix_issue(&responder, &w->ca, false);
    w->by_other_ca = fix_issue(&responder, &w->other_ca, false);
    odd.eku = "clientAuth";
    w->without_eku = fix_issue(&odd, &w->ca, false);
    odd = responder;
    odd.to = -FIX_HOUR;
    w->expired_delegate = fix_issue(&odd, &w->ca, false);
    odd = responder;
    odd.rsa_bits = 1024;
    w->weak_delegate = fix_issue(&odd, &w->ca, false);
}

static void close_world(struct world *w)
{
    struct fix_cert *all[] = {&w->ca, &w->other_ca, &w->leaf, &w->sibling, &w->delegated, &w->without_eku,
        &w->by_other_ca, &w->expired_delegate, &w->weak_delegate};
    for (size_t i = 0; i < SP_COUNTOF(all); i++)
        fix_free(all[i]);
}

/* About w->leaf, issued by w->ca. */
static struct sp_ocsp_answer judge(const struct world *w, struct sp_slice response)
{
    struct sp_ocsp_answer a;
    struct sp_buf id = {0};
    struct sp_err err = {0};
    assert_int_equal(sp_ocsp_cert_id(w->leaf.cert, w->ca.cert, &id, &err), SP_OK);
    sp_ocsp_judge(response, sp_buf_slice(&id), w->ca.cert, FIX_NOW, &a);
    sp_buf_free(&id);
    return a;
}

static struct sp_ocsp_answer judge_spec(const struct world *w, const struct fix_ocsp_spec *spec)
{
    struct sp_slice response = fix_ocsp(spec);
    struct sp_ocsp_answer a = judge(w, response);
    OPENSSL_free((void *)response.ptr);
    return a;
}

static void expect(
    const struct sp_ocsp_answer *a, enum sp_ocsp_status want, const char *words, const char *name)
{
    if (a->status != want || strstr(a->detail, words) == NULL)
        print_message("%s: got %d, \"%s\"\n", name, a->status, a->detail);
    assert_int_equal(a->status, want);
    assert_non_null(strstr(a->detail, words));
}

static void test_only_the_issuer_and_whom_it_certified_for_that_may_sign(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    const struct {
        const char *name;
        struct fix_ocsp_spec spec;
        enum sp_ocsp_status want;
        const char *words;
    } cases[] = {
        {"the issuer", {.signer = &w.ca}, SP_OCSP_GOOD, "good, said at 2027-"},
        {"the issuer, by its key", {.signer = &w.ca, .by_key = true}, SP_OCSP_GOOD, "good"},
        {"the issuer, not sent along", {.signer = &w.ca, .without_certs = true}, SP_OCSP_GOOD, "good"},
        {"a delegated responder", {.signer = &w.delegated}, SP_OCSP_GOOD, "good"},
        {"a delegated responder, by its key", {.signer = &w.delegated, .by_key = true}, SP_OCSP_GOOD, "good"},
        {"a delegated responder, not sent along", {.signer = &w.delegated, .without_certs = true},
            SP_OCSP_UNUSABLE, "signer certificate not found"},
        {"a certificate of the issuer without OCSPSigning", {.signer = &w.without_eku}, SP_OCSP_UNUSABLE,
            "signed by neither"},
        {"a responder of another CA", {.signer = &w.by_other_ca}, SP_OCSP_UNUSABLE,
            "certificate verify error"},
        {"a responder of another CA, which comes along", {.signer = &w.by_other_ca, .more = &w.other_ca},
            SP_OCSP_UNUSABLE, "certificate verify error"},
        {"another CA itself", {.signer = &w.other_ca}, SP_OCSP_UNUSABLE, "certificate verify error"},
        {"the certificate itself", {.signer = &w.leaf}, SP_OCSP_UNUSABLE, "signed by neither"},
        {"an expired responder", {.signer = &w.expired_delegate}, SP_OCSP_UNUSABLE, "has expired"},
        {"a responder with a weak key", {.signer = &w.weak_delegate}, SP_OCSP_UNUSABLE, "key too weak"},
        {"a broken signature", {.signer = &w.ca, .break_signature = true}, SP_OCSP_UNUSABLE,
            "signature failure"},
        {"a broken signature of a responder", {.signer = &w.delegated, .break_signature = true},
            SP_OCSP_UNUSABLE, "signature failure"},
        {"a signature over SHA-1", {.signer = &w.ca, .md = EVP_sha1()}, SP_OCSP_UNUSABLE, "can be forged"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct fix_ocsp_spec spec = cases[i].spec;
        spec.about = &w.leaf;
        spec.issuer = &w.ca;
        struct sp_ocsp_answer a = judge_spec(&w, &spec);
        expect(&a, cases[i].want, cases[i].words, cases[i].name);
    }
    close_world(&w);
}

static void test_what_it_says_counts_only_about_this_certificate_and_in_its_time(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    const struct {
        const char *name;
        struct fix_ocsp_spec spec;
        enum sp_ocsp_status want;
        const char *words;
    } cases[] = {
        {"good", {.about = &w.leaf}, SP_OCSP_GOOD, "good"},
        {"revoked", {.about = &w.leaf, .status = V_OCSP_CERTSTATUS_REVOKED}, SP_OCSP_REVOKED,
            "revoked at 2027-01-15T06:00:00Z, said at 2027-01-15T07:00:00Z"},
        {"revoked for a reason",
            {.about = &w.leaf,
                .status = V_OCSP_CERTSTATUS_REVOKED,
                .reason = OCSP_REVOKED_STATUS_KEYCOMPROMISE},
            SP_OCSP_REVOKED, "for keyCompromise"},
        {"unknown", {.about = &w.leaf, .status = V_OCSP_CERTSTATUS_UNKNOWN}, SP_OCSP_UNKNOWN,
            "does not know"},
        {"a CertID with SHA-256", {.about = &w.leaf, .id_md = EVP_sha256()}, SP_OCSP_GOOD, "good"},
        {"a CertID with SHA-512", {.about = &w.leaf, .id_md = EVP_sha512()}, SP_OCSP_GOOD, "good"},
        {"a CertID with MD5", {.about = &w.leaf, .id_md = EVP_md5()}, SP_OCSP_UNUSABLE,
            "another certificate"},
        {"another serial", {.about = &w.sibling}, SP_OCSP_UNUSABLE, "another certificate"},
        {"among others", {.about = &w.leaf, .others = 9}, SP_OCSP_GOOD, "good"},
        {"among too many", {.about = &w.leaf, .others = 64}, SP_OCSP_UNUSABLE, "more than 64"},
        {"expired", {.about = &w.leaf, .from = -2 * FIX_HOUR, .to = -FIX_HOUR}, SP_OCSP_UNUSABLE,
            "expired: nextUpdate 2027-01-15T07:00:00Z"},
        {"expired within the skew", {.about = &w.leaf, .to = -30}, SP_OCSP_GOOD, "good"},
        {"from the future", {.about = &w.leaf, .from = FIX_HOUR}, SP_OCSP_UNUSABLE, "from the future"},
        {"from the future within the skew", {.about = &w.leaf, .from = 30}, SP_OCSP_GOOD, "good"},
        {"backwards", {.about = &w.leaf, .from = -10, .to = -20}, SP_OCSP_UNUSABLE, "ends before it begins"},
        {"without end, fresh", {.about = &w.leaf, .from = -10, .no_end = true}, SP_OCSP_GOOD, "good"},
        {"without end, old", {.about = &w.leaf, .no_end = true}, SP_OCSP_UNUSABLE, "without nextUpdate"},
        {"a critical extension", {.about = &w.leaf, .critical_in_all = true}, SP_OCSP_UNUSABLE, "critical"},
        {"a critical extension within", {.about = &w.leaf, .critical_in_one = true}, SP_OCSP_UNUSABLE,
            "critical"},
        {"tryLater", {.outer = OCSP_RESPONSE_STATUS_TRYLATER}, SP_OCSP_UNUSABLE, "trylater"},
        {"unauthorized", {.outer = OCSP_RESPONSE_STATUS_UNAUTHORIZED}, SP_OCSP_UNUSABLE, "unauthorized"},
    };
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct fix_ocsp_spec spec = cases[i].spec;
        spec.issuer = &w.ca;
        struct sp_ocsp_answer a = judge_spec(&w, &spec);
        expect(&a, cases[i].want, cases[i].words, cases[i].name);
    }
    close_world(&w);
}

static void test_the_end_of_an_answer_is_its_next_update_or_soon(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    struct sp_ocsp_answer a = judge_spec(&w, &(struct fix_ocsp_spec){.about = &w.leaf, .issuer = &w.ca});
    assert_int_equal(a.this_update, FIX_NOW - FIX_HOUR);
    assert_int_equal(a.until, FIX_NOW + FIX_DAY);
    assert_false(a.is_endless);
    a = judge_spec(
        &w, &(struct fix_ocsp_spec){.about = &w.leaf, .issuer = &w.ca, .from = -10, .no_end = true});
    assert_int_equal(a.until, FIX_NOW - 10 + SP_OCSP_ENDLESS_S);
    assert_true(a.is_endless);
    a = judge_spec(
        &w, &(struct fix_ocsp_spec){.about = &w.leaf, .issuer = &w.ca, .status = V_OCSP_CERTSTATUS_REVOKED});
    assert_int_equal(a.revoked_at, FIX_NOW - 2 * FIX_HOUR);
    assert_null(a.reason);
    close_world(&w);
}

static void test_a_responder_of_the_same_name_under_another_ca_may_not_speak(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    /* It has the issuer's name and signs with a key of its own: the CA that a man in the middle would make. */
    struct fix_cert impostor = fix_issue(&(struct fix_spec){.subject = "CN=CA"}, NULL, true);
    struct fix_cert helper =
        fix_issue(&(struct fix_spec){.subject = "CN=responder", .eku = "OCSPSigning"}, &impostor, false);
    const struct fix_cert *signers[] = {&impostor, &helper};
    for (size_t i = 0; i < SP_COUNTOF(signers); i++) {
        struct sp_ocsp_answer a =
            judge_spec(&w, &(struct fix_ocsp_spec){
                               .about = &w.leaf, .issuer = &w.ca, .signer = signers[i], .more = &impostor});
        expect(&a, SP_OCSP_UNUSABLE, "signed by neither", "impostor");
        a = judge_spec(
            &w, &(struct fix_ocsp_spec){
                    .about = &w.leaf, .issuer = &impostor, .signer = signers[i], .more = &impostor});
        expect(&a, SP_OCSP_UNUSABLE, "signed by neither", "impostor about its own");
    }
    fix_free(&impostor);
    fix_free(&helper);
    close_world(&w);
}

static void test_anything_cut_off_or_changed_is_unusable(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    struct sp_slice whole =
        fix_ocsp(&(struct fix_ocsp_spec){.about = &w.leaf, .issuer = &w.ca, .signer = &w.delegated});
    char *copy = malloc(whole.len + 1);
    assert_non_null(copy);
    for (size_t len = 0; len < whole.len; len++) {
        char *exact = malloc(len + 1); /* the sanitizer sees whoever reads on */
        assert_non_null(exact);
        memcpy(exact, whole.ptr, len);
        struct sp_ocsp_answer a = judge(&w, (struct sp_slice){exact, len});
        assert_int_equal(a.status, SP_OCSP_UNUSABLE);
        assert_true(a.detail[0] != '\0');
        free(exact);
    }
    memcpy(copy, whole.ptr, whole.len);
    copy[whole.len] = 0;
    struct sp_ocsp_answer a = judge(&w, (struct sp_slice){copy, whole.len + 1});
    expect(&a, SP_OCSP_UNUSABLE, "followed by other bytes", "a byte too many");
    a = judge(&w, whole);
    expect(&a, SP_OCSP_GOOD, "good", "the whole");
    for (size_t i = 0; i < whole.len; i += 3) {
        memcpy(copy, whole.ptr, whole.len);
        copy[i] = (char)(copy[i] ^ 0x41);
        a = judge(&w, (struct sp_slice){copy, whole.len});
        /* A changed byte of the certificate that comes along and of its form may not matter; it never changes what is said. */
        assert_true(a.status == SP_OCSP_UNUSABLE || a.status == SP_OCSP_GOOD);
    }
    free(copy);
    OPENSSL_free((void *)whole.ptr);
    close_world(&w);
}

static void test_what_is_no_response_is_named(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    char *huge = calloc(1, SP_OCSP_MAX_BYTES + 1);
    assert_non_null(huge);
    struct sp_slice leaf = fix_der(&w.leaf);
    struct sp_ocsp_answer a = judge(&w, SP_SLICE(""));
    expect(&a, SP_OCSP_UNUSABLE, "empty", "nothing");
    a = judge(&w, SP_SLICE("<html>502 Bad Gateway</html>"));
    expect(&a, SP_OCSP_UNUSABLE, "not an OCSP response", "HTML");
    a = judge(&w, leaf);
    expect(&a, SP_OCSP_UNUSABLE, "not an OCSP response", "a certificate");
    a = judge(&w, (struct sp_slice){huge, SP_OCSP_MAX_BYTES + 1});
    expect(&a, SP_OCSP_UNUSABLE, "larger than 32 KiB", "too much");
    sp_ocsp_judge(SP_SLICE("x"), SP_SLICE("\x30"), w.ca.cert, FIX_NOW, &a);
    expect(&a, SP_OCSP_UNUSABLE, "no CertID", "no question");
    free(huge);
    OPENSSL_free((void *)leaf.ptr);
    close_world(&w);
}

/* ---- a client ---- */

static struct sp_identity *admit(const struct bench *b, X509 *const *sent, size_t count)
{
    struct sp_verdict v;
    STACK_OF(X509) *list = sk_X509_new_null();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    for (size_t i = 0; i < count; i++)
        assert_true(sk_X509_push(list, sent[i]) > 0);
    assert_int_equal(X509_STORE_CTX_init(ctx, sp_trust_store(b->trust), sent[0], list), 1);
    struct sp_identity *id = sp_trust_admit(b->trust, ctx, FIX_NOW, &v);
    assert_non_null(id);
    X509_STORE_CTX_free(ctx);
    sk_X509_free(list);
    return id;
}

static void test_a_clients_issuer_is_found_in_the_bundle_and_in_its_chain(void **state)
{
    (void)state;
    struct fix_cert root = fix_issue(&(struct fix_spec){.subject = "CN=Root"}, NULL, true);
    struct fix_cert inter = fix_issue(&(struct fix_spec){.subject = "CN=Inter"}, &root, true);
    struct fix_cert direct = fix_issue(&(struct fix_spec){.subject = "CN=direct"}, &root, false);
    struct fix_cert below = fix_issue(&(struct fix_spec){.subject = "CN=below"}, &inter, false);
    struct bench b = {
        .auth = {.depth = 4, .crl_missing = SP_CRL_MISSING_ACCEPT, .ocsp_url = "http://127.0.0.1/"}};
    bench_ca(&b, fix_write_certs("ocsp-root.pem", &root.cert, 1));
    bench_open(&b);
    const struct {
        const struct fix_cert *leaf, *issuer, *liar;
    } cases[] = {{&direct, &root, &inter}, {&below, &inter, &root}};
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        X509 *sent[] = {cases[i].leaf->cert, inter.cert};
        struct sp_identity *id = admit(&b, sent, 2);
        struct sp_ocsp_answer a;
        assert_true(id->ocsp_cert_id.len > 0);
        struct sp_slice said =
            fix_ocsp(&(struct fix_ocsp_spec){.about = cases[i].leaf, .issuer = cases[i].issuer});
        sp_trust_judge_ocsp(b.trust, id, said, FIX_NOW, &a);
        expect(&a, SP_OCSP_GOOD, "good", "the issuer");
        OPENSSL_free((void *)said.ptr);
        said = fix_ocsp(&(struct fix_ocsp_spec){
            .about = cases[i].leaf, .issuer = cases[i].issuer, .signer = cases[i].liar});
        sp_trust_judge_ocsp(b.trust, id, said, FIX_NOW, &a);
        expect(&a, SP_OCSP_UNUSABLE, "signed by neither", "another CA that is trusted");
        OPENSSL_free((void *)said.ptr);
        sp_identity_free(id);
    }
    bench_close(&b);
    fix_free(&root);
    fix_free(&inter);
    fix_free(&direct);
    fix_free(&below);
}

static void test_a_responder_that_a_crl_lists_is_not_believed(void **state)
{
    (void)state;
    struct world w;
    open_world(&w);
    struct fix_cert fresh =
        fix_issue(&(struct fix_spec){.subject = "CN=new responder", .eku = "OCSPSigning"}, &w.ca, false);
    X509_CRL *crl = fix_crl(&(struct fix_crl_spec){.revoked = {w.delegated.cert}}, &w.ca);
    struct bench b = {.auth = {.depth = 4, .ocsp_url = "http://127.0.0.1/"}};
    bench_ca(&b, fix_write_certs("ocsp-ca.pem", &w.ca.cert, 1));
    bench_crl(&b, fix_write_crls("ocsp-ca.crl", &crl, 1));
    bench_open(&b);
    struct sp_identity *id = admit(&b, &w.leaf.cert, 1);
    const struct {
        const struct fix_cert *signer;
        enum sp_ocsp_status want;
        const char *words;
    } cases[] = {{&w.delegated, SP_OCSP_UNUSABLE, "own certificate is revoked"},
        {&fresh, SP_OCSP_GOOD, "good"}, {&w.ca, SP_OCSP_GOOD, "good"}};
    for (size_t i = 0; i < SP_COUNTOF(cases); i++) {
        struct sp_ocsp_answer a;
        struct sp_slice said =
            fix_ocsp(&(struct fix_ocsp_spec){.about = &w.leaf, .issuer = &w.ca, .signer = cases[i].signer});
        sp_trust_judge_ocsp(b.trust, id, said, FIX_NOW, &a);
        expect(&a, cases[i].want, cases[i].words, "responder and CRL");
        OPENSSL_free((void *)said.ptr);
    }
    sp_identity_free(id);
    bench_close(&b);
    X509_CRL_free(crl);
    fix_free(&fresh);
    close_world(&w);
}

static void test_an_identity_without_a_known_issuer_is_not_judged(void **state)
{
    (void)state;
    struct world w;
    struct bench b = {.auth = {.depth = 4, .crl_missing = SP_CRL_MISSING_ACCEPT}};
    struct sp_identity *id = NULL;
    struct sp_err err = {0};
    struct sp_ocsp_answer a;
    open_world(&w);
    bench_ca(&b, fix_write_certs("ocsp-other.pem", &w.other_ca.cert, 1));
    bench_open(&b);
    struct sp_slice der = fix_der(&w.leaf);
    assert_int_equal(sp_identity_from_der(der, NULL, 0, &id, &err), SP_OK);
    sp_trust_judge_ocsp(b.trust, id, SP_SLICE("x"), FIX_NOW, &a);
    expect(&a, SP_OCSP_UNUSABLE, "issuer is not at hand", "no CertID");
    sp_identity_free(id);
    OPENSSL_free((void *)der.ptr);
    bench_close(&b);
    close_world(&w);
}

/* ---- our own certificates ---- */

static void test_a_chain_file_gives_question_and_judge(void **state)
{
    (void)state;
    struct world w;
    struct sp_ocsp_subject *s = NULL;
    struct sp_err err = {0};
    struct sp_ocsp_answer a;
    open_world(&w);
    X509 *chain[] = {w.leaf.cert, w.other_ca.cert, w.ca.cert};
    assert_int_equal(sp_ocsp_subject_load(fix_write_certs("chain.pem", chain, 3), &s, &err), SP_OK);
    struct sp_slice asked = sp_ocsp_subject_request(s);
    const unsigned char *p = (const unsigned char *)asked.ptr;
    OCSP_REQUEST *request = d2i_OCSP_REQUEST(NULL, &p, (long)asked.len);
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), w.leaf.cert, w.ca.cert);
    assert_non_null(request);
    assert_int_equal(OCSP_request_onereq_count(request), 1);
    assert_int_equal(OCSP_id_cmp(OCSP_onereq_get0_id(OCSP_request_onereq_get0(request, 0)), id), 0);
    assert_int_equal(OCSP_REQUEST_get_ext_count(request), 0); /* no nonce */
    assert_null(sp_ocsp_subject_responder(s));
    struct sp_slice said = fix_ocsp(&(struct fix_ocsp_spec){.about = &w.leaf, .issuer = &w.ca});
    sp_ocsp_subject_judge(s, said, FIX_NOW, &a);
    expect(&a, SP_OCSP_GOOD, "good", "our own");
    OPENSSL_free((void *)said.ptr);
    OCSP_CERTID_free(id);
    OCSP_REQUEST_free(request);
    sp_ocsp_subject_free(s);
    close_world(&w);
}

static void test_a_chain_file_without_the_issuer_is_named(void **state)
{
    (void)state;
    struct world w;
    struct sp_ocsp_subject *s = NULL;
    struct sp_err err = {0};
    open_world(&w);
    struct fix_cert impostor = fix_issue(&(struct fix_spec){.subject = "CN=CA"}, NULL, true);
    X509 *chain[] = {w.leaf.cert, impostor.cert};
    assert_int_equal(sp_ocsp_subject_load(fix_write_certs("lone.pem", chain, 1), &s, &err), SP_FAIL);
    assert_non_null(strstr(err.text, "lone.pem: the certificate of its issuer is not in the file"));
    assert_int_equal(sp_ocsp_subject_load(fix_write_certs("wrong.pem", chain, 2), &s, &err), SP_FAIL);
    assert_non_null(strstr(err.text, "issuer is not in the file"));
    assert_int_equal(sp_ocsp_subject_load(fix_write_certs("self.pem", &w.ca.cert, 1), &s, &err), SP_FAIL);
    assert_non_null(strstr(err.text, "self-signed"));
    assert_int_equal(sp_ocsp_subject_load("/nonexistent/chain.pem", &s, &err), SP_FAIL);
    assert_null(s);
    fix_free(&impostor);
    close_world(&w);
}

static void test_a_responses_file_is_bounded_and_its_absence_is_told_apart(void **state)
{
    (void)state;
    struct sp_buf out = {0};
    struct sp_err err = {0};
    char *huge = calloc(1, SP_OCSP_MAX_BYTES + 2);
    assert_non_null(huge);
    memset(huge, 'x', SP_OCSP_MAX_BYTES + 1);
    assert_int_equal(sp_ocsp_load("/nonexistent/x.ocsp", &out, &err), SP_FAIL);
    assert_int_equal(err.sys, 2);
    assert_int_equal(sp_ocsp_load(fix_folder(), &out, &err), SP_FAIL);
    assert_int_equal(err.sys, 0);
    assert_int_equal(sp_ocsp_load(fix_write_text("empty.ocsp", ""), &out, &err), SP_FAIL);
    assert_non_null(strstr(err.text, "empty"));
    assert_int_equal(sp_ocsp_load(fix_write_text("huge.ocsp", huge), &out, &err), SP_FAIL);
    assert_non_null(strstr(err.text, "larger than"));
    sp_buf_reset(&out);
    assert_int_equal(sp_ocsp_load(fix_write_text("small.ocsp", "abc"), &out, &err), SP_OK);
    assert_true(sp_slice_equal(sp_buf_slice(&out), SP_SLICE("abc")));
    sp_buf_free(&out);
    free(huge);
}

static int remove_files(void **state)
{
    (void)state;
    fix_remove_folder();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_issuer_and_whom_it_certified_for_that_may_sign),
        cmocka_unit_test(test_what_it_says_counts_only_about_this_certificate_and_in_its_time),
        cmocka_unit_test(test_the_end_of_an_answer_is_its_next_update_or_soon),
        cmocka_unit_test(test_a_responder_of_the_same_name_under_another_ca_may_not_speak),
        cmocka_unit_test(test_anything_cut_off_or_changed_is_unusable),
        cmocka_unit_test(test_what_is_no_response_is_named),
        cmocka_unit_test(test_a_clients_issuer_is_found_in_the_bundle_and_in_its_chain),
        cmocka_unit_test(test_a_responder_that_a_crl_lists_is_not_believed),
        cmocka_unit_test(test_an_identity_without_a_known_issuer_is_not_judged),
        cmocka_unit_test(test_a_chain_file_gives_question_and_judge),
        cmocka_unit_test(test_a_chain_file_without_the_issuer_is_named),
        cmocka_unit_test(test_a_responses_file_is_bounded_and_its_absence_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, remove_files);
}
