// One query against its context: head_dim lies across the lanes, and up to 4 heads share each key that is read.
//
// A long context is read in spans, by several threads, and the spans' parts are joined. It comes from memory, a block
// here and a block there: values are fetched while scores are made of the keys, and the next keys while values are
// mixed.

#pragma once

#include <algorithm>
#include <vector>

#include "paged_cache.h"
#include "vector_math.h"

namespace {

constexpr int kDecodeSpan = 512;  // positions that one task reads
constexpr int kStep = 16;         // head_dim is a multiple of it
constexpr int kLineBytes = 64;    // of a cache of the processor

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

// Asks for the line of memory in which a row's number `d` is the first, if it is.
template <class Number>
inline void fetch(const Number* row, int d) {
  if (d % (kLineBytes / int(sizeof(Number))) == 0) __builtin_prefetch(row + d);
}

struct DecodeState {
  float scores[4][kKvTile];
  float out[4][kMaxHeadDim];
  float maximum[4];
  float sum[4];
};

// Scores of each query against a few keys at a time, all of whose sums are in registers.
template <int kHeads, class Number>
void decode_scores(const float* q, const Rows<Number>& rows, int count, int head_dim, float scale, DecodeState& state) {
  constexpr int kKeys = kHeads < 4 ? 4 : 2;
  for (int n = 0; n < count; n += kKeys) {
    Vec sums[kHeads * kKeys] = {};  // by head, then by key: a multiple of four
    for (int d = 0; d < head_dim; d += kLanes) {
      Vec query[kHeads];
      for (int head = 0; head < kHeads; ++head) {
        query[head] = load(q + head * head_dim + d);
        keep(query[head]);
      }
      for (int i = 0; i < kKeys; ++i) {
        fetch(rows.v[n + i], d);
        Vec key = load(rows.k[n + i] + d);
        keep(key);
        for (int head = 0; head < kHeads; ++head) sums[head * kKeys + i] += key * query[head];
      }
    }
    for (int first = 0; first < kHeads * kKeys; first += 4) {
      float four[4];
      sums_of_4(sums + first, four);
      for (int i = 0; i < 4; ++i) state.scores[(first + i) / kKeys][n + (first + i) % kKeys] = four[i] * scale;
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

// Adds the values' numbers from `d` to `d + kWidth`, weighted, to each head's output.
template <int kHeads, int kWidth, class Number>
void mix_columns(const Rows<Number>& rows, const Rows<Number>& next, int d, int count, const float* rescale,
                 DecodeState& state) {
  constexpr int kParts = kWidth / kLanes;
  Vec sums[kHeads][kParts];
  for (int head = 0; head < kHeads; ++head)
    for (int part = 0; part < kParts; ++part)
      sums[head][part] = load(state.out[head] + d + part * kLanes) * rescale[head];
  for (int n = 0; n < count; ++n) {
    for (int at = d; at < d + kWidth; at += kStep) fetch(next.k[n], at);
    Vec weight[kHeads];
    for (int head = 0; head < kHeads; ++head) {
      weight[head] = splat(state.scores[head][n]);
      keep(weight[head]);
    }
    for (int part = 0; part < kParts; ++part) {
      Vec value = load(rows.v[n] + d + part * kLanes);
      keep(value);
      for (int head = 0; head < kHeads; ++head) sums[head][part] += value * weight[head];
    }
  }
  for (int head = 0; head < kHeads; ++head)
    for (int part = 0; part < kParts; ++part) store(state.out[head] + d + part * kLanes, sums[head][part]);
}

template <int kHeads, class Number>
void decode_mix(const Rows<Number>& rows, const Rows<Number>& next, int count, int head_dim, const float* rescale,
                DecodeState& state) {
  constexpr int kWidth = kHeads < 4 ? 2 * kStep : kStep;  // as many sums as there are registers for
  int d = 0;
  for (; d + kWidth <= head_dim; d += kWidth) mix_columns<kHeads, kWidth>(rows, next, d, count, rescale, state);
  for (; d < head_dim; d += kStep) mix_columns<kHeads, kStep>(rows, next, d, count, rescale, state);
}

template <int kHeads, class Number>
void attend_decode_heads(const AttentionCall& call, const Task& task, int first_head, Partials& partials) {
  const int group = group_of(call);
  const int token = call.query_start[task.sequence] + task.first_query;
  const int64_t head_offset = int64_t(task.kv_head * group + first_head) * call.cache.head_dim;
  const float* q = call.q + token * call.q_token_stride + head_offset;
  DecodeState state;
  for (int head = 0; head < kHeads; ++head) {
    state.maximum[head] = kMasked;
    state.sum[head] = 0.0f;
    std::fill_n(state.out[head], call.cache.head_dim, 0.0f);
  }
  Rows<Number> both[2];
  find_rows(call, task, task.begin, std::min(kKvTile, task.end - task.begin), both[0]);
  for (int begin = task.begin, turn = 0; begin < task.end; begin += kKvTile, turn ^= 1) {
    const int count = std::min(kKvTile, task.end - begin);
    const int num_left = task.end - begin - count;
    const Rows<Number>& rows = both[turn];
    Rows<Number>& next = both[turn ^ 1];
    find_rows(call, task, begin + count, std::min(kKvTile, num_left), next);
    decode_scores<kHeads>(q, rows, count, call.cache.head_dim, call.scale, state);
    float rescale[kHeads];
    for (int head = 0; head < kHeads; ++head)
      rescale[head] = decode_soften(state.scores[head], state.maximum[head], state.sum[head]);
    decode_mix<kHeads>(rows, next, count, call.cache.head_dim, rescale, state);
  }
  for (int head = 0; head < kHeads; ++head) {
    const bool is_whole = task.partial < 0;
    float* target = is_whole ? call.out + token * call.out_token_stride + head_offset + head * call.cache.head_dim
                             : partials.output(task.partial, first_head + head);
    const float share = is_whole ? 1.0f / state.sum[head] : 1.0f;
    for (int d = 0; d < call.cache.head_dim; ++d) target[d] = state.out[head][d] * share;
    if (is_whole) continue;
    partials.maxima[task.partial * group + first_head + head] = state.maximum[head];
    partials.sums[task.partial * group + first_head + head] = state.sum[head];
  }
}

template <class Number>
void attend_decode(const AttentionCall& call, const Task& task, Partials& partials) {
  const int group = group_of(call);
  int head = 0;
  for (; head + 4 <= group; head += 4) attend_decode_heads<4, Number>(call, task, head, partials);
  switch (group - head) {
    case 3: return attend_decode_heads<3, Number>(call, task, head, partials);
    case 2: return attend_decode_heads<2, Number>(call, task, head, partials);
    case 1: return attend_decode_heads<1, Number>(call, task, head, partials);
  }
}

// Joins the spans of one decode and KV head; `first` is the task of the first of `count` spans.
void join_spans(const AttentionCall& call, const Task& first, int count, Partials& partials) {
  const int group = group_of(call);
  for (int head = 0; head < group; ++head) {
    const float* maxima = &partials.maxima[first.partial * group + head];
    const float* sums = &partials.sums[first.partial * group + head];
    float maximum = kMasked, total = 0.0f;
    for (int i = 0; i < count; ++i) maximum = std::max(maximum, maxima[i * group]);
    float* target = call.out + (call.query_start[first.sequence] + first.first_query) * call.out_token_stride +
                    (first.kv_head * group + head) * call.cache.head_dim;
    std::fill_n(target, call.cache.head_dim, 0.0f);
    for (int i = 0; i < count; ++i) {
      const float weight = exp_of(splat(maxima[i * group] - maximum))[0];
      const float* part = partials.output(first.partial + i, head);
      total += sums[i * group] * weight;
      for (int d = 0; d < call.cache.head_dim; ++d) target[d] += part[d] * weight;
    }
    for (int d = 0; d < call.cache.head_dim; ++d) target[d] /= total;
  }
}

}  // namespace
