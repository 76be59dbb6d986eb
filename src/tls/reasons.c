/* OpenSSL's error queue, told in the closed list's words. */
#include <stdio.h>

#include "tls_private.h"

#define ANY_REASON (-1)

/* In order of weight: of several errors in the queue the one of the uppermost row counts, and its text is the
 * detail. */
static const struct {
    int lib, reason;
    enum sp_refusal refusal;
} rows[] = {
    {ERR_LIB_SSL, SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, SP_REFUSAL_no_certificate},
    {ERR_LIB_SSL, SSL_R_UNSUPPORTED_PROTOCOL, SP_REFUSAL_protocol_version},
    {ERR_LIB_SSL, SSL_R_VERSION_TOO_LOW, SP_REFUSAL_protocol_version},
    {ERR_LIB_SSL, SSL_R_VERSION_TOO_HIGH, SP_REFUSAL_protocol_version},
    {ERR_LIB_SSL, SSL_R_WRONG_VERSION_NUMBER, SP_REFUSAL_protocol_version},
    {ERR_LIB_SSL, SSL_R_WRONG_SSL_VERSION, SP_REFUSAL_protocol_version},
    {ERR_LIB_SSL, SSL_R_UNSUPPORTED_SSL_VERSION, SP_REFUSAL_protocol_version},
    {ERR_LIB_SSL, SSL_R_INAPPROPRIATE_FALLBACK, SP_REFUSAL_protocol_version},
    {ERR_LIB_SSL, SSL_R_NO_PROTOCOLS_AVAILABLE, SP_REFUSAL_protocol_version},
    {ERR_LIB_SSL, SSL_R_NO_SHARED_CIPHER, SP_REFUSAL_no_shared_cipher},
    {ERR_LIB_SSL, SSL_R_NO_SHARED_GROUPS, SP_REFUSAL_no_shared_cipher},
    {ERR_LIB_SSL, SSL_R_NO_SUITABLE_KEY_SHARE, SP_REFUSAL_no_shared_cipher},
    {ERR_LIB_SSL, SSL_R_NO_SUITABLE_GROUPS, SP_REFUSAL_no_shared_cipher},
    {ERR_LIB_SSL, SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, SP_REFUSAL_no_shared_cipher},
    {ERR_LIB_SSL, SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, SP_REFUSAL_no_shared_cipher},
    {ERR_LIB_SSL, SSL_R_WRONG_CURVE, SP_REFUSAL_no_shared_cipher},
    {ERR_LIB_SSL, SSL_R_NO_APPLICATION_PROTOCOL, SP_REFUSAL_no_alpn},
    {ERR_LIB_SSL, SSL_R_EXCESSIVE_MESSAGE_SIZE, SP_REFUSAL_too_large},
    {ERR_LIB_SSL, SSL_R_EE_KEY_TOO_SMALL, SP_REFUSAL_weak_key},
    {ERR_LIB_SSL, SSL_R_CA_KEY_TOO_SMALL, SP_REFUSAL_weak_key},
    {ERR_LIB_SSL, SSL_R_CA_MD_TOO_WEAK, SP_REFUSAL_weak_key},
    {ERR_LIB_SSL, SSL_R_BAD_SIGNATURE, SP_REFUSAL_bad_certificate_verify},
    {ERR_LIB_SSL, SSL_R_WRONG_SIGNATURE_TYPE, SP_REFUSAL_bad_certificate_verify},
    {ERR_LIB_SSL, SSL_R_WRONG_SIGNATURE_SIZE, SP_REFUSAL_bad_certificate_verify},
    {ERR_LIB_SSL, SSL_R_SIGNATURE_FOR_NON_SIGNING_CERTIFICATE, SP_REFUSAL_bad_certificate_verify},
    {ERR_LIB_SSL, SSL_R_UNEXPECTED_EOF_WHILE_READING, SP_REFUSAL_client_closed},
    {ERR_LIB_SSL, SSL_R_CERT_LENGTH_MISMATCH, SP_REFUSAL_certificate_invalid},
    {ERR_LIB_SSL, SSL_R_UNKNOWN_CERTIFICATE_TYPE, SP_REFUSAL_certificate_invalid},
    {ERR_LIB_SSL, SSL_R_UNABLE_TO_FIND_PUBLIC_KEY_PARAMETERS, SP_REFUSAL_certificate_invalid},
    {ERR_LIB_ASN1, ANY_REASON, SP_REFUSAL_certificate_invalid},
    {ERR_LIB_SSL, ERR_R_ASN1_LIB, SP_REFUSAL_certificate_invalid},
    {ERR_LIB_SSL, ERR_R_X509_LIB, SP_REFUSAL_certificate_invalid},
    {ERR_LIB_SSL, ERR_R_MALLOC_FAILURE, SP_REFUSAL_out_of_memory},
};

/* OpenSSL's, but where they do not tell the client's owner what to change. */
static const char *words_of(unsigned long error)
{
    static const struct {
        int lib, reason;
        const char *words;
    } ours[] = {
        {ERR_LIB_SSL, SSL_R_WRONG_CURVE, /* with TLS 1.3 such a key finds no algorithm to sign with */
            "the client's key is on a curve that is not taken: P-256, P-384 and P-521 are"},
    };
    for (size_t i = 0; i < SP_COUNTOF(ours); i++) {
        if (ours[i].lib == ERR_GET_LIB(error) && ours[i].reason == ERR_GET_REASON(error))
            return ours[i].words;
    }
    return ERR_reason_error_string(error);
}

static size_t row_of(unsigned long error)
{
    size_t i = 0;
    while (i < SP_COUNTOF(rows) &&
           (rows[i].lib != ERR_GET_LIB(error) ||
               (rows[i].reason != ANY_REASON && rows[i].reason != ERR_GET_REASON(error))))
        i++;
    return i;
}

/* An alert that the peer sent: OpenSSL's reason is the alert's number and SSL_AD_REASON_OFFSET. */
static bool is_alert(unsigned long error)
{
    int reason = ERR_GET_REASON(error);
    return ERR_GET_LIB(error) == ERR_LIB_SSL && reason >= SSL_AD_REASON_OFFSET &&
           reason < SSL_AD_REASON_OFFSET + 256;
}

enum sp_refusal reason_of_queue(const char *peer, char *detail, size_t room)
{
    unsigned long error, weightiest = 0;
    size_t row = SP_COUNTOF(rows);
    while ((error = ERR_get_error()) != 0) {
        if (is_alert(error)) {
            int alert = ERR_GET_REASON(error) - SSL_AD_REASON_OFFSET;
            snprintf(
                detail, room, "the %s sent alert %d: %s", peer, alert, SSL_alert_desc_string_long(alert));
            ERR_clear_error();
            return SP_REFUSAL_client_alert;
        }
        size_t found = row_of(error);
        if (found < row || weightiest == 0) {
            row = found;
            weightiest = error;
        }
    }
    if (weightiest == 0)
        return SP_REFUSAL_none;
    const char *text = words_of(weightiest);
    if (text != NULL)
        snprintf(detail, room, "%s", text);
    else
        snprintf(detail, room, "OpenSSL error %08lx", weightiest);
    return row < SP_COUNTOF(rows) ? rows[row].refusal : SP_REFUSAL_tls_error;
}

const char *openssl_reason(void)
{
    unsigned long error = ERR_peek_last_error();
    const char *text = error != 0 ? ERR_reason_error_string(error) : NULL;
    ERR_clear_error();
    return text != NULL ? text : "OpenSSL gives no reason";
}
