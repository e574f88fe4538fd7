/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logarithm, exponential and power in double precision, for a guest without a C library. Relative
 * error below 1e-13 in the range the workloads use; no special cases beyond those stated.
 */
#ifndef GUEST_DRIVER_FMATH_H
#define GUEST_DRIVER_FMATH_H

/* x > 0 and normal. */
double fmath_log(double x);
/* 0 below -700; x at most 700. */
double fmath_exp(double x);
/* base to the power of exponent; 0 when base <= 0. */
double fmath_pow(double base, double exponent);

#endif
