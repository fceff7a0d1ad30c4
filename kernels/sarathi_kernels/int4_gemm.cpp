// The product of few rows with a matrix of 4-bit numbers: a few of its rows at a time become floats in a buffer that
// stays in the cache, so that what is read from memory is an eighth.

#include <cstdint>
#include <vector>

#include "skinny_gemm.h"

namespace {

constexpr int kGroup = 32;  // numbers that share a scale and a minimum
constexpr int kHalf = kGroup / 2;

// Groups of numbers times a scale, plus a minimum. Byte i of a group holds number i in its low half and number
// i + 16 in its high one.
struct Matrix {
  const uint8_t* values;  // [num_columns, depth / 2]
  const float* scales;    // [num_columns, depth / kGroup]
  const float* minima;    // [num_columns, depth / kGroup]
  int64_t num_columns;
  int64_t depth;

  // A loop rather than vectors: GCC 12 converts a vector of bytes one by one, and this loop well.
  void unpack(int64_t column, float* target) const {
    const uint8_t* source = values + column * (depth / 2);
    const int64_t num_groups = depth / kGroup;
    for (int64_t group = 0; group < num_groups; ++group) {
      const float scale = scales[column * num_groups + group], minimum = minima[column * num_groups + group];
      const uint8_t* packed = source + group * kHalf;
      float* numbers = target + group * kGroup;
#pragma omp simd
      for (int i = 0; i < kHalf; ++i) {
        numbers[i] = float(packed[i] & 15) * scale + minimum;
        numbers[i + kHalf] = float(packed[i] >> 4) * scale + minimum;
      }
    }
  }
};

void multiply(const Matrix& matrix, const float* x, int64_t x_stride, float* y, int64_t num_rows) {
  const int64_t num_columns = matrix.num_columns, depth = matrix.depth;
  const int64_t num_whole = num_columns / kColumns * kColumns;
#pragma omp parallel
  {
    static thread_local std::vector<float> unpacked;
    unpacked.resize(kColumns * depth);
#pragma omp for schedule(static)
    for (int64_t column = 0; column < num_whole; column += kColumns) {
      for (int i = 0; i < kColumns; ++i) matrix.unpack(column + i, &unpacked[i * depth]);
      multiply_columns<kColumns, false>(x, x_stride, unpacked.data(), depth, y + column, num_columns, num_rows);
    }
  }
  std::vector<float> unpacked(depth);
  for (int64_t column = num_whole; column < num_columns; ++column) {
    matrix.unpack(column, unpacked.data());
    multiply_columns<1, false>(x, x_stride, unpacked.data(), depth, y + column, num_columns, num_rows);
  }
}

void unpack_all(const Matrix& matrix, float* target) {
#pragma omp parallel for schedule(static)
  for (int64_t column = 0; column < matrix.num_columns; ++column) matrix.unpack(column, target + column * matrix.depth);
}

}  // namespace

// x [num_rows, depth] with `x_stride` floats between rows, y [num_rows, num_columns] dense. Without x, y is
// [num_columns, depth] and takes the matrix itself.
extern "C" void sarathi_int4_gemm(const float* x, int64_t x_stride, const uint8_t* values, const float* scales,
                                  const float* minima, float* y, int64_t num_rows, int64_t num_columns,
                                  int64_t depth) {
  const Matrix matrix{values, scales, minima, num_columns, depth};
  if (x) return multiply(matrix, x, x_stride, y, num_rows);
  unpack_all(matrix, y);
}
