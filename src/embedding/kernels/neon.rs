//! NEON of AArch64, four lanes of `f32`.

use std::arch::aarch64::*;

use super::isa::Isa;

/// 4 lanes of `f32`; every AArch64 CPU has them.
pub(super) struct Neon;

impl Isa for Neon {
    type Vector = float32x4_t;
    type Words = float32x4_t;
    type Sums = float32x4_t;
    type Element = f32;
    const LANES: usize = 4;
    const DEPTH: usize = 1;
    const FIXED: bool = false;
    const ROWS: usize = 8;

    #[inline(always)]
    unsafe fn splat(value: f32) -> float32x4_t {
        unsafe { vdupq_n_f32(value) }
    }
    #[inline(always)]
    unsafe fn load(from: *const f32) -> float32x4_t {
        unsafe { vld1q_f32(from) }
    }
    #[inline(always)]
    unsafe fn store(to: *mut f32, vector: float32x4_t) {
        unsafe { vst1q_f32(to, vector) }
    }
    #[inline(always)]
    unsafe fn add(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vaddq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn subtract(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vsubq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn multiply(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmulq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn multiply_add(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe { vfmaq_f32(c, a, b) }
    }
    #[inline(always)]
    unsafe fn maximum(a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vmaxq_f32(a, b) }
    }
    #[inline(always)]
    unsafe fn absolute(a: float32x4_t) -> float32x4_t {
        unsafe { vabsq_f32(a) }
    }
    #[inline(always)]
    unsafe fn reciprocal(a: float32x4_t) -> float32x4_t {
        unsafe { vdivq_f32(vdupq_n_f32(1.0), a) }
    }
    #[inline(always)]
    unsafe fn multiply_subtract(a: float32x4_t, b: float32x4_t, c: float32x4_t) -> float32x4_t {
        unsafe { vfmsq_f32(c, a, b) }
    }
    #[inline(always)]
    unsafe fn split(x: float32x4_t) -> (float32x4_t, float32x4_t) {
        unsafe {
            let x = vmaxq_f32(x, vdupq_n_f32(-126.0));
            let floor = vrndmq_f32(x);
            (floor, vsubq_f32(x, floor))
        }
    }
    #[inline(always)]
    unsafe fn scale(a: float32x4_t, n: float32x4_t) -> float32x4_t {
        unsafe {
            let exponent = vaddq_s32(vcvtq_s32_f32(n), vdupq_n_s32(127));
            vmulq_f32(a, vreinterpretq_f32_s32(vshlq_n_s32::<23>(exponent)))
        }
    }
    #[inline(always)]
    unsafe fn sum(a: float32x4_t) -> f32 {
        unsafe { vaddvq_f32(a) }
    }
    #[inline(always)]
    unsafe fn largest(a: float32x4_t) -> f32 {
        unsafe { vmaxvq_f32(a) }
    }
    #[inline(always)]
    unsafe fn store_elements(to: *mut f32, vector: float32x4_t) {
        unsafe { vst1q_f32(to, vector) }
    }
    #[inline(always)]
    unsafe fn load_words(from: *const u32) -> float32x4_t {
        unsafe { vld1q_f32(from.cast()) }
    }
    #[inline(always)]
    unsafe fn splat_word(from: *const u32) -> float32x4_t {
        unsafe { vld1q_dup_f32(from.cast()) }
    }
    #[inline(always)]
    unsafe fn zero() -> float32x4_t {
        unsafe { vdupq_n_f32(0.0) }
    }
    #[inline(always)]
    unsafe fn numbers(sums: float32x4_t) -> float32x4_t {
        sums
    }
    #[inline(always)]
    unsafe fn dot(sums: float32x4_t, a: float32x4_t, b: float32x4_t) -> float32x4_t {
        unsafe { vfmaq_f32(sums, a, b) }
    }
    #[inline(always)]
    unsafe fn prefetch(_at: *const u32) {
        // There is no stable intrinsic for it.
    }
}
