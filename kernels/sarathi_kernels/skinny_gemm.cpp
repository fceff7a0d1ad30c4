// The product of few rows with a large matrix, float32: y = x w^T, where reading w is what takes the time.

#include <cstdint>

#include "skinny_gemm.h"

// x [num_rows, depth] with `x_stride` floats between rows, w [num_columns, depth] and y [num_rows, num_columns] dense.
extern "C" void sarathi_skinny_gemm(const float* x, int64_t x_stride, const float* w, float* y, int64_t num_rows,
                                    int64_t num_columns, int64_t depth) {
  const int64_t num_whole = num_columns / kColumns * kColumns;
#pragma omp parallel for schedule(static)
  for (int64_t column = 0; column < num_whole; column += kColumns)
    multiply_columns<kColumns, true>(x, x_stride, w + column * depth, depth, y + column, num_columns, num_rows);
  for (int64_t column = num_whole; column < num_columns; ++column)
    multiply_columns<1, true>(x, x_stride, w + column * depth, depth, y + column, num_columns, num_rows);
}
