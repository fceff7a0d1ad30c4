// The product of rows of floats with a matrix of 8-bit numbers, in integers: each row of x becomes 16-bit
// numbers times a scale of its own, so that a row of y depends on its row of x alone.
//
// Sums of integers are exact: neither the number of rows nor that of threads changes a bit. 16-bit numbers keep
// 9 bits of x beside its sign at a depth of 28,672 and 15 at 576, and what is read from memory is a quarter of
// what floats take.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "threads.h"
#include "vector_math.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

constexpr int kColumns = 16;  // of a panel, which holds [depth / 2, kColumns, 2] numbers
constexpr int kPair = 2 * kColumns;
constexpr int kMostWeight = 127;
constexpr int64_t kNumbersWorthThreads = 1 << 16;
constexpr int64_t kProductsWorthWaking = 4 << 20;
constexpr int64_t kAhead = 2048;  // bytes of panels that are fetched early: the hardware's own fetching ends with a page

// A panel's two numbers of each column, 16 bits each, and what the columns sum up to.
#if defined(__AVX512BW__)

constexpr int kRows = 12;  // with their sums, the panel and a pair of x they fill the registers

struct Pairs {
  __m512i numbers;
  static Pairs widen(const int8_t* p) { return {_mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i*)p))}; }
  static Pairs repeat(const int16_t* p) {
    int32_t pair;
    std::memcpy(&pair, p, sizeof pair);
    return {_mm512_set1_epi32(pair)};
  }
};

struct Sums {
  __m512i sums = _mm512_setzero_si512();
  void add_products(Pairs a, Pairs b) {
#if defined(__AVX512VNNI__)
    sums = _mm512_dpwssd_epi32(sums, a.numbers, b.numbers);
#else
    sums = _mm512_add_epi32(sums, _mm512_madd_epi16(a.numbers, b.numbers));
#endif
  }
  void store(int32_t* p) const { _mm512_storeu_si512(p, sums); }
};

#elif defined(__AVX2__)

constexpr int kRows = 5;  // of sixteen registers six rows need one more, which then lies in memory

struct Pairs {
  __m256i low, high;
  static Pairs widen(const int8_t* p) {
    return {_mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)p)),
            _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)(p + kColumns)))};
  }
  static Pairs repeat(const int16_t* p) {
    int32_t pair;
    std::memcpy(&pair, p, sizeof pair);
    const __m256i repeated = _mm256_set1_epi32(pair);
    return {repeated, repeated};
  }
};

struct Sums {
  __m256i low = _mm256_setzero_si256(), high = _mm256_setzero_si256();
  void add_products(Pairs a, Pairs b) {
    low = _mm256_add_epi32(low, _mm256_madd_epi16(a.low, b.low));
    high = _mm256_add_epi32(high, _mm256_madd_epi16(a.high, b.high));
  }
  void store(int32_t* p) const {
    _mm256_storeu_si256((__m256i*)p, low);
    _mm256_storeu_si256((__m256i*)(p + kColumns / 2), high);
  }
};

#else

constexpr int kRows = 4;

struct Pairs {
  int16_t numbers[kPair];
  static Pairs widen(const int8_t* p) {
    Pairs pairs;
    for (int i = 0; i < kPair; ++i) pairs.numbers[i] = p[i];
    return pairs;
  }
  static Pairs repeat(const int16_t* p) {
    Pairs pairs;
    for (int i = 0; i < kPair; ++i) pairs.numbers[i] = p[i % 2];
    return pairs;
  }
};

struct Sums {
  int32_t sums[kColumns] = {};
  void add_products(const Pairs& a, const Pairs& b) {
    for (int i = 0; i < kColumns; ++i)
      sums[i] += int32_t(a.numbers[2 * i]) * b.numbers[2 * i] + int32_t(a.numbers[2 * i + 1]) * b.numbers[2 * i + 1];
  }
  void store(int32_t* p) const { std::memcpy(p, sums, sizeof sums); }
};

#endif

// Memory that is asked for while other is computed with, a little at each step: so the loads keep an even pace.
struct Fetch {
  const int8_t* next;
  int64_t step;  // bytes
};

struct Rows {
  std::vector<int16_t> numbers;  // [num_rows, depth]
  int64_t num_rows, depth;
};

