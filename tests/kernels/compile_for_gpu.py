"""Compiles every Triton kernel to machine code of a GPU that need not be there; run as a program of its own.

The interpreter takes code that no GPU could run. What is compiled here is what a model of 32 query heads
over 8 KV heads of 128 launches, in bfloat16 or, with `float32` behind the capability, in that.
"""

import sys
from typing import Any

from sarathi_kernels import triton_layers, triton_quantized, triton_sampling, triton_store
from sarathi_kernels.triton_chunks import attend_chunks
from sarathi_kernels.triton_decodes import attend_spans, join_spans
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource, compile

INT32 = ("query_start", "context_lens", "block_tables")
INT64 = ("slot_mapping", "token_ids")
FLOAT32 = ("scales", "minima", "partial_out", "partial_max", "partial_sum", "cos", "sin", "logits")
PER_ROW = ("temperatures", "top_ps", "min_ps", "shares")
BFLOAT16 = ("q", "k", "v", "out", "k_cache", "v_cache", "x", "update", "weight", "total", "normalized", "y")
POINTERS = {
    **dict.fromkeys(INT32, "*i32"),
    **dict.fromkeys(INT64, "*i64"),
    **dict.fromkeys((*FLOAT32, *PER_ROW), "*fp32"),
    "top_ks": "*i32",
    "values": "*i8",
    "is_number": "*i1",
    **dict.fromkeys((*BFLOAT16, "gate_up", "gated", "heads"), "*bf16"),
}
NUMBERS = {"scale": "fp32", "eps": "fp32"}
HEADS = {"HEAD_DIM": 128, "PADDED_DIM": 128}
TILES = {"GROUP": 4, **HEADS, "COLUMNS": 64}
KERNELS: tuple[tuple[Any, dict[str, int]], ...] = (
    (attend_chunks, {**TILES, "ROWS": 64}),
    (attend_spans, {**TILES, "ROWS": 16, "SPAN": 256}),
    (join_spans, {**HEADS, "SPAN": 256}),
    (triton_store._store_token, {**HEADS, "PADDED_HEADS": 8}),
    (triton_layers._normalize, {"PADDED_SIZE": 4096}),
    (triton_layers._add_and_normalize, {"PADDED_SIZE": 4096}),
    (triton_layers._gate, {"COLUMNS": 1024}),
    (triton_quantized._multiply_int8, {"ROWS": 16, "COLUMNS": 64, "DEPTH": 64}),
    (triton_quantized._multiply_int4, {"ROWS": 16, "COLUMNS": 64, "GROUP": 32}),
    (triton_sampling._draw_row, {"COLUMNS": 4096}),
    (triton_layers._rotate, {"PADDED_HEADS": 64, "PADDED_HALF": 64}),
)


def compile_kernel(kernel: Any, constants: dict[str, int], capability: int, floats: str) -> tuple[int, int]:
    """Return how many bytes of machine code the kernel is, and how many of shared memory it takes."""
    pointers = {name: type_.replace("bf16", floats) for name, type_ in POINTERS.items()}
    types = {**pointers, **NUMBERS, **dict.fromkeys(constants, "constexpr")}
    if kernel is triton_quantized._multiply_int4:
        types["values"] = "*u8"
    signature = {name: types.get(name, "i32") for name in kernel.arg_names}
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    source = ASTSource(kernel, signature=signature, constexprs=places)
    compiled = compile(source, target=GPUTarget("cuda", capability, 32))
    return len(compiled.asm["cubin"]), compiled.metadata.shared


if __name__ == "__main__":
    floats = "fp32" if "float32" in sys.argv else "bf16"
    for kernel, constants in KERNELS:
        print(kernel.__name__, *compile_kernel(kernel, constants, int(sys.argv[1]), floats))
