// Floats by the register: what all the kernels of this package are written in.

#pragma once

#include <cstdint>

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#else
constexpr int kLanes = 8;  // the compiler splits it where registers are narrower
#endif

typedef float Vec __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));
typedef int32_t IntVec __attribute__((vector_size(kLanes * 4), aligned(4), may_alias));

inline Vec load(const float* p) { return *reinterpret_cast<const Vec*>(p); }
inline void store(float* p, Vec v) { *reinterpret_cast<Vec*>(p) = v; }
inline Vec splat(float x) { return x - Vec{}; }
inline Vec larger(Vec a, Vec b) { return a > b ? a : b; }

// Makes the compiler hold `v` in a register: GCC otherwise loads it again for each use, which halves the
// speed of a loop whose values each meet several others.
inline void keep(Vec& v) {
#if defined(__AVX__)
  asm("" : "+x"(v));
#else
  (void)v;
#endif
}

inline float sum_of(Vec v) {
  float halves[kLanes];
  for (int i = 0; i < kLanes; ++i) halves[i] = v[i];
  for (int width = kLanes / 2; width > 0; width /= 2)
    for (int i = 0; i < width; ++i) halves[i] += halves[i + width];
  return halves[0];
}

// The sums of four vectors at once, each in an order of its own but always the same one.
inline void sums_of_4(const Vec* v, float* sums) {
#if defined(__AVX__) && !defined(__AVX512F__)
  const __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(v[0], v[1]), _mm256_hadd_ps(v[2], v[3]));
  _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1)));
#else
  for (int i = 0; i < 4; ++i) sums[i] = sum_of(v[i]);
#endif
}

// e^x for x <= 0 to 2 ulp: 2^n times a polynomial (Cephes expf); 0 below -87, NaN for NaN.
inline Vec exp_of(Vec x) {
  const Vec bounded = larger(x, splat(-87.0f));
  const IntVec n = __builtin_convertvector(bounded * 1.44269504f - 0.5f, IntVec);
  const Vec whole = __builtin_convertvector(n, Vec);
  const Vec r = (x - whole * 0.693359375f) + whole * 2.12194440e-4f;
  Vec p = splat(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  const IntVec bits = (n + 127) << 23;
  const Vec scaled = p * reinterpret_cast<const Vec&>(bits);
  return x < -87.0f ? Vec{} : scaled;
}

}  // namespace
