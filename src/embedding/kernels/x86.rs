//! AVX-512 alone, with BF16 or with VNNI, and AVX2 with FMA.

use std::arch::x86_64::*;

use super::isa::Isa;

/// 16 lanes of `f32`.
pub(super) struct Avx512;
/// 16 lanes of two `bf16` each, summed in `f32`.
pub(super) struct Avx512Bf16;
/// 16 lanes of two `i16` each, summed in `i32`.
pub(super) struct Avx512Int16;
/// 8 lanes of `f32`.
pub(super) struct Avx2;
/// 8 lanes of two `i16` each, summed in `i32`.
pub(super) struct Avx2Int16;

/// Sums that are numbers already.
macro_rules! sums_are_numbers {
    ($vector:ty) => {
        type Sums = $vector;
        const FIXED: bool = false;

        #[inline(always)]
        unsafe fn zero() -> $vector {
            unsafe { Self::splat(0.0) }
        }
        #[inline(always)]
        unsafe fn numbers(sums: $vector) -> $vector {
            sums
        }
    };
}

/// What all AVX-512 sets do alike.
macro_rules! avx512_common {
    () => {
        type Vector = __m512;
        const LANES: usize = 16;
        const ROWS: usize = 8;

        #[inline(always)]
        unsafe fn splat(value: f32) -> __m512 {
            unsafe { _mm512_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m512 {
            unsafe { _mm512_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, vector: __m512) {
            unsafe { _mm512_storeu_ps(to, vector) }
        }
        #[inline(always)]
        unsafe fn add(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn subtract(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn multiply(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn multiply_add(a: __m512, b: __m512, c: __m512) -> __m512 {
            unsafe { _mm512_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn maximum(a: __m512, b: __m512) -> __m512 {
            unsafe { _mm512_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn absolute(a: __m512) -> __m512 {
            unsafe { _mm512_abs_ps(a) }
        }
        #[inline(always)]
        unsafe fn multiply_subtract(a: __m512, b: __m512, c: __m512) -> __m512 {
            unsafe { _mm512_fnmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn split(x: __m512) -> (__m512, __m512) {
            // `scalef` looks at the floor alone, and the fraction of minus infinity is 0 by definition.
            unsafe { (x, _mm512_reduce_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(x)) }
        }
        #[inline(always)]
        unsafe fn scale(a: __m512, n: __m512) -> __m512 {
            unsafe { _mm512_scalef_ps(a, n) }
        }
        #[inline(always)]
        unsafe fn sum(a: __m512) -> f32 {
            unsafe { _mm512_reduce_add_ps(a) }
        }
        #[inline(always)]
        unsafe fn largest(a: __m512) -> f32 {
            unsafe { _mm512_reduce_max_ps(a) }
        }
        #[inline(always)]
        unsafe fn prefetch(at: *const u32) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
        }
    };
}

impl Isa for Avx512 {
    avx512_common!();
    sums_are_numbers!(__m512);

    type Words = __m512;
    type Element = f32;
    const DEPTH: usize = 1;

    #[inline(always)]
    unsafe fn store_elements(to: *mut f32, vector: __m512) {
        unsafe { _mm512_storeu_ps(to, vector) }
    }
    #[inline(always)]
    unsafe fn load_words(from: *const u32) -> __m512 {
        unsafe { _mm512_loadu_ps(from.cast()) }
    }
    #[inline(always)]
    unsafe fn splat_word(from: *const u32) -> __m512 {
        unsafe { _mm512_set1_ps(*from.cast()) }
    }
    #[inline(always)]
    unsafe fn reciprocal(a: __m512) -> __m512 {
        unsafe {
            // 14 bits, doubled by one step of Newton's method: cheaper than a division.
            let guess = _mm512_rcp14_ps(a);
            _mm512_mul_ps(guess, _mm512_fnmadd_ps(a, guess, _mm512_set1_ps(2.0)))
        }
    }
    #[inline(always)]
    unsafe fn dot(sums: __m512, a: __m512, b: __m512) -> __m512 {
        unsafe { _mm512_fmadd_ps(a, b, sums) }
    }
}

impl Isa for Avx512Bf16 {
    avx512_common!();
    sums_are_numbers!(__m512);

    type Words = __m512bh;
    type Element = u16;
    const DEPTH: usize = 2;

    #[inline(always)]
    unsafe fn store_elements(to: *mut u16, vector: __m512) {
        unsafe { to.cast::<__m256bh>().write_unaligned(_mm512_cvtneps_pbh(vector)) }
    }
    #[inline(always)]
    unsafe fn store_two(to: *mut u16, first: __m512, second: __m512) {
        unsafe { to.cast::<__m512bh>().write_unaligned(_mm512_cvtne2ps_pbh(second, first)) }
    }
    #[inline(always)]
    unsafe fn load_words(from: *const u32) -> __m512bh {
        unsafe { from.cast::<__m512bh>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn splat_word(from: *const u32) -> __m512bh {
        // SAFETY: both types are 512 bits of which every pattern is valid.
        unsafe { std::mem::transmute(_mm512_set1_epi32(*from.cast())) }
    }
    #[inline(always)]
    unsafe fn reciprocal(a: __m512) -> __m512 {
        unsafe { _mm512_rcp14_ps(a) }
    }
    #[inline(always)]
    unsafe fn dot(sums: __m512, a: __m512bh, b: __m512bh) -> __m512 {
        unsafe { _mm512_dpbf16_ps(sums, a, b) }
    }
}

impl Isa for Avx512Int16 {
    avx512_common!();

    type Words = __m512i;
    type Sums = __m512i;
    type Element = i16;
    const DEPTH: usize = 2;
    const FIXED: bool = true;

    #[inline(always)]
    unsafe fn store_elements(to: *mut i16, vector: __m512) {
        unsafe { _mm256_storeu_si256(to.cast(), _mm512_cvtsepi32_epi16(_mm512_cvtps_epi32(vector))) }
    }
    #[inline(always)]
    unsafe fn store_two(to: *mut i16, first: __m512, second: __m512) {
        unsafe {
            // Packs quarter by quarter, of one and the other.
            let mixed = _mm512_packs_epi32(_mm512_cvtps_epi32(first), _mm512_cvtps_epi32(second));
            let order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
            _mm512_storeu_si512(to.cast(), _mm512_permutexvar_epi64(order, mixed));
        }
    }
    #[inline(always)]
    unsafe fn load_words(from: *const u32) -> __m512i {
        unsafe { _mm512_loadu_si512(from.cast()) }
    }
    #[inline(always)]
    unsafe fn splat_word(from: *const u32) -> __m512i {
        unsafe { _mm512_set1_epi32(*from.cast()) }
    }
    #[inline(always)]
    unsafe fn reciprocal(a: __m512) -> __m512 {
        unsafe { _mm512_rcp14_ps(a) }
    }
    #[inline(always)]
    unsafe fn zero() -> __m512i {
        unsafe { _mm512_setzero_si512() }
    }
    #[inline(always)]
    unsafe fn dot(sums: __m512i, a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_dpwssd_epi32(sums, a, b) }
    }
    #[inline(always)]
    unsafe fn numbers(sums: __m512i) -> __m512 {
        unsafe { _mm512_cvtepi32_ps(sums) }
    }
}

/// What both AVX2 sets do alike.
macro_rules! avx2_common {
    () => {
        type Vector = __m256;
        const LANES: usize = 8;

        #[inline(always)]
        unsafe fn splat(value: f32) -> __m256 {
            unsafe { _mm256_set1_ps(value) }
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> __m256 {
            unsafe { _mm256_loadu_ps(from) }
        }
        #[inline(always)]
        unsafe fn store(to: *mut f32, vector: __m256) {
            unsafe { _mm256_storeu_ps(to, vector) }
        }
        #[inline(always)]
        unsafe fn add(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_add_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn subtract(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_sub_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn multiply(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_mul_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn multiply_add(a: __m256, b: __m256, c: __m256) -> __m256 {
            unsafe { _mm256_fmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn maximum(a: __m256, b: __m256) -> __m256 {
            unsafe { _mm256_max_ps(a, b) }
        }
        #[inline(always)]
        unsafe fn absolute(a: __m256) -> __m256 {
            unsafe { _mm256_andnot_ps(_mm256_set1_ps(-0.0), a) }
        }
        #[inline(always)]
        unsafe fn multiply_subtract(a: __m256, b: __m256, c: __m256) -> __m256 {
            unsafe { _mm256_fnmadd_ps(a, b, c) }
        }
        #[inline(always)]
        unsafe fn split(x: __m256) -> (__m256, __m256) {
            unsafe {
                let x = _mm256_max_ps(x, _mm256_set1_ps(-126.0));
                let floor = _mm256_floor_ps(x);
                (floor, _mm256_sub_ps(x, floor))
            }
        }
        #[inline(always)]
        unsafe fn scale(a: __m256, n: __m256) -> __m256 {
            unsafe {
                let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
                _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent)))
            }
        }
        #[inline(always)]
        unsafe fn sum(a: __m256) -> f32 {
            unsafe {
                let four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
                let two = _mm_add_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)))
            }
        }
        #[inline(always)]
        unsafe fn largest(a: __m256) -> f32 {
            unsafe {
                let four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps::<1>(a));
                let two = _mm_max_ps(four, _mm_movehl_ps(four, four));
                _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)))
            }
        }
        #[inline(always)]
        unsafe fn prefetch(at: *const u32) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) }
        }
    };
}

impl Isa for Avx2 {
    avx2_common!();
    sums_are_numbers!(__m256);

    type Words = __m256;
    type Element = f32;
    const DEPTH: usize = 1;
    const ROWS: usize = 4;

    #[inline(always)]
    unsafe fn reciprocal(a: __m256) -> __m256 {
        unsafe { _mm256_div_ps(_mm256_set1_ps(1.0), a) }
    }
    #[inline(always)]
    unsafe fn store_elements(to: *mut f32, vector: __m256) {
        unsafe { _mm256_storeu_ps(to, vector) }
    }
    #[inline(always)]
    unsafe fn load_words(from: *const u32) -> __m256 {
        unsafe { _mm256_loadu_ps(from.cast()) }
    }
    #[inline(always)]
    unsafe fn splat_word(from: *const u32) -> __m256 {
        unsafe { _mm256_broadcast_ss(&*from.cast()) }
    }
    #[inline(always)]
    unsafe fn dot(sums: __m256, a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_fmadd_ps(a, b, sums) }
    }
}

impl Isa for Avx2Int16 {
    avx2_common!();

    type Words = __m256i;
    type Sums = __m256i;
    type Element = i16;
    const DEPTH: usize = 2;
    const FIXED: bool = true;
    // The products need a register on their way into the sums.
    const ROWS: usize = 3;

    #[inline(always)]
    unsafe fn store_elements(to: *mut i16, vector: __m256) {
        unsafe {
            let integers = _mm256_cvtps_epi32(vector);
            let (low, high) = (_mm256_castsi256_si128(integers), _mm256_extracti128_si256::<1>(integers));
            _mm_storeu_si128(to.cast(), _mm_packs_epi32(low, high));
        }
    }
    #[inline(always)]
    unsafe fn store_two(to: *mut i16, first: __m256, second: __m256) {
        unsafe {
            // Packs half by half, of one and the other.
            let mixed = _mm256_packs_epi32(_mm256_cvtps_epi32(first), _mm256_cvtps_epi32(second));
            _mm256_storeu_si256(to.cast(), _mm256_permute4x64_epi64::<0b11_01_10_00>(mixed));
        }
    }
    #[inline(always)]
    unsafe fn load_words(from: *const u32) -> __m256i {
        unsafe { _mm256_loadu_si256(from.cast()) }
    }
    #[inline(always)]
    unsafe fn splat_word(from: *const u32) -> __m256i {
        unsafe { _mm256_set1_epi32(*from.cast()) }
    }
    #[inline(always)]
    unsafe fn reciprocal(a: __m256) -> __m256 {
        unsafe {
            // 11 bits, doubled by one step of Newton's method: cheaper than a division.
            let guess = _mm256_rcp_ps(a);
            _mm256_mul_ps(guess, _mm256_fnmadd_ps(a, guess, _mm256_set1_ps(2.0)))
        }
    }
    #[inline(always)]
    unsafe fn zero() -> __m256i {
        unsafe { _mm256_setzero_si256() }
    }
    #[inline(always)]
    unsafe fn dot(sums: __m256i, a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_add_epi32(sums, _mm256_madd_epi16(a, b)) }
    }
    #[inline(always)]
    unsafe fn numbers(sums: __m256i) -> __m256 {
        unsafe { _mm256_cvtepi32_ps(sums) }
    }
}