// Where sums go as the floats that they stand for.
struct Floats {
  float* y;
  int64_t stride;
  const float* row_scales;
  const float* scales;  // of the columns
  void store(int64_t row, int64_t first, int64_t num_columns, const int32_t* sums) const {
    const float* of_columns = scales + first;
    float* target = y + row * stride + first;
    const float of_row = row_scales[row];
    for (int64_t i = 0; i < num_columns; ++i) target[i] = float(sums[i]) * (of_row * of_columns[i]);
  }
};

// Where sums go as they are.
struct Integers {
  int32_t* y;
  int64_t stride;
  void store(int64_t row, int64_t first, int64_t num_columns, const int32_t* sums) const {
    int32_t* target = y + row * stride + first;
    for (int64_t i = 0; i < num_columns; ++i) target[i] = sums[i];
  }
};

// The columns of a panel, and where their sums go.
template <class Place>
struct Target {
  Place place;
  int64_t first;        // column
  int64_t num_columns;  // that are there, of the panel's
  void store(int64_t row, const int32_t* sums) const {
    if (num_columns == kColumns)
      place.store(row, first, kColumns, sums);
    else
      place.store(row, first, num_columns, sums);
  }
};

// The sums of x[row] . panel, for the `rows` behind `first`.
template <int rows, class Place>
inline void multiply_rows(const Rows& x, int64_t first, const int8_t* panel, Fetch fetch, const Target<Place>& target) {
  Sums sums[rows];
  const int16_t* numbers = x.numbers.data() + first * x.depth;
  for (int64_t k = 0; k < x.depth; k += 2) {
    __builtin_prefetch(fetch.next);
    fetch.next += fetch.step;
    const Pairs weights = Pairs::widen(panel + k * kColumns);
#pragma GCC unroll 12  // before GCC decides what stays in registers: sums that a loop picks would not
    for (int row = 0; row < rows; ++row) sums[row].add_products(weights, Pairs::repeat(numbers + row * x.depth + k));
  }
#pragma GCC unroll 12
  for (int row = 0; row < rows; ++row) {
    int32_t totals[kColumns];
    sums[row].store(totals);
    target.store(first + row, totals);
  }
}

// As many rows as are left, at most kRows of them.
template <int rows, class Place>
inline void multiply_some(const Rows& x, int64_t first, int64_t num_rows, const int8_t* panel, Fetch fetch,
                          const Target<Place>& target) {
  if constexpr (rows > 0) {
    if (num_rows == rows) return multiply_rows<rows>(x, first, panel, fetch, target);
    multiply_some<rows - 1>(x, first, num_rows, panel, fetch, target);
  }
}

// All rows, in passes over the panel of nearly as many each. Where there are several, those over the panel before have
// brought it into a core's cache.
template <class Place>
inline void multiply_panel(const Rows& x, const int8_t* panel, const Target<Place>& target) {
  const int64_t num_rows = x.num_rows, num_bytes = kColumns * x.depth, num_passes = (num_rows + kRows - 1) / kRows;
  for (int64_t pass = 0; pass < num_passes; ++pass) {
    const int64_t first = num_rows * pass / num_passes, end = num_rows * (pass + 1) / num_passes;
    const Fetch fetch = num_passes == 1
                            ? Fetch{panel + kAhead, kPair}
                            : Fetch{panel + num_bytes + num_bytes * pass / num_passes, kPair / num_passes};
    multiply_some<kRows>(x, first, end - first, panel, fetch, target);
  }
}

template <class Place>
void multiply(const Rows& x, const int8_t* panels, int64_t num_columns, const Place& place) {
  const int64_t num_panels = (num_columns + kColumns - 1) / kColumns;
#pragma omp parallel for schedule(static) if (is_worth_threads(x.num_rows * num_columns * x.depth, kProductsWorthWaking))
  for (int64_t index = 0; index < num_panels; ++index) {
    const int64_t first = index * kColumns;
    const Target<Place> target{place, first, std::min<int64_t>(kColumns, num_columns - first)};
    multiply_panel(x, panels + first * x.depth, target);
  }
}

// The largest number that products of such a depth may be made of.
inline float most_at(int64_t depth) {
  return float(std::min<int64_t>(INT16_MAX, INT32_MAX / (kMostWeight * depth)));
}

