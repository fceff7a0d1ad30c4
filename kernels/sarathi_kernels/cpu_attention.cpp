// Attention of a mixed batch of chunks and decodes over a paged KV cache, read in place, float32.
//
// Each task is one KV head of one sequence: a tile of a chunk's queries against the whole context, or one
// decode against a span of it. Both keep a running maximum and sum (online softmax, Milakov and
// Gimelshein 2018; tiled as in FlashAttention, Dao et al. 2022). What a query gets depends on its own
// context alone, never on the batch around it: tiles and spans start at fixed positions.

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "vector_math.h"

namespace {

constexpr int kPanel = 3 * kLanes;    // queries side by side: 4 rows of 3 registers fill the register file
constexpr int kPanelsPerTile = 4;
constexpr int kKvTile = 64;           // positions at a time
constexpr int kDecodeSpan = 512;      // positions of a decode that one task reads
constexpr int kStep = 16;             // head_dim is a multiple of it
constexpr int kMaxHeadDim = 256;
constexpr float kMasked = -1e30f;     // finite, so that (masked - masked) is no NaN

const float kZeros[kMaxHeadDim] = {};  // stands in for positions behind the context

}  // namespace

extern "C" {

// Strides count floats; every last dimension is dense, and outside of the caches the heads are too.
struct AttentionCall {
  const float* q;       // [num_tokens, num_heads, head_dim]
  float* out;           // the same shape
  const float* k_cache; // [num_blocks, block_size, num_kv_heads, head_dim]
  const float* v_cache;
  const int32_t* query_start;   // [num_seqs + 1]
  const int32_t* context_lens;  // [num_seqs]
  const int32_t* block_tables;  // [num_seqs, max_blocks]
  int64_t q_token_stride;
  int64_t out_token_stride;
  int64_t block_stride;
  int64_t position_stride;
  int64_t kv_head_stride;
  int64_t max_blocks;
  int32_t num_seqs;
  int32_t num_heads;
  int32_t num_kv_heads;
  int32_t head_dim;
  int32_t block_size;
  int32_t sliding_window;  // 0: none
  float scale;
};

struct StoreCall {
  const float* k;  // [num_tokens, num_kv_heads, head_dim]
  const float* v;
  float* k_cache;  // [num_blocks, block_size, num_kv_heads, head_dim]
  float* v_cache;
  const int64_t* slot_mapping;  // [num_tokens]
  int64_t k_token_stride;
  int64_t v_token_stride;
  int64_t block_stride;
  int64_t position_stride;
  int64_t kv_head_stride;
  int32_t num_tokens;
  int32_t num_kv_heads;
  int32_t head_dim;
  int32_t block_size;
};

}  // extern "C"

namespace {

template <class Call>
inline int64_t row_offset(const Call& call, int64_t block, int64_t offset, int kv_head) {
  return block * call.block_stride + offset * call.position_stride + kv_head * call.kv_head_stride;
}

struct Task {
  int sequence;
  int kv_head;
  int first_query;   // among the sequence's queries
  int num_queries;   // 1: a decode
  int begin, end;    // positions that it reads
  int partial;       // where a decode of several spans leaves its part, -1 for none
};

// A span's share of a decode: the unscaled output of each head of the group, its maximum and its sum.
struct Partials {
  int group, head_dim;
  std::vector<float> outputs, maxima, sums;

