// SPDX-License-Identifier: Apache-2.0
/*
 * Textbook range reduction: split off the power of two, which the exponent field holds for free, and
 * sum a series over what is left, where it converges fast.
 */
#include "guest-driver/fmath.h"
#include "lib/types.h"

#define LN2	 0.693147180559945309417
#define LN2_HIGH 6.93147180369123816490e-01 /* 32 bits: k * LN2_HIGH is exact */
#define LN2_LOW	 1.90821492927058770002e-10
#define SQRT2	 1.41421356237309504880

#define MANTISSA_BITS 52
#define MANTISSA_MASK ((1ULL << MANTISSA_BITS) - 1)
#define EXPONENT_BIAS 1023

static u64 bits_of(double x)
{
	union {
		double number;
		u64 bits;
	} both = {.number = x};

	return both.bits;
}

static double number_of(u64 bits)
{
	union {
		u64 bits;
		double number;
	} both = {.bits = bits};

	return both.number;
}

/* ln m = 2 artanh s with s = (m - 1) / (m + 1); m within [1/sqrt 2, sqrt 2] keeps |s| below 0.172. */
double fmath_log(double x)
{
	int exponent = (int)(bits_of(x) >> MANTISSA_BITS) - EXPONENT_BIAS;
	double m = number_of((bits_of(x) & MANTISSA_MASK) | ((u64)EXPONENT_BIAS << MANTISSA_BITS));
	double s, square, sum = 0;

	if (m > SQRT2) {
		m *= 0.5;
		exponent++;
	}
	s = (m - 1) / (m + 1);
	square = s * s;
	for (int n = 21; n >= 1; n -= 2)
		sum = sum * square + 1.0 / n;
	return exponent * LN2 + 2 * s * sum;
}

/* e^x = 2^k e^r with |r| <= ln 2 / 2: Taylor to the 14th power. */
double fmath_exp(double x)
{
	double r, sum = 1;
	int k;

	if (x < -700)
		return 0;
	k = (int)(x / LN2 + (x < 0 ? -0.5 : 0.5));
	r = (x - k * LN2_HIGH) - k * LN2_LOW;
	for (int n = 14; n >= 1; n--)
		sum = 1 + sum * r / n;
	return sum * number_of((u64)(k + EXPONENT_BIAS) << MANTISSA_BITS);
}

double fmath_pow(double base, double exponent)
{
	if (base <= 0)
		return 0;
	return fmath_exp(exponent * fmath_log(base));
}
