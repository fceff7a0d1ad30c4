// A block of a product of few rows of x with a few rows of a matrix, float32, in registers.
//
// Four rows of w meet three rows of x, and while they do, the next four rows of w may be fetched. A row of
// y depends on its row of x alone, whatever the number of rows.

#pragma once

#include <cstdint>

#include "vector_math.h"

namespace {

constexpr int kRows = 3;
constexpr int kColumns = 4;
constexpr int kLineFloats = 16;  // of a cache line

// y[row][column] = x[row] . w[column] for a small block; `fetches` asks for the columns behind it.
template <int rows, int columns, bool fetches>
inline void multiply_block(const float* x, int64_t x_stride, const float* w, int64_t depth, float* y, int64_t y_stride) {
  Vec sums[rows][columns] = {};
  for (int64_t k = 0; k < depth; k += kLanes) {
    if (fetches && k % kLineFloats == 0)
      for (int column = 0; column < columns; ++column) __builtin_prefetch(w + (columns + column) * depth + k);
    Vec x_row[rows];
    for (int row = 0; row < rows; ++row) {
      x_row[row] = load(x + row * x_stride + k);
      keep(x_row[row]);
    }
    for (int column = 0; column < columns; ++column) {
      Vec weight = load(w + column * depth + k);
      keep(weight);
      for (int row = 0; row < rows; ++row) sums[row][column] += weight * x_row[row];
    }
  }
  for (int row = 0; row < rows; ++row)
    for (int column = 0; column < columns; ++column) y[row * y_stride + column] = sum_of(sums[row][column]);
}

template <int columns, bool fetches>
inline void multiply_columns(const float* x, int64_t x_stride, const float* w, int64_t depth, float* y,
                             int64_t y_stride, int64_t num_rows) {
  int64_t row = num_rows % kRows;
  if (row == 1) multiply_block<1, columns, fetches>(x, x_stride, w, depth, y, y_stride);
  if (row == 2) multiply_block<2, columns, fetches>(x, x_stride, w, depth, y, y_stride);
  if (row == 0) {
    multiply_block<kRows, columns, fetches>(x, x_stride, w, depth, y, y_stride);
    row = kRows;
  }
  for (; row < num_rows; row += kRows)
    multiply_block<kRows, columns, false>(x + row * x_stride, x_stride, w, depth, y + row * y_stride, y_stride);
}

}  // namespace
