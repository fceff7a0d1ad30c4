// Draws a token of a row of logits, any of which may be drawn, by inverting the running sum of their weights.
//
// Weights are never stored: those of a block are made again when it is known that the token lies in it. A row is one
// thread's, so that neither the number of rows nor that of threads changes what is drawn.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "vector_math.h"

namespace {

constexpr int64_t kBlock = 256;
constexpr int64_t kFloatsWorthThreads = 32768;

struct Row {
  const float* logits;
  int64_t vocab_size;
  float largest, temperature;
};

// The weights [kBlock] of a block of tokens; those beyond the last token weigh nothing.
inline void weigh(const Row& row, int64_t block, float* weights) {
  const int64_t first = block * kBlock, count = std::min(kBlock, row.vocab_size - first);
  const float* logits = row.logits + first;
  float padded[kBlock];
  if (count < kBlock) {
    std::fill(std::copy_n(logits, count, padded), padded + kBlock, -INFINITY);
    logits = padded;
  }
  for (int64_t i = 0; i < kBlock; i += kLanes)
    store(weights + i, exp_of((load(logits + i) - row.largest) / row.temperature));
}

inline float sum_of_block(const float* weights) {
  Vec sums = {};
  for (int64_t i = 0; i < kBlock; i += kLanes) sums += load(weights + i);
  return sum_of(sums);
}

// The token in a block at which the running sum passes `wanted`; the last of any weight where rounding has it not pass.
inline int64_t place_in(const float* weights, double wanted) {
  double passed = 0.0;
  int64_t last = 0;
  for (int64_t i = 0; i < kBlock; ++i) {
    passed += weights[i];
    if (weights[i] > 0.0f) last = i;
    if (passed > wanted) break;
  }
  return last;
}

// The token at which the running sum passes `share` of the whole.
int64_t draw(const Row& row, double share, std::vector<double>& sums) {
  float weights[kBlock];
  const int64_t num_blocks = (row.vocab_size + kBlock - 1) / kBlock;
  sums.resize(num_blocks);
  double total = 0.0;
  for (int64_t block = 0; block < num_blocks; ++block) {
    weigh(row, block, weights);
    sums[block] = total += sum_of_block(weights);
  }
  const auto passing = std::upper_bound(sums.begin(), sums.end() - 1, share * total);
  const int64_t block = passing - sums.begin();
  weigh(row, block, weights);
  return block * kBlock + place_in(weights, share * total - (block > 0 ? sums[block - 1] : 0.0));
}

}  // namespace

// tokens [num_drawn] of the `rows` [num_drawn] of logits [., vocab_size], `stride` floats apart, whose `largest` are
// finite; a share in [0, 1) says where in the sum of all weights e^((logit - largest) / temperature) the token lies.
extern "C" void sarathi_draw(const float* logits, int64_t stride, const int64_t* rows, const float* largest,
                             const float* temperatures, const double* shares, int64_t* tokens, int64_t num_drawn,
                             int64_t vocab_size) {
#pragma omp parallel for schedule(static) if (num_drawn > 1 && num_drawn * vocab_size >= kFloatsWorthThreads)
  for (int64_t i = 0; i < num_drawn; ++i) {
    static thread_local std::vector<double> sums;
    tokens[i] = draw(Row{logits + rows[i] * stride, vocab_size, largest[i], temperatures[i]}, shares[i], sums);
  }
}
