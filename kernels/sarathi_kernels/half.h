// Numbers of 16 bits (IEEE binary16) in memory, floats in registers; only where one instruction turns them.

#pragma once

#include <cstdint>

#include "vector_math.h"

namespace {

struct Half {
  uint16_t bits;
};

constexpr float kLargestHalf = 65504.0f;

#if defined(__AVX512F__)
constexpr bool kHasHalves = true;
inline Vec load(const Half* p) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))); }
inline void store_bounded(Half* p, Vec v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
#elif defined(__F16C__)
constexpr bool kHasHalves = true;
inline Vec load(const Half* p) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))); }
inline void store_bounded(Half* p, Vec v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT));
}
#else
constexpr bool kHasHalves = false;
inline Vec load(const Half*) { return Vec{}; }
inline void store_bounded(Half*, Vec) {}
#endif

// Rounds to the nearest; what is too large becomes the largest that there is, and NaN stays NaN.
inline void store(Half* p, Vec v) {
  v = v > kLargestHalf ? splat(kLargestHalf) : v;
  store_bounded(p, v < -kLargestHalf ? splat(-kLargestHalf) : v);
}

// Copies `count` numbers, a multiple of kLanes, from one format to another.
template <class From, class To>
inline void convert(const From* from, int count, To* to) {
  for (int i = 0; i < count; i += kLanes) store(to + i, load(from + i));
}

}  // namespace
