/* What finds room: limits.requests and limits.memory, over all workers. The newest is turned away, before anything is done for
 * it, so that what was admitted never fails for want of a buffer: it has reserved every block that it can come to hold.
 *
 *   a head that is not complete    HEAD_BLOCKS
 *   an exchange                    EXCHANGE_BLOCKS, those included; and the tunnel that it may come to be
 *   a connection in mode tcp       TUNNEL_BLOCKS
 *
 * A connection on which nothing is under way holds no block and reserves none. The blocks themselves come from the
 * worker's pool, whose own bound is above the limit (worker.c). */
#include "proxy/proxy_impl.h"

/* Both codecs, each with a block for what comes, one for what is made of its head, and one for what goes. The kept copy of a
 * request's body (retry.c) is there before the response is, a tunnel's two when the codecs' own are empty. Without a codec
 * there is one for each way. */
#define HEAD_BLOCKS     2
#define EXCHANGE_BLOCKS 6
#define TUNNEL_BLOCKS   2

#define ONE_REQUEST (UINT64_C(1) << 32)

static enum sp_refusal reserve(struct sp_session *s, uint64_t what)
{
    const struct sp_config_limits *limits = &s->worker->view->snapshot->config->limits;
    struct sp_tally *tally = s->worker->o.tally;
    uint64_t sum = atomic_fetch_add_explicit(&tally->admitted, what, memory_order_relaxed) + what;
    enum sp_refusal reason = SP_REFUSAL_none;

    if (what >= ONE_REQUEST && sum >> 32 > limits->requests)
        reason = SP_REFUSAL_too_many_requests;
    else if ((sum & (ONE_REQUEST - 1)) * SP_IO_BLOCK > limits->memory_bytes)
        reason = SP_REFUSAL_out_of_buffers;
    if (reason != SP_REFUSAL_none)
        atomic_fetch_sub_explicit(&tally->admitted, what, memory_order_relaxed);
    return reason;
}

static void give_back(struct sp_session *s, uint64_t what)
{
    atomic_fetch_sub_explicit(&s->worker->o.tally->admitted, what, memory_order_relaxed);
}

bool sp_admit_head(struct sp_session *s)
{
    if (!s->has_head_blocks)
        s->has_head_blocks = reserve(s, HEAD_BLOCKS) == SP_REFUSAL_none;
    return s->has_head_blocks;
}

void sp_admit_head_end(struct sp_session *s)
{
    if (s->has_head_blocks)
        give_back(s, HEAD_BLOCKS);
    s->has_head_blocks = false;
}

static uint64_t what_it_needs(const struct sp_session *s)
{
    return ONE_REQUEST + (s->is_tcp ? TUNNEL_BLOCKS : EXCHANGE_BLOCKS);
}

enum sp_refusal sp_admit(struct sp_exchange *x)
{
    struct sp_session *s = x->session;
    enum sp_refusal reason = reserve(s, what_it_needs(s) - (s->has_head_blocks ? HEAD_BLOCKS : 0));

    if (reason != SP_REFUSAL_none)
        return reason;
    s->has_head_blocks = false; /* they are among these now */
    x->admitted = true;
    return SP_REFUSAL_none;
}

void sp_admit_end(struct sp_exchange *x)
{
    if (x->admitted)
        give_back(x->session, what_it_needs(x->session));
    x->admitted = false;
}