  void resize(int count, int group_size, int dim) {
    group = group_size;
    head_dim = dim;
    outputs.resize(size_t(count) * group * dim);
    maxima.resize(size_t(count) * group);
    sums.resize(size_t(count) * group);
  }
  float* output(int index, int head) { return &outputs[(size_t(index) * group + head) * head_dim]; }
};

// Pointers to one KV head's rows of up to kKvTile positions.
struct Rows {
  const float* k[kKvTile];
  const float* v[kKvTile];
};

inline void find_rows(const AttentionCall& call, const Task& task, int begin, int count, Rows& rows) {
  const int32_t* table = call.block_tables + task.sequence * call.max_blocks;
  for (int i = 0; i < count; ++i) {
    const int position = begin + i;
    const int64_t offset =
        row_offset(call, table[position / call.block_size], position % call.block_size, task.kv_head);
    rows.k[i] = call.k_cache + offset;
    rows.v[i] = call.v_cache + offset;
  }
  for (int i = count; i < kKvTile; ++i) rows.k[i] = rows.v[i] = kZeros;
}

// ---- a tile of a chunk: queries lie across the lanes, so that no sum crosses them ----

struct TileState {
  float q[kPanelsPerTile][kMaxHeadDim][kPanel];    // transposed and scaled
  float out[kPanelsPerTile][kMaxHeadDim][kPanel];  // transposed, unscaled
  float maximum[kPanelsPerTile][kPanel];
  float sum[kPanelsPerTile][kPanel];
  float position[kPanelsPerTile][kPanel];
  float scores[kKvTile][kPanel];
  float rescale[kPanel];
};

// scores[n] = k[n] . q for 4 positions and a panel of queries.
inline void score_4_rows(const float* const* k, const float (*q)[kPanel], int head_dim, float (*scores)[kPanel]) {
  Vec sums[4][3] = {};
  for (int d = 0; d < head_dim; ++d) {
    const Vec q0 = load(q[d]), q1 = load(q[d] + kLanes), q2 = load(q[d] + 2 * kLanes);
    for (int i = 0; i < 4; ++i) {
      const Vec key = splat(k[i][d]);
      sums[i][0] += key * q0;
      sums[i][1] += key * q1;
      sums[i][2] += key * q2;
    }
  }
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 3; ++j) store(scores[i] + j * kLanes, sums[i][j]);
}

// out[d] = out[d] * rescale + sum over n of v[n][d] * weights[n], for 4 values of d and a panel of queries.
inline void mix_4_columns(const float* const* v, int d, int count, const float (*weights)[kPanel],
                          const float* rescale, float (*out)[kPanel]) {
  Vec sums[4][3];
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 3; ++j) sums[i][j] = load(out[d + i] + j * kLanes) * load(rescale + j * kLanes);
  for (int n = 0; n < count; ++n) {
    const Vec w0 = load(weights[n]), w1 = load(weights[n] + kLanes), w2 = load(weights[n] + 2 * kLanes);
    for (int i = 0; i < 4; ++i) {
      const Vec value = splat(v[n][d + i]);
      sums[i][0] += value * w0;
      sums[i][1] += value * w1;
      sums[i][2] += value * w2;
    }
  }
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 3; ++j) store(out[d + i] + j * kLanes, sums[i][j]);
}

// Masks what lies behind a query, or before its window; positions are exact in float32 up to 2^24.
inline void mask(const AttentionCall& call, int begin, int count, const float* position, float (*scores)[kPanel]) {
  for (int n = 0; n < count; ++n)
    for (int j = 0; j < kPanel; j += kLanes) {
      const Vec distance = load(position + j) - float(begin + n);
      Vec score = load(scores[n] + j);
      score = distance < 0.0f ? splat(kMasked) : score;
      if (call.sliding_window) score = distance >= float(call.sliding_window) ? splat(kMasked) : score;
      store(scores[n] + j, score);
    }
}

// Turns scores into weights e^(score - maximum), and says by what earlier sums must be rescaled.
inline void soften(int count, float* maximum, float* sum, float* rescale, float (*scores)[kPanel]) {
  for (int j = 0; j < kPanel; j += kLanes) {
    const Vec before = load(maximum + j);
    Vec now = before;
    for (int n = 0; n < count; ++n) now = larger(load(scores[n] + j), now);
    const Vec shrink = exp_of(before - now);
    Vec total = load(sum + j) * shrink;
    for (int n = 0; n < count; ++n) {
      const Vec weight = exp_of(load(scores[n] + j) - now);
      store(scores[n] + j, weight);
      total += weight;
    }
    store(maximum + j, now);
    store(sum + j, total);
    store(rescale + j, shrink);
  }
}

