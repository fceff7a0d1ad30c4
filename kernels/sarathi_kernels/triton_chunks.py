"""Triton: tiles of chunks' queries against their contexts in the paged cache (FlashAttention, Dao et al. 2022)."""

import triton
import triton.language as tl

MASKED = tl.constexpr(-1.0e30)  # finite, so that (masked - masked) is no NaN


# What differs from batch to batch is not specialized: no kernel may be compiled while a request waits.
@triton.jit(do_not_specialize=["first_seq", "table_stride", "window"])
def attend_chunks(
    q: tl.tensor,  # [num_tokens, num_heads, head_dim]
    out: tl.tensor,  # the same shape
    k_cache: tl.tensor,  # [num_blocks, block_size, num_kv_heads, head_dim]
    v_cache: tl.tensor,
    query_start: tl.tensor,  # [num_seqs + 1] int32
    context_lens: tl.tensor,  # [num_seqs] int32
    block_tables: tl.tensor,  # [num_seqs, max_blocks] int32
    first_seq: tl.tensor,
    scale: tl.tensor,  # log2(e) / sqrt(head_dim): powers of two are cheaper
    q_token_stride: tl.tensor,
    q_head_stride: tl.tensor,
    out_token_stride: tl.tensor,
    out_head_stride: tl.tensor,
    block_stride: tl.tensor,
    position_stride: tl.tensor,
    kv_head_stride: tl.tensor,
    table_stride: tl.tensor,
    block_size: tl.tensor,
    window: tl.tensor,  # 0: none
    GROUP: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    PADDED_DIM: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """Attend for one tile (axis 0) of one KV head (axis 1) of one sequence (axis 2).

    The rows of a tile are queries times the heads that share the KV head; some are left over where the
    group is no power of two. Keys are read where they lie, COLUMNS positions at a time.
    """
    queries_per_tile: tl.constexpr = ROWS // GROUP
    seq = first_seq + tl.program_id(2)
    kv_head = tl.program_id(1)
    start = tl.load(query_start + seq)
    num_queries = tl.load(query_start + seq + 1) - start
    first_query = tl.program_id(0) * queries_per_tile
    if first_query >= num_queries:
        return
    before = tl.load(context_lens + seq) - num_queries

    row = tl.arange(0, ROWS)
    query = first_query + row // GROUP
    is_row = (row < queries_per_tile * GROUP) & (query < num_queries)
    head = kv_head * GROUP + row % GROUP
    dim = tl.arange(0, PADDED_DIM)
    is_dim = dim < HEAD_DIM
    is_value = is_row[:, None] & is_dim[None, :]
    token = (start + query).to(tl.int64)
    queries = tl.load(
        q + token[:, None] * q_token_stride + head[:, None] * q_head_stride + dim[None, :], mask=is_value, other=0.0
    )  # [ROWS, PADDED_DIM]

    end = before + tl.minimum(first_query + queries_per_tile, num_queries)
    first_visible = tl.where(window > 0, tl.maximum(before + first_query + 1 - window, 0), 0)
    maximum = tl.full([ROWS], MASKED, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    mixed = tl.zeros([ROWS, PADDED_DIM], tl.float32)
    for first_position in range(first_visible // COLUMNS * COLUMNS, end, COLUMNS):
        position = first_position + tl.arange(0, COLUMNS)
        is_position = (position < end) & (position >= first_visible)
        block = tl.load(block_tables + seq * table_stride + position // block_size, mask=is_position, other=0)
        slot = block.to(tl.int64) * block_stride + position % block_size * position_stride + kv_head * kv_head_stride
        keys = tl.load(
            k_cache + slot[None, :] + dim[:, None], mask=is_position[None, :] & is_dim[:, None], other=0.0
        )  # [PADDED_DIM, COLUMNS]
        scores = tl.dot(queries, keys, input_precision="ieee") * scale
        distance = (before + query)[:, None] - position[None, :]
        is_visible = (distance >= 0) & ((window == 0) | (distance < window))
        scores = tl.where(is_visible, scores, MASKED)

        larger = tl.maximum(maximum, tl.max(scores, 1))
        weights = tl.exp2(scores - larger[:, None])
        shrink = tl.exp2(maximum - larger)
        values = tl.load(
            v_cache + slot[:, None] + dim[None, :], mask=is_position[:, None] & is_dim[None, :], other=0.0
        )  # [COLUMNS, PADDED_DIM]
        mixed = mixed * shrink[:, None] + tl.dot(weights.to(values.dtype), values, input_precision="ieee")
        total = total * shrink + tl.sum(weights, 1)
        maximum = larger

    tl.store(
        out + token[:, None] * out_token_stride + head[:, None] * out_head_stride + dim[None, :],
        (mixed / total[:, None]).to(out.dtype.element_ty),
        mask=is_value,
    )
