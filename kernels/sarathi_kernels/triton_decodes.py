"""Triton: decodes against long contexts, split into spans that run side by side and are joined (Flash-Decoding)."""

import triton
import triton.language as tl

MASKED = tl.constexpr(-1.0e30)  # finite, so that (masked - masked) is no NaN


# What differs from batch to batch is not specialized: no kernel may be compiled while a request waits.
@triton.jit(do_not_specialize=["num_spans", "table_stride", "window"])
def attend_spans(
    q: tl.tensor,  # [num_tokens, num_heads, head_dim]; decode s is token s
    partial_out: tl.tensor,  # [num_decodes, num_heads, num_spans, head_dim] float32
    partial_max: tl.tensor,  # [num_decodes, num_heads, num_spans] float32
    partial_sum: tl.tensor,  # [num_decodes, num_heads, num_spans] float32
    k_cache: tl.tensor,  # [num_blocks, block_size, num_kv_heads, head_dim]
    v_cache: tl.tensor,
    context_lens: tl.tensor,  # [num_seqs] int32
    block_tables: tl.tensor,  # [num_seqs, max_blocks] int32
    scale: tl.tensor,  # log2(e) / sqrt(head_dim): powers of two are cheaper
    num_heads: tl.tensor,
    num_spans: tl.tensor,
    q_token_stride: tl.tensor,
    q_head_stride: tl.tensor,
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
    SPAN: tl.constexpr,
) -> None:
    """Attend to one span (axis 0) of one KV head (axis 1) of one sequence (axis 2), leaving the parts unscaled.

    Spans begin at multiples of SPAN, whoever is in the batch, so that a row's sums keep their order.
    """
    span = tl.program_id(0)
    kv_head = tl.program_id(1)
    seq = tl.program_id(2)
    context_len = tl.load(context_lens + seq)
    first_visible = tl.where(window > 0, tl.maximum(context_len - window, 0), 0)
    end = tl.minimum((span + 1) * SPAN, context_len)
    if end <= tl.maximum(span * SPAN, first_visible):
        return

    row = tl.arange(0, ROWS)
    is_row = row < GROUP
    head = kv_head * GROUP + row
    dim = tl.arange(0, PADDED_DIM)
    is_dim = dim < HEAD_DIM
    is_value = is_row[:, None] & is_dim[None, :]
    queries = tl.load(
        q + seq.to(tl.int64) * q_token_stride + head[:, None] * q_head_stride + dim[None, :], mask=is_value, other=0.0
    )  # [ROWS, PADDED_DIM]

    begin = tl.maximum(span * SPAN, first_visible // COLUMNS * COLUMNS)
    maximum = tl.full([ROWS], MASKED, tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    mixed = tl.zeros([ROWS, PADDED_DIM], tl.float32)
    for first_position in range(begin, end, COLUMNS):
        position = first_position + tl.arange(0, COLUMNS)
        is_position = (position < end) & (position >= first_visible)
        block = tl.load(block_tables + seq * table_stride + position // block_size, mask=is_position, other=0)
        slot = block.to(tl.int64) * block_stride + position % block_size * position_stride + kv_head * kv_head_stride
        keys = tl.load(
            k_cache + slot[None, :] + dim[:, None], mask=is_position[None, :] & is_dim[:, None], other=0.0
        )  # [PADDED_DIM, COLUMNS]
        scores = tl.dot(queries, keys, input_precision="ieee") * scale
        scores = tl.where(is_position[None, :], scores, MASKED)

        larger = tl.maximum(maximum, tl.max(scores, 1))
        weights = tl.exp2(scores - larger[:, None])
        shrink = tl.exp2(maximum - larger)
        values = tl.load(
            v_cache + slot[:, None] + dim[None, :], mask=is_position[:, None] & is_dim[None, :], other=0.0
        )  # [COLUMNS, PADDED_DIM]
        mixed = mixed * shrink[:, None] + tl.dot(weights.to(values.dtype), values, input_precision="ieee")
        total = total * shrink + tl.sum(weights, 1)
        maximum = larger

    part = (seq * num_heads + head).to(tl.int64) * num_spans + span
    tl.store(partial_out + part[:, None] * HEAD_DIM + dim[None, :], mixed, mask=is_value)
    tl.store(partial_max + part, maximum, mask=is_row)
    tl.store(partial_sum + part, total, mask=is_row)


@triton.jit(do_not_specialize=["num_spans", "window"])
def join_spans(
    out: tl.tensor,  # [num_tokens, num_heads, head_dim]; decode s is token s
    partial_out: tl.tensor,  # [num_decodes, num_heads, num_spans, head_dim] float32
    partial_max: tl.tensor,  # [num_decodes, num_heads, num_spans] float32
    partial_sum: tl.tensor,  # [num_decodes, num_heads, num_spans] float32
    context_lens: tl.tensor,  # [num_seqs] int32
    num_heads: tl.tensor,
    num_spans: tl.tensor,
    out_token_stride: tl.tensor,
    out_head_stride: tl.tensor,
    window: tl.tensor,  # 0: none
    HEAD_DIM: tl.constexpr,
    PADDED_DIM: tl.constexpr,
    SPAN: tl.constexpr,
) -> None:
    """Join the spans of one head (axis 0) of one sequence (axis 1), one after the other."""
    head = tl.program_id(0)
    seq = tl.program_id(1)
    context_len = tl.load(context_lens + seq)
    first_visible = tl.where(window > 0, tl.maximum(context_len - window, 0), 0)
    dim = tl.arange(0, PADDED_DIM)
    is_dim = dim < HEAD_DIM
    first_part = (seq * num_heads + head).to(tl.int64) * num_spans
    maximum = tl.full([1], MASKED, tl.float32)
    total = tl.zeros([1], tl.float32)
    mixed = tl.zeros([PADDED_DIM], tl.float32)
    for span in range(first_visible // SPAN, tl.cdiv(context_len, SPAN)):
        part = first_part + span
        its_maximum = tl.load(partial_max + part)
        larger = tl.maximum(maximum, its_maximum)
        shrink = tl.exp2(maximum - larger)
        share = tl.exp2(its_maximum - larger)
        mixed = mixed * shrink + tl.load(partial_out + part * HEAD_DIM + dim, mask=is_dim, other=0.0) * share
        total = total * shrink + tl.load(partial_sum + part) * share
        maximum = larger
    target = out + seq.to(tl.int64) * out_token_stride + head * out_head_stride + dim
    tl.store(target, (mixed / total).to(out.dtype.element_ty), mask=is_dim)
