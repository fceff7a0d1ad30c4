// A block of Llama's kind with 8-bit weights, by the package's other kernels, with nothing in between.
//
// To call them one by one takes Python 0.1 ms a block, which of a small model's decode is as much as a fifth.

#include <cstdint>

#include "paged_cache.h"

namespace {

constexpr int64_t kFloatsWorthThreads = 32768;

struct Matrix {
  const int8_t* panels;
  const float* scales;
  int64_t num_columns;
  int64_t depth;
};

// The entry points of the other libraries.
struct Kernels {
  void (*multiply)(const float* x, int64_t x_stride, const int8_t* panels, const float* scales, float* y,
                   int64_t num_rows, int64_t num_columns, int64_t depth);
  void (*normalize)(const float* x, const float* weight, float* y, int64_t num_rows, int64_t size, float eps);
  void (*rotate)(float* heads, const float* cos, const float* sin, int64_t num_tokens, int64_t token_stride,
                 int64_t num_heads, int64_t half);
  void (*gate)(const float* gate_up, float* y, int64_t num_rows, int64_t size);
  void (*store)(const StoreCall* call);
  void (*attend)(const AttentionCall* call);
};

void multiply(const Kernels& kernels, const Matrix& matrix, const float* x, int64_t num_rows, float* y) {
  kernels.multiply(x, matrix.depth, matrix.panels, matrix.scales, y, num_rows, matrix.num_columns, matrix.depth);
}

void add(const float* update, int64_t count, float* target) {
#pragma omp parallel for simd schedule(static) if (parallel : count >= kFloatsWorthThreads)
  for (int64_t i = 0; i < count; ++i) target[i] += update[i];
}

}  // namespace

extern "C" {

struct LlamaBlock {
  Kernels kernels;
  Matrix qkv, o, gate_up, down;
  const float* attention_norm;  // [hidden size]
  const float* mlp_norm;
  float eps;
};

// `store` and `attention` lack what the block makes: keys, values, queries and the output.
struct BlockCall {
  float* hidden;   // [num_tokens, hidden size], changed in place
  float* scratch;  // [num_tokens, 2 * hidden size + max(qkv + q, 3 * intermediate)]
  const float* cos;  // [num_tokens, head_dim / 2]
  const float* sin;
  int64_t num_tokens;
  StoreCall store;
  AttentionCall attention;
};

void sarathi_llama_block(const LlamaBlock* pointer, const BlockCall* call) {
  const LlamaBlock& block = *pointer;
  const Kernels& kernels = block.kernels;
  const int64_t num_tokens = call->num_tokens, size = block.o.num_columns;
  float* hidden = call->hidden;
  float* normalized = call->scratch;
  float* update = normalized + num_tokens * size;
  float* wide = update + num_tokens * size;  // qkv, later gate and up
  float* narrow = wide + num_tokens * block.qkv.num_columns;

  kernels.normalize(hidden, block.attention_norm, normalized, num_tokens, size, block.eps);
  multiply(kernels, block.qkv, normalized, num_tokens, wide);
  AttentionCall attention = call->attention;
  const PagedCache& cache = attention.cache;
  const int64_t q_size = int64_t(attention.num_heads) * cache.head_dim;
  const int64_t kv_size = int64_t(cache.num_kv_heads) * cache.head_dim;
  kernels.rotate(wide, call->cos, call->sin, num_tokens, block.qkv.num_columns,
                 attention.num_heads + cache.num_kv_heads, cache.head_dim / 2);
  StoreCall store = call->store;
  store.k = wide + q_size;
  store.v = wide + q_size + kv_size;
  store.k_token_stride = store.v_token_stride = block.qkv.num_columns;
  kernels.store(&store);
  attention.q = wide;
  attention.q_token_stride = block.qkv.num_columns;
  attention.out = narrow;
  attention.out_token_stride = q_size;
  kernels.attend(&attention);
  multiply(kernels, block.o, narrow, num_tokens, update);
  add(update, num_tokens * size, hidden);

  kernels.normalize(hidden, block.mlp_norm, normalized, num_tokens, size, block.eps);
  multiply(kernels, block.gate_up, normalized, num_tokens, wide);
  narrow = wide + num_tokens * block.gate_up.num_columns;
  kernels.gate(wide, narrow, num_tokens, block.down.depth);
  multiply(kernels, block.down, narrow, num_tokens, update);
  add(update, num_tokens * size, hidden);
}

}  // extern "C"
