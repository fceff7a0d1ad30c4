// What a call of the attention kernels is told, and where a position's key and value lie.

#pragma once

#include <algorithm>
#include <cstdint>

#include "half.h"

extern "C" {

// One layer's keys and values. Strides count numbers; the last dimension is dense.
struct PagedCache {
  void* k;  // [num_blocks, block_size, num_kv_heads, head_dim], floats or halves
  void* v;
  int64_t block_stride;
  int64_t position_stride;
  int64_t kv_head_stride;
  int32_t block_size;
  int32_t num_kv_heads;
  int32_t head_dim;
  int32_t is_half;
};

// Strides count floats; a token's heads lie one behind the other.
struct AttentionCall {
  PagedCache cache;
  const float* q;  // [num_tokens, num_heads, head_dim]
  float* out;      // the same shape
  const int32_t* query_start;         // [num_seqs + 1]
  const int32_t* context_lens;        // [num_seqs]
  const int32_t* block_tables;        // [num_seqs, max_blocks]
  const int32_t* num_output_queries;  // [num_seqs], the last ones of each
  int64_t q_token_stride;
  int64_t out_token_stride;
  int64_t max_blocks;
  int32_t num_seqs;
  int32_t num_heads;
  int32_t sliding_window;  // 0: none
  float scale;
};

struct StoreCall {
  PagedCache cache;
  const float* k;  // [num_tokens, num_kv_heads, head_dim]
  const float* v;
  const int64_t* slot_mapping;  // [num_tokens]
  int64_t k_token_stride;
  int64_t v_token_stride;
  int64_t num_tokens;
};

}  // extern "C"

namespace {

constexpr int kKvTile = 64;  // positions at a time
constexpr int kMaxHeadDim = 256;
constexpr float kMasked = -1e30f;  // finite, so that (masked - masked) is no NaN

// Stands in for positions before the window and behind the context, in either format.
alignas(float) const char kZeros[kMaxHeadDim * sizeof(float)] = {};

// One KV head of one sequence: a tile of its prompt's queries, or one query of its output, against a span of positions.
struct Task {
  int sequence;
  int kv_head;
  int first_query;   // among the sequence's queries
  int num_queries;
  int begin, end;    // positions that it reads
  int partial;       // where a decode of several spans leaves its part, -1 for none
};

inline int64_t row_offset(const PagedCache& cache, int64_t block, int64_t offset, int kv_head) {
  return block * cache.block_stride + offset * cache.position_stride + kv_head * cache.kv_head_stride;
}

// How many heads read a KV head.
inline int group_of(const AttentionCall& call) { return call.num_heads / call.cache.num_kv_heads; }

// Pointers to one KV head's rows of up to kKvTile positions, in a cache of such numbers.
template <class Number>
struct Rows {
  const Number* k[kKvTile];
  const Number* v[kKvTile];
};

template <class Number>
inline void find_rows(const AttentionCall& call, const Task& task, int begin, int count, Rows<Number>& rows) {
  const PagedCache& cache = call.cache;
  const Number* zeros = reinterpret_cast<const Number*>(kZeros);
  const int32_t* table = call.block_tables + task.sequence * call.max_blocks;
  int block = begin / cache.block_size, in_block = begin % cache.block_size;
  for (int i = 0; i < count; ++i) {
    if (begin + i < task.begin) {
      rows.k[i] = rows.v[i] = zeros;
    } else {
      const int64_t offset = row_offset(cache, table[block], in_block, task.kv_head);
      rows.k[i] = static_cast<const Number*>(cache.k) + offset;
      rows.v[i] = static_cast<const Number*>(cache.v) + offset;
    }
    if (++in_block < cache.block_size) continue;
    in_block = 0;
    ++block;
  }
  for (int i = count; i < kKvTile; ++i) rows.k[i] = rows.v[i] = zeros;
}

}  // namespace