void open_tile(const AttentionCall& call, const Task& task, int num_panels, TileState& state) {
  const int group = call.num_heads / call.num_kv_heads;
  const int first_token = call.query_start[task.sequence] + task.first_query;
  const int num_queries = call.query_start[task.sequence + 1] - call.query_start[task.sequence];
  const int first_position = call.context_lens[task.sequence] - num_queries + task.first_query;
  for (int column = 0; column < num_panels * kPanel; ++column) {
    const int panel = column / kPanel, lane = column % kPanel;
    const int query = std::min(column / group, task.num_queries - 1);  // columns left over repeat the last query
    const float* source =
        call.q + (first_token + query) * call.q_token_stride + (task.kv_head * group + column % group) * call.head_dim;
    for (int d = 0; d < call.head_dim; ++d) {
      state.q[panel][d][lane] = source[d] * call.scale;
      state.out[panel][d][lane] = 0.0f;
    }
    state.maximum[panel][lane] = kMasked;
    state.sum[panel][lane] = 0.0f;
    state.position[panel][lane] = float(first_position + query);
  }
}

void close_tile(const AttentionCall& call, const Task& task, TileState& state) {
  const int group = call.num_heads / call.num_kv_heads;
  const int first_token = call.query_start[task.sequence] + task.first_query;
  for (int column = 0; column < task.num_queries * group; ++column) {
    const int panel = column / kPanel, lane = column % kPanel;
    float* target = call.out + (first_token + column / group) * call.out_token_stride +
                    (task.kv_head * group + column % group) * call.head_dim;
    const float share = 1.0f / state.sum[panel][lane];
    for (int d = 0; d < call.head_dim; ++d) target[d] = state.out[panel][d][lane] * share;
  }
}

void attend_tile(const AttentionCall& call, const Task& task, TileState& state) {
  const int group = call.num_heads / call.num_kv_heads;
  const int num_panels = (task.num_queries * group + kPanel - 1) / kPanel;
  open_tile(call, task, num_panels, state);
  const int first_position = int(state.position[0][0]);
  Rows rows;
  for (int begin = task.begin; begin < task.end; begin += kKvTile) {
    const int count = std::min(kKvTile, task.end - begin);
    find_rows(call, task, begin, count, rows);
    const bool needs_mask = begin + count - 1 > first_position || call.sliding_window;
    for (int panel = 0; panel < num_panels; ++panel) {
      for (int n = 0; n < count; n += 4) score_4_rows(rows.k + n, state.q[panel], call.head_dim, state.scores + n);
      if (needs_mask) mask(call, begin, count, state.position[panel], state.scores);
      soften(count, state.maximum[panel], state.sum[panel], state.rescale, state.scores);
      for (int d = 0; d < call.head_dim; d += 4)
        mix_4_columns(rows.v, d, count, state.scores, state.rescale, state.out[panel]);
    }
  }
  close_tile(call, task, state);
}

// ---- a decode: head_dim lies across the lanes, up to 4 heads share each key that is read ----

struct DecodeState {
  float scores[4][kKvTile];
  float out[4][kMaxHeadDim];
  float maximum[4];
  float sum[4];
};

template <int kHeads>
void decode_scores(const float* q, const Rows& rows, int count, int head_dim, float scale, DecodeState& state) {
  for (int n = 0; n < count; ++n) {
    Vec sums[kHeads][kStep / kLanes] = {};
    for (int d = 0; d < head_dim; d += kStep)
      for (int part = 0; part < kStep / kLanes; ++part) {
        const int at = d + part * kLanes;
        const Vec key = load(rows.k[n] + at);
        for (int head = 0; head < kHeads; ++head) sums[head][part] += key * load(q + head * head_dim + at);
      }
    for (int head = 0; head < kHeads; ++head) {
      for (int part = 1; part < kStep / kLanes; ++part) sums[head][0] += sums[head][part];
      state.scores[head][n] = sum_of(sums[head][0]) * scale;
    }
  }
  for (int head = 0; head < kHeads; ++head)
    for (int n = count; n < kKvTile; ++n) state.scores[head][n] = kMasked;
}

// Turns one head's scores into weights and returns by what its output so far must be rescaled.
inline float decode_soften(float* scores, float& maximum, float& sum) {
  Vec largest = load(scores);
  for (int n = kLanes; n < kKvTile; n += kLanes) largest = larger(load(scores + n), largest);
  float now = maximum;
  for (int i = 0; i < kLanes; ++i) now = std::max(now, largest[i]);
  Vec total = {};
  for (int n = 0; n < kKvTile; n += kLanes) {
    const Vec weight = exp_of(load(scores + n) - now);
    store(scores + n, weight);
    total += weight;
  }
  const float rescale = exp_of(splat(maximum - now))[0];
  sum = sum * rescale + sum_of(total);
  maximum = now;
  return rescale;
}

