//! GELU and powers of two, written once over [`Isa`] as in [`super::generic`].

#![allow(
    clippy::needless_range_loop,
    reason = "iterators are not always inlined into functions of another instruction set"
)]

use super::isa::Isa;

/// GELU, `x * Φ(x)`, as `max(x, 0) - |x| * Φ(-|x|)`.
///
/// The error function is that of Abramowitz and Stegun: 7.1.26 (error below 1.5e-7), and where the result is rounded to
/// 16 bits, 7.1.25 (below 2.5e-5).
#[inline(always)]
pub(super) unsafe fn gelu<I: Isa>(x: I::Vector) -> I::Vector {
    // Half of their factors, as the tail is half of the complementary error function; the highest power first.
    const EXACT: (f32, [f32; 5]) =
        (0.327_591_1, [0.530_702_7, -0.726_576, 0.710_706_9, -0.142_248_37, 0.127_414_8]);
    const SHORT: (f32, [f32; 3]) = (0.470_47, [0.373_927_8, -0.047_939_9, 0.174_012_1]);
    unsafe {
        let size = I::absolute(x);
        let (slope, terms): (f32, &[f32]) =
            if I::DEPTH == 1 { (EXACT.0, &EXACT.1) } else { (SHORT.0, &SHORT.1) };
        let slope = I::splat(slope * std::f32::consts::FRAC_1_SQRT_2);
        let t = I::reciprocal(I::multiply_add(size, slope, I::splat(1.0)));
        let series = I::multiply(polynomial::<I>(terms, t), t);
        let square = I::multiply(x, I::multiply(x, I::splat(-0.5 * std::f32::consts::LOG2_E)));
        let tail = I::multiply(series, exp2::<I>(square));
        I::multiply_subtract(size, tail, I::maximum(x, I::splat(0.0)))
    }
}

/// `2^x` for `x` up to 127; what is below -126 gives at most `2^-126`.
///
/// The fractions are the polynomials whose largest relative error over `0..1` is the smallest, by Remez' algorithm:
/// 1.6e-7 with rounding, and 7.5e-5 where the result is rounded to 16 bits.
#[inline(always)]
pub(super) unsafe fn exp2<I: Isa>(x: I::Vector) -> I::Vector {
    const EXACT: [f32; 6] =
        [1.877_576_7e-3, 8.989_34e-3, 5.582_631_8e-2, 0.240_153_61, 0.693_153_1, 0.999_999_94];
    const SHORT: [f32; 4] = [7.802_452e-2, 0.226_067_16, 0.695_833_56, 0.999_925_2];
    unsafe {
        let (whole, fraction) = I::split(x);
        let power = polynomial::<I>(if I::DEPTH == 1 { &EXACT } else { &SHORT }, fraction);
        I::scale(power, whole)
    }
}

/// The factor of the highest power first.
#[inline(always)]
unsafe fn polynomial<I: Isa>(factors: &[f32], x: I::Vector) -> I::Vector {
    unsafe {
        let mut sum = I::splat(factors[0]);
        for n in 1..factors.len() {
            sum = I::multiply_add(sum, x, I::splat(factors[n]));
        }
        sum
    }
}
