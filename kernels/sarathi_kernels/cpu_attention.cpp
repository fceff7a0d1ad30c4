// Attention of a mixed batch of chunks and decodes over a paged KV cache, read in place: float32, the cache also
// float16.
//
// Each task is one KV head of one sequence: a tile of its prompt's queries against the whole context, or one
// query of its output, a decode, against a span of it. Both keep a running maximum and sum (online softmax, Milakov and
// Gimelshein 2018; tiled as in FlashAttention, Dao et al. 2022). What a query gets depends on its own
// context alone, never on the batch around it or on how its sequence was cut into chunks: spans start at fixed
// positions, no sum crosses a tile's queries, and output that is computed again goes the way of decodes.

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "chunk_attention.h"
#include "decode_attention.h"
#include "paged_cache.h"
#include "threads.h"

namespace {

constexpr int64_t kProductsWorthWaking = 1 << 18;  // of queries and keys

struct Plan {
  std::vector<Task> tasks;  // tiles, then decodes
  size_t num_tiles = 0;
  std::vector<std::pair<int, int>> joins;  // (first task, number of spans)
  int num_partials = 0;
};

int num_queries_of(const AttentionCall& call, int sequence) {
  return call.query_start[sequence + 1] - call.query_start[sequence];
}

void plan_tiles(const AttentionCall& call, int sequence, Plan& plan) {
  const int group = group_of(call);
  const int tile = std::max(1, kPanelsPerTile * kPanel / group);
  const int before = call.context_lens[sequence] - num_queries_of(call, sequence);
  const int num_queries = num_queries_of(call, sequence) - call.num_output_queries[sequence];
  const int num_tiles = (num_queries + tile - 1) / tile;
  for (int first = (num_tiles - 1) * tile; first >= 0; first -= tile) {  // the costliest first
    const int count = std::min(tile, num_queries - first);
    const int begin = call.sliding_window ? std::max(0, before + first + 1 - call.sliding_window) : 0;
    for (int kv_head = 0; kv_head < call.cache.num_kv_heads; ++kv_head)
      plan.tasks.push_back({sequence, kv_head, first, count, begin, before + first + count, -1});
  }
}

void plan_decode(const AttentionCall& call, int sequence, int query, Plan& plan) {
  const int end = call.context_lens[sequence] - num_queries_of(call, sequence) + query + 1;
  const int begin = call.sliding_window ? std::max(0, end - call.sliding_window) : 0;
  const int first_span = begin / kDecodeSpan;
  const int num_spans = (end - 1) / kDecodeSpan - first_span + 1;
  for (int kv_head = 0; kv_head < call.cache.num_kv_heads; ++kv_head) {
    if (num_spans > 1) plan.joins.push_back({int(plan.tasks.size()), num_spans});
    for (int span = first_span; span < first_span + num_spans; ++span)
      plan.tasks.push_back({sequence, kv_head, query, 1, std::max(begin, span * kDecodeSpan),
                            std::min(end, (span + 1) * kDecodeSpan), num_spans > 1 ? plan.num_partials++ : -1});
  }
}

// Returns how many numbers of queries meet numbers of keys.
int64_t num_products(const AttentionCall& call, const Plan& plan) {
  int64_t pairs = 0;  // of a query and a position, in one KV head
  for (const Task& task : plan.tasks) pairs += int64_t(task.num_queries) * (task.end - task.begin);
  return pairs * group_of(call) * call.cache.head_dim;
}

template <class Number>
void attend(const AttentionCall& call) {
  Plan plan;
  for (int sequence = 0; sequence < call.num_seqs; ++sequence) plan_tiles(call, sequence, plan);
  plan.num_tiles = plan.tasks.size();
  for (int sequence = 0; sequence < call.num_seqs; ++sequence) {
    const int num_queries = num_queries_of(call, sequence);
    for (int query = num_queries - call.num_output_queries[sequence]; query < num_queries; ++query)
      plan_decode(call, sequence, query, plan);
  }
  Partials partials;
  partials.resize(plan.num_partials, group_of(call), call.cache.head_dim);
#pragma omp parallel if (is_worth_threads(num_products(call, plan), kProductsWorthWaking))
  {
    static thread_local TileState state;
#pragma omp for schedule(dynamic, 1)
    for (size_t i = 0; i < plan.tasks.size(); ++i)
      if (i < plan.num_tiles)
        attend_tile<Number>(call, plan.tasks[i], state);
      else
        attend_decode<Number>(call, plan.tasks[i], partials);
#pragma omp for schedule(dynamic, 1)
    for (size_t i = 0; i < plan.joins.size(); ++i)
      join_spans(call, plan.tasks[plan.joins[i].first], plan.joins[i].second, partials);
  }
}

template <class Number>
void store(const StoreCall& call) {
  const PagedCache& cache = call.cache;
#pragma omp parallel for if (call.num_tokens >= 256)
  for (int64_t token = 0; token < call.num_tokens; ++token) {
    const int64_t slot = call.slot_mapping[token];
    for (int kv_head = 0; kv_head < cache.num_kv_heads; ++kv_head) {
      const int64_t source = kv_head * cache.head_dim;
      const int64_t target = row_offset(cache, slot / cache.block_size, slot % cache.block_size, kv_head);
      convert(call.k + token * call.k_token_stride + source, cache.head_dim, static_cast<Number*>(cache.k) + target);
      convert(call.v + token * call.v_token_stride + source, cache.head_dim, static_cast<Number*>(cache.v) + target);
    }
  }
}

}  // namespace

extern "C" {

int sarathi_has_halves() { return kHasHalves; }

void sarathi_attend(const AttentionCall* call) { call->cache.is_half ? attend<Half>(*call) : attend<float>(*call); }

void sarathi_store(const StoreCall* call) { call->cache.is_half ? store<Half>(*call) : store<float>(*call); }

}  // extern "C"
