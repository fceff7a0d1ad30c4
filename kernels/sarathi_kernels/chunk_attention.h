// A tile of a chunk's queries against its context: queries lie across the lanes, so that no sum crosses them.
//
// Keys and values are read where they are; the queries are transposed once, the output once at the end.

#pragma once

#include <algorithm>

#include "paged_cache.h"
#include "vector_math.h"

namespace {

constexpr int kPanel = 3 * kLanes;  // queries side by side: 4 rows of 3 registers fill the register file
constexpr int kPanelsPerTile = 4;

struct TileState {
  float q[kPanelsPerTile][kMaxHeadDim][kPanel];    // transposed and scaled
  float out[kPanelsPerTile][kMaxHeadDim][kPanel];  // transposed, unscaled
  float maximum[kPanelsPerTile][kPanel];
  float sum[kPanelsPerTile][kPanel];
  float position[kPanelsPerTile][kPanel];
  float scores[kKvTile][kPanel];
  float rescale[kPanel];
  float keys[kKvTile * kMaxHeadDim];  // of a cache of halves
  float values[kKvTile * kMaxHeadDim];
};

// Returns rows of floats as they are.
inline const Rows<float>& as_floats(const Rows<float>& rows, int, int, TileState&) { return rows; }

// Turns `count` rows, made up to four, into floats, which all queries of the tile meet.
inline Rows<float> as_floats(const Rows<Half>& rows, int count, int head_dim, TileState& state) {
  Rows<float> floats;
  for (int n = 0; n < (count + 3) / 4 * 4; ++n) {
    float *key = state.keys + n * head_dim, *value = state.values + n * head_dim;
    convert(rows.k[n], head_dim, key);
    convert(rows.v[n], head_dim, value);
    floats.k[n] = key;
    floats.v[n] = value;
  }
  return floats;
}

// scores[n] = k[n] . q for 4 positions and a panel of queries.
inline void score_4_rows(const float* const* k, const float (*q)[kPanel], int head_dim, float (*scores)[kPanel]) {
  Vec sums[4][3] = {};
  for (int d = 0; d < head_dim; ++d) {
    Vec q0 = load(q[d]), q1 = load(q[d] + kLanes), q2 = load(q[d] + 2 * kLanes);
    keep(q0), keep(q1), keep(q2);
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
    Vec w0 = load(weights[n]), w1 = load(weights[n] + kLanes), w2 = load(weights[n] + 2 * kLanes);
    keep(w0), keep(w1), keep(w2);
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
  const int group = group_of(call), head_dim = call.cache.head_dim;
  const int first_token = call.query_start[task.sequence] + task.first_query;
  const int num_queries = call.query_start[task.sequence + 1] - call.query_start[task.sequence];
  const int first_position = call.context_lens[task.sequence] - num_queries + task.first_query;
  for (int column = 0; column < num_panels * kPanel; ++column) {
    const int panel = column / kPanel, lane = column % kPanel;
    const int query = std::min(column / group, task.num_queries - 1);  // columns left over repeat the last query
    const float* source =
        call.q + (first_token + query) * call.q_token_stride + (task.kv_head * group + column % group) * head_dim;
    for (int d = 0; d < head_dim; ++d) {
      state.q[panel][d][lane] = source[d] * call.scale;
      state.out[panel][d][lane] = 0.0f;
    }
    state.maximum[panel][lane] = kMasked;
    state.sum[panel][lane] = 0.0f;
    state.position[panel][lane] = float(first_position + query);
  }
}

void close_tile(const AttentionCall& call, const Task& task, TileState& state) {
  const int group = group_of(call);
  const int first_token = call.query_start[task.sequence] + task.first_query;
  for (int column = 0; column < task.num_queries * group; ++column) {
    const int panel = column / kPanel, lane = column % kPanel;
    float* target = call.out + (first_token + column / group) * call.out_token_stride +
                    (task.kv_head * group + column % group) * call.cache.head_dim;
    const float share = 1.0f / state.sum[panel][lane];
    for (int d = 0; d < call.cache.head_dim; ++d) target[d] = state.out[panel][d][lane] * share;
  }
}

template <class Number>
void attend_tile(const AttentionCall& call, const Task& task, TileState& state) {
  const int group = group_of(call), head_dim = call.cache.head_dim;
  const int num_panels = (task.num_queries * group + kPanel - 1) / kPanel;
  open_tile(call, task, num_panels, state);
  const int first_position = int(state.position[0][0]);
  Rows<Number> found;
  for (int begin = task.begin / kKvTile * kKvTile; begin < task.end; begin += kKvTile) {
    const int count = std::min(kKvTile, task.end - begin);
    find_rows(call, task, begin, count, found);
    const Rows<float>& rows = as_floats(found, count, head_dim, state);
    const bool needs_mask = begin + count - 1 > first_position || call.sliding_window;
    for (int panel = 0; panel < num_panels; ++panel) {
      for (int n = 0; n < count; n += 4) score_4_rows(rows.k + n, state.q[panel], head_dim, state.scores + n);
      if (needs_mask) mask(call, begin, count, state.position[panel], state.scores);
      soften(count, state.maximum[panel], state.sum[panel], state.rescale, state.scores);
      for (int d = 0; d < head_dim; d += 4)
        mix_4_columns(rows.v, d, count, state.scores, state.rescale, state.out[panel]);
    }
  }
  close_tile(call, task, state);
}

}  // namespace
