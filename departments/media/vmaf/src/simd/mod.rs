//! Vectors of one instruction set, for kernels whose arithmetic a compiler does not find by itself: dot products of 16-bit
//! pairs, halves of products, narrowing.
//!
//! A kernel is written once, generic over [`Simd`], and compiled inside a function that enables the instruction set (see
//! [`simd_kernel!`]). A value of a type that implements [`Simd`] is made there and nowhere else, so whoever holds one may
//! use its instructions. What has no such type (the baseline, NEON) runs the plain loops beside the kernel, which are
//! also what property tests compare with.

#![allow(unsafe_code, reason = "vectors go to memory and back by address")]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod vectors;
pub(crate) mod window;

#[cfg(target_arch = "x86_64")]
pub(crate) use self::avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use self::avx512::Avx512;

/// Vectors of `LANES` 32-bit numbers, or of twice as many 16-bit ones. Arithmetic wraps.
pub(crate) trait Simd: Copy {
    /// 32-bit numbers in a vector.
    const LANES: usize;
    /// A vector of whole numbers.
    type V: Copy;

    /// `value` in every 32-bit lane.
    fn splat(self, value: i32) -> Self::V;
    /// A vector from memory.
    ///
    /// # Safety
    /// `2 * LANES` numbers are readable at `from`.
    unsafe fn load16(self, from: *const i16) -> Self::V;
    /// A vector from memory.
    ///
    /// # Safety
    /// `LANES` numbers are readable at `from`.
    unsafe fn load32(self, from: *const i32) -> Self::V;
    /// A vector to memory.
    ///
    /// # Safety
    /// `LANES` numbers are writable at `to`.
    unsafe fn store32(self, value: Self::V, to: *mut i32);
    /// Pairs of an element of `a` and one of `b`, widened to 16 bits; `a`'s are the lower halves of the 32-bit lanes.
    ///
    /// # Safety
    /// `LANES` elements are readable at both.
    unsafe fn pairs8(self, a: *const u8, b: *const u8) -> Self::V;
    /// As [`Simd::pairs8`], of 16-bit elements.
    ///
    /// # Safety
    /// `LANES` elements are readable at both.
    unsafe fn pairs16(self, a: *const u16, b: *const u16) -> Self::V;
    /// The lower halves of the 32-bit lanes to memory.
    ///
    /// # Safety
    /// `LANES` numbers are writable at `to`.
    unsafe fn store_low16(self, value: Self::V, to: *mut i16);

    /// `sum + a.low * b.low + a.high * b.high` in every 32-bit lane, of signed 16-bit halves.
    fn dot(self, sum: Self::V, a: Self::V, b: Self::V) -> Self::V;
    /// Lower halves of 16-bit products.
    fn mul_low16(self, a: Self::V, b: Self::V) -> Self::V;
    /// Upper halves of unsigned 16-bit products.
    fn mul_high16(self, a: Self::V, b: Self::V) -> Self::V;
    /// `(a * b + 2^31) >> 32` of unsigned 32-bit lanes.
    fn mul_high32(self, a: Self::V, b: Self::V) -> Self::V;
    fn xor(self, a: Self::V, b: Self::V) -> Self::V;
    fn and(self, a: Self::V, b: Self::V) -> Self::V;
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    fn sub16(self, a: Self::V, b: Self::V) -> Self::V;
    /// The greater of signed 32-bit lanes.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// The size of signed 32-bit lanes.
    fn abs(self, a: Self::V) -> Self::V;
    /// Every 32-bit lane to the right, zeros from the left.
    fn shift_right(self, a: Self::V, by: u32) -> Self::V;
    /// Every 32-bit lane to the right, its sign from the left.
    fn shift_right_signed(self, a: Self::V, by: u32) -> Self::V;
    /// Every 32-bit lane to the left.
    fn shift_left(self, a: Self::V, by: u32) -> Self::V;
    /// Lane by lane from `even` and `odd` in turn: the first half of the result and the second.
    fn interleave(self, even: Self::V, odd: Self::V) -> (Self::V, Self::V);
    /// The sum of all 32-bit lanes as unsigned numbers.
    fn total(self, a: Self::V) -> u64;
}

/// Defines a kernel on vectors: `fn NAME [GENERICS] [THEIR NAMES] (SIMD; ARGUMENTS) -> RESULT BODY`. The body is generic over
/// `S: Simd`, and is compiled once per instruction set. The function takes an [`Isa`](crate::Isa) first, and gives nothing
/// where that has no vectors here: then the caller runs its plain loops.
macro_rules! simd_kernel {
    (
        $(#[$meta:meta])*
        $visibility:vis fn $name:ident
        [$($generics:tt)*] [$($names:tt)*] ($simd:ident; $($argument:ident : $type:ty),* $(,)?) -> $result:ty $body:block
    ) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments, reason = "a kernel takes its rows one by one")]
        $visibility fn $name <$($generics)*> (isa: $crate::isa::Isa, $($argument: $type),*) -> Option<$result> {
            #[cfg(target_arch = "x86_64")]
            #[allow(clippy::inline_always, clippy::too_many_arguments, reason = "inlined into each instruction set's version")]
            #[inline(always)]
            fn body <S: $crate::simd::Simd, $($generics)*> ($simd: S, $($argument: $type),*) -> $result $body

            #[cfg(target_arch = "x86_64")]
            #[allow(clippy::too_many_arguments, reason = "as the kernel")]
            #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
            fn avx2 <$($generics)*> ($($argument: $type),*) -> $result {
                // SAFETY: this function enables the instruction set.
                #[allow(unsafe_code, reason = "the one place that makes it")]
                let simd = unsafe { $crate::simd::Avx2::new() };
                body::<$crate::simd::Avx2, $($names)*>(simd, $($argument),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[allow(clippy::too_many_arguments, reason = "as the kernel")]
            #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vnni")]
            fn avx512 <$($generics)*> ($($argument: $type),*) -> $result {
                // SAFETY: this function enables the instruction set.
                #[allow(unsafe_code, reason = "the one place that makes it")]
                let simd = unsafe { $crate::simd::Avx512::new() };
                body::<$crate::simd::Avx512, $($names)*>(simd, $($argument),*)
            }

            match isa.level() {
                $crate::isa::Level::Baseline => {
                    let _ = ($($argument),*);
                    None
                }
                #[cfg(target_arch = "x86_64")]
                #[allow(unsafe_code, reason = "the processor was asked")]
                // SAFETY: an `Isa` of this level exists only where the processor was found to have these features.
                $crate::isa::Level::Avx2 => Some(unsafe { avx2::<$($names)*>($($argument),*) }),
                #[cfg(target_arch = "x86_64")]
                #[allow(unsafe_code, reason = "the processor was asked")]
                // SAFETY: as above.
                $crate::isa::Level::Avx512 => Some(unsafe { avx512::<$($names)*>($($argument),*) }),
            }
        }
    };
}

pub(crate) use simd_kernel;