template <int kHeads>
void decode_mix(const Rows& rows, int count, int head_dim, const float* rescale, DecodeState& state) {
  for (int d = 0; d < head_dim; d += kStep) {
    Vec sums[kHeads][kStep / kLanes];
    for (int head = 0; head < kHeads; ++head)
      for (int part = 0; part < kStep / kLanes; ++part)
        sums[head][part] = load(state.out[head] + d + part * kLanes) * rescale[head];
    for (int n = 0; n < count; ++n)
      for (int part = 0; part < kStep / kLanes; ++part) {
        const Vec value = load(rows.v[n] + d + part * kLanes);
        for (int head = 0; head < kHeads; ++head) sums[head][part] += value * state.scores[head][n];
      }
    for (int head = 0; head < kHeads; ++head)
      for (int part = 0; part < kStep / kLanes; ++part) store(state.out[head] + d + part * kLanes, sums[head][part]);
  }
}

template <int kHeads>
void attend_decode_heads(const AttentionCall& call, const Task& task, int first_head, Partials& partials) {
  const int group = call.num_heads / call.num_kv_heads;
  const int token = call.query_start[task.sequence];
  const int64_t head_offset = int64_t(task.kv_head * group + first_head) * call.head_dim;
  const float* q = call.q + token * call.q_token_stride + head_offset;
  DecodeState state;
  for (int head = 0; head < kHeads; ++head) {
    state.maximum[head] = kMasked;
    state.sum[head] = 0.0f;
    std::fill_n(state.out[head], call.head_dim, 0.0f);
  }
  Rows rows;
  for (int begin = task.begin; begin < task.end; begin += kKvTile) {
    const int count = std::min(kKvTile, task.end - begin);
    find_rows(call, task, begin, count, rows);
    decode_scores<kHeads>(q, rows, count, call.head_dim, call.scale, state);
    float rescale[kHeads];
    for (int head = 0; head < kHeads; ++head)
      rescale[head] = decode_soften(state.scores[head], state.maximum[head], state.sum[head]);
    decode_mix<kHeads>(rows, count, call.head_dim, rescale, state);
  }
  for (int head = 0; head < kHeads; ++head) {
    const bool is_whole = task.partial < 0;
    float* target = is_whole ? call.out + token * call.out_token_stride + head_offset + head * call.head_dim
                             : partials.output(task.partial, first_head + head);
    const float share = is_whole ? 1.0f / state.sum[head] : 1.0f;
    for (int d = 0; d < call.head_dim; ++d) target[d] = state.out[head][d] * share;
    if (is_whole) continue;
    partials.maxima[task.partial * group + first_head + head] = state.maximum[head];
    partials.sums[task.partial * group + first_head + head] = state.sum[head];
  }
}

void attend_decode(const AttentionCall& call, const Task& task, Partials& partials) {
  const int group = call.num_heads / call.num_kv_heads;
  int head = 0;
  for (; head + 4 <= group; head += 4) attend_decode_heads<4>(call, task, head, partials);
  switch (group - head) {
    case 3: return attend_decode_heads<3>(call, task, head, partials);
    case 2: return attend_decode_heads<2>(call, task, head, partials);
    case 1: return attend_decode_heads<1>(call, task, head, partials);
  }
}

// Joins the spans of one decode and KV head; `first` is the task of the first of `count` spans.
void join_spans(const AttentionCall& call, const Task& first, int count, Partials& partials) {
  const int group = call.num_heads / call.num_kv_heads;
  for (int head = 0; head < group; ++head) {
    const float* maxima = &partials.maxima[first.partial * group + head];
    const float* sums = &partials.sums[first.partial * group + head];
    float maximum = kMasked, total = 0.0f;
    for (int i = 0; i < count; ++i) maximum = std::max(maximum, maxima[i * group]);
    float* target = call.out + call.query_start[first.sequence] * call.out_token_stride +
                    (first.kv_head * group + head) * call.head_dim;
    std::fill_n(target, call.head_dim, 0.0f);
    for (int i = 0; i < count; ++i) {
      const float weight = exp_of(splat(maxima[i * group] - maximum))[0];
      const float* part = partials.output(first.partial + i, head);
      total += sums[i * group] * weight;
      for (int d = 0; d < call.head_dim; ++d) target[d] += part[d] * weight;
    }
    for (int d = 0; d < call.head_dim; ++d) target[d] /= total;
  }
}

