//! What an instruction set must offer for the algorithms of [`super::generic`] to be written once.

/// Vectors side by side in a register tile; a panel of packed weights is `VECTORS * LANES` columns wide.
pub(super) const VECTORS: usize = 3;

/// One instruction set. A *lane word* is what a 32-bit lane of a dot product holds: one `f32`, or two
/// neighbouring `bf16` or `i16`; `DEPTH` says which.
///
/// # Safety
///
/// Every method requires that the CPU has the instruction set, and pointers that are valid for one vector.
/// They are `inline(always)` and lack `#[target_feature]`, as traits cannot carry it: they become the
/// meant instructions only inside the functions that [`super::operations`] generates.
pub(super) trait Isa {
    /// `LANES` numbers.
    type Vector: Copy;
    /// `LANES` lane words.
    type Words: Copy;
    /// `LANES` sums of products.
    type Sums: Copy;
    /// One activation or weight as the dot product wants it.
    type Element: Copy;

    const LANES: usize;
    /// Elements in a lane word.
    const DEPTH: usize;
    /// Elements and sums are integers, whose worth comes with the matrices.
    const FIXED: bool;
    /// Rows of the largest tile whose sums, `VECTORS` a row, stay in registers.
    const ROWS: usize;

    unsafe fn splat(value: f32) -> Self::Vector;
    unsafe fn load(from: *const f32) -> Self::Vector;
    unsafe fn store(to: *mut f32, vector: Self::Vector);
    unsafe fn add(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn subtract(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn multiply(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    /// `a * b + c`, rounded once.
    unsafe fn multiply_add(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    unsafe fn maximum(a: Self::Vector, b: Self::Vector) -> Self::Vector;
    unsafe fn absolute(a: Self::Vector) -> Self::Vector;
    /// As exact as an element.
    unsafe fn reciprocal(a: Self::Vector) -> Self::Vector;
    /// `c - a * b`, rounded once.
    unsafe fn multiply_subtract(a: Self::Vector, b: Self::Vector, c: Self::Vector) -> Self::Vector;
    /// A number whose floor is that of `x`, and what `x` is above its floor. Below -126 both may be those of -126.
    unsafe fn split(x: Self::Vector) -> (Self::Vector, Self::Vector);
    /// `a * 2^⌊n⌋` for what [`Isa::split`] gives, up to 127.
    unsafe fn scale(a: Self::Vector, n: Self::Vector) -> Self::Vector;
    unsafe fn sum(a: Self::Vector) -> f32;
    unsafe fn largest(a: Self::Vector) -> f32;

    /// Rounds `LANES` numbers and stores them next to each other; integers stop at the ends of their range,
    /// if the numbers are below 2^31.
    unsafe fn store_elements(to: *mut Self::Element, vector: Self::Vector);
    /// [`Isa::store_elements`] for two vectors that become neighbours.
    #[inline(always)]
    unsafe fn store_two(to: *mut Self::Element, first: Self::Vector, second: Self::Vector) {
        unsafe {
            Self::store_elements(to, first);
            Self::store_elements(to.add(Self::LANES), second);
        }
    }
    unsafe fn load_words(from: *const u32) -> Self::Words;
    unsafe fn splat_word(from: *const u32) -> Self::Words;
    unsafe fn zero() -> Self::Sums;
    /// Adds the products of the elements of each lane to `sums`.
    unsafe fn dot(sums: Self::Sums, a: Self::Words, b: Self::Words) -> Self::Sums;
    unsafe fn numbers(sums: Self::Sums) -> Self::Vector;
    /// Asks for a cache line that will be needed soon; any address is allowed.
    unsafe fn prefetch(at: *const u32);
}