// The largest absolute number of x [depth]: infinity if not all are numbers.
inline float peak_of(const float* x, int64_t depth) {
  Vec largest = {}, nothing = {};
  for (int64_t k = 0; k < depth; k += kLanes) {
    const Vec values = load(x + k);
    largest = larger(larger(values, -values), largest);
    nothing += values * 0.0f;
  }
  float peak = 0.0f;
  for (int i = 0; i < kLanes; ++i) peak = std::max(peak, largest[i]);
  return sum_of(nothing) == 0.0f ? peak : INFINITY;
}

// What makes floats again of numbers up to `most`; NaN where there is none.
inline float scale_of(float peak, float most) { return peak < INFINITY ? peak / most : NAN; }

// Numbers up to `most` that stand for x [depth], of which none is beyond `peak`.
inline void round_to(float most, float peak, const float* x, int64_t depth, int16_t* numbers) {
  if (!(scale_of(peak, most) > 0.0f)) {
    std::fill(numbers, numbers + depth, int16_t(0));
    return;
  }
  const float steps = most / peak;
  for (int64_t k = 0; k < depth; ++k) numbers[k] = int16_t(int32_t(x[k] * steps + std::copysign(0.5f, x[k])));
}

// Numbers for rows of x that are kept until the next call on this thread.
template <class Peak>
const Rows& round_rows(const float* x, int64_t x_stride, int64_t num_rows, int64_t depth, float most, Peak peak_of_row) {
  static thread_local Rows rows;
  rows.numbers.resize(num_rows * depth);
  rows.num_rows = num_rows, rows.depth = depth;
  int16_t* numbers = rows.numbers.data();
#pragma omp parallel for schedule(static) if (num_rows * depth >= kNumbersWorthThreads)
  for (int64_t row = 0; row < num_rows; ++row)
    round_to(most, peak_of_row(row), x + row * x_stride, depth, numbers + row * depth);
  return rows;
}

}  // namespace

extern "C" {

// y [num_rows, num_columns] dense = x [num_rows, depth], `x_stride` floats between rows, times the matrix whose
// `panels` are [ceil(num_columns / 16), depth / 2, 16, 2] and whose `scales` are [num_columns, padded to 16]; depth is
// a multiple of 16.
void sarathi_int8_gemm(const float* x, int64_t x_stride, const int8_t* panels, const float* scales, float* y,
                       int64_t num_rows, int64_t num_columns, int64_t depth) {
  static thread_local std::vector<float> row_scales;
  row_scales.resize(num_rows);
  float* scales_of_rows = row_scales.data();
  const float most = most_at(depth);
  const Rows& rows = round_rows(x, x_stride, num_rows, depth, most, [=](int64_t row) {
    const float peak = peak_of(x + row * x_stride, depth);
    scales_of_rows[row] = scale_of(peak, most);
    return peak;
  });
  multiply(rows, panels, num_columns, Floats{y, num_columns, scales_of_rows, scales});
}

// A product whose depth is cut into parts takes three steps, with a maximum and a sum over the parts between them; its
// bits are those of the whole one. First, the peak of each row of a part: peaks [num_rows].
void sarathi_int8_peaks(const float* x, int64_t x_stride, float* peaks, int64_t num_rows, int64_t depth) {
  for (int64_t row = 0; row < num_rows; ++row) peaks[row] = peak_of(x + row * x_stride, depth);
}

// Second, with the peaks of whole rows of `whole_depth`: sums [num_rows, num_columns] dense of a part's products.
void sarathi_int8_sums(const float* x, int64_t x_stride, const float* peaks, const int8_t* panels, int32_t* sums,
                       int64_t num_rows, int64_t num_columns, int64_t depth, int64_t whole_depth) {
  const Rows& rows =
      round_rows(x, x_stride, num_rows, depth, most_at(whole_depth), [=](int64_t row) { return peaks[row]; });
  multiply(rows, panels, num_columns, Integers{sums, num_columns});
}

// Third, the floats y [num_rows, num_columns] dense that sums over all parts stand for.
void sarathi_int8_floats(const int32_t* sums, const float* peaks, const float* scales, float* y, int64_t num_rows,
                         int64_t num_columns, int64_t whole_depth) {
  const float most = most_at(whole_depth);
  for (int64_t row = 0; row < num_rows; ++row) {
    const float scale = scale_of(peaks[row], most);
    const int32_t* of_row = sums + row * num_columns;
    for (int64_t i = 0; i < num_columns; ++i) y[row * num_columns + i] = float(of_row[i]) * (scale * scales[i]);
  }
}
}