// ---- the plan of a call ----

struct Plan {
  std::vector<Task> tasks;
  std::vector<std::pair<int, int>> joins;  // (first task, number of spans)
  int num_partials = 0;
};

void plan_chunk(const AttentionCall& call, int sequence, Plan& plan) {
  const int group = call.num_heads / call.num_kv_heads;
  const int tile = std::max(1, kPanelsPerTile * kPanel / group);
  const int num_queries = call.query_start[sequence + 1] - call.query_start[sequence];
  const int before = call.context_lens[sequence] - num_queries;
  for (int first = (num_queries - 1) / tile * tile; first >= 0; first -= tile) {  // the costliest first
    const int count = std::min(tile, num_queries - first);
    const int window_start = call.sliding_window ? std::max(0, before + first + 1 - call.sliding_window) : 0;
    const int begin = window_start / kKvTile * kKvTile;
    for (int kv_head = 0; kv_head < call.num_kv_heads; ++kv_head)
      plan.tasks.push_back({sequence, kv_head, first, count, begin, before + first + count, -1});
  }
}

void plan_decode(const AttentionCall& call, int sequence, Plan& plan) {
  const int end = call.context_lens[sequence];
  const int begin = call.sliding_window ? std::max(0, end - call.sliding_window) : 0;
  const int first_span = begin / kDecodeSpan;
  const int num_spans = (end - 1) / kDecodeSpan - first_span + 1;
  for (int kv_head = 0; kv_head < call.num_kv_heads; ++kv_head) {
    if (num_spans > 1) plan.joins.push_back({int(plan.tasks.size()), num_spans});
    for (int span = first_span; span < first_span + num_spans; ++span)
      plan.tasks.push_back({sequence, kv_head, 0, 1, std::max(begin, span * kDecodeSpan),
                            std::min(end, (span + 1) * kDecodeSpan), num_spans > 1 ? plan.num_partials++ : -1});
  }
}

bool is_decode(const AttentionCall& call, int sequence) {
  return call.query_start[sequence + 1] - call.query_start[sequence] == 1;
}

}  // namespace

extern "C" void sarathi_attend(const AttentionCall* pointer) {
  const AttentionCall& call = *pointer;
  Plan plan;
  for (int sequence = 0; sequence < call.num_seqs; ++sequence)
    if (!is_decode(call, sequence)) plan_chunk(call, sequence, plan);
  for (int sequence = 0; sequence < call.num_seqs; ++sequence)
    if (is_decode(call, sequence)) plan_decode(call, sequence, plan);
  Partials partials;
  partials.resize(plan.num_partials, call.num_heads / call.num_kv_heads, call.head_dim);
#pragma omp parallel
  {
    static thread_local TileState state;
#pragma omp for schedule(dynamic, 1)
    for (size_t i = 0; i < plan.tasks.size(); ++i)
      if (is_decode(call, plan.tasks[i].sequence))
        attend_decode(call, plan.tasks[i], partials);
      else
        attend_tile(call, plan.tasks[i], state);
#pragma omp for schedule(dynamic, 1)
    for (size_t i = 0; i < plan.joins.size(); ++i)
      join_spans(call, plan.tasks[plan.joins[i].first], plan.joins[i].second, partials);
  }
}

extern "C" void sarathi_store(const StoreCall* pointer) {
  const StoreCall& call = *pointer;
#pragma omp parallel for if (call.num_tokens >= 256)
  for (int token = 0; token < call.num_tokens; ++token) {
    const int64_t slot = call.slot_mapping[token];
    for (int kv_head = 0; kv_head < call.num_kv_heads; ++kv_head) {
      const int64_t target = row_offset(call, slot / call.block_size, slot % call.block_size, kv_head);
      std::copy_n(call.k + token * call.k_token_stride + kv_head * call.head_dim, call.head_dim, call.k_cache + target);
      std::copy_n(call.v + token * call.v_token_stride + kv_head * call.head_dim, call.head_dim, call.v_cache + target);
    }
  }
}
