// What a decoder layer does between its matrix products, each in one pass over its rows, float32.

#include <cmath>
#include <cstdint>

#include "vector_math.h"

namespace {

constexpr int64_t kFloatsWorthThreads = 32768;  // below, waking the other threads costs more than it saves

inline Vec silu(Vec x) {
  const Vec small = exp_of(x < 0.0f ? x : -x);
  return x * (x < 0.0f ? small : splat(1.0f)) / (small + 1.0f);
}

}  // namespace

extern "C" {

// y = x / sqrt(mean(x^2) + eps) * weight, by row of [num_rows, size]; size is a multiple of kLanes.
void sarathi_rms_norm(const float* x, const float* weight, float* y, int64_t num_rows, int64_t size, float eps) {
#pragma omp parallel for schedule(static) if (num_rows * size >= kFloatsWorthThreads)
  for (int64_t row = 0; row < num_rows; ++row) {
    const float* source = x + row * size;
    float* target = y + row * size;
    Vec squares = {};
    for (int64_t i = 0; i < size; i += kLanes) squares += load(source + i) * load(source + i);
    const float scale = 1.0f / std::sqrt(sum_of(squares) / float(size) + eps);
    for (int64_t i = 0; i < size; i += kLanes) store(target + i, load(source + i) * scale * load(weight + i));
  }
}

// y = silu(gate) * up, where a row of [num_rows, 2 * size] is gate, then up; size is a multiple of kLanes.
void sarathi_gate(const float* gate_up, float* y, int64_t num_rows, int64_t size) {
#pragma omp parallel for schedule(static) if (num_rows * size >= kFloatsWorthThreads)
  for (int64_t row = 0; row < num_rows; ++row) {
    const float* gate = gate_up + row * 2 * size;
    for (int64_t i = 0; i < size; i += kLanes)
      store(y + row * size + i, silu(load(gate + i)) * load(gate + size + i));
  }
}

// Turns each head of [num_tokens, num_heads, 2 * half] in place by cos and sin [num_tokens, half].
void sarathi_rotate(float* heads, const float* cos, const float* sin, int64_t num_tokens, int64_t token_stride,
                    int64_t num_heads, int64_t half) {
#pragma omp parallel for schedule(static) if (num_tokens * num_heads * half >= kFloatsWorthThreads)
  for (int64_t token = 0; token < num_tokens; ++token) {
    const float *c = cos + token * half, *s = sin + token * half;
    for (int64_t head = 0; head < num_heads; ++head) {
      float* first = heads + token * token_stride + head * 2 * half;
      float* second = first + half;
#pragma omp simd
      for (int64_t i = 0; i < half; ++i) {
        const float a = first[i], b = second[i];
        first[i] = a * c[i] - b * s[i];
        second[i] = b * c[i] + a * s[i];
      }
    }
  }
}

}  // extern "C"
