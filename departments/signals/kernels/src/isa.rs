//! Which instruction set a kernel runs on: one place that asks the processor, and a macro that compiles a kernel for each.
//!
//! A kernel is written once, as plain loops over slices that a compiler can turn into vector code; where it does not, with the [`vector`](crate::vector)s of one instruction set after the other. Sums keep the order in which they
//! are written and products are rounded before they are added, so every instruction set gives the same bits; the tests compare them.

/// An instruction set that this processor has: made by [`Isa::detect`] and [`Isa::available`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Level);

/// What a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// What every processor of the target has; SSE2 on x86-64, NEON on AArch64.
    Baseline,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 F, DQ and VL. Plain loops stay with AVX2 there: where it was measured (Zen 4) they are no faster.
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

impl Isa {
    /// The best that this processor has.
    pub fn detect() -> Self {
        Self::available().pop().unwrap_or(Self(Level::Baseline))
    }

    /// Everything that this processor has, the baseline first.
    pub fn available() -> Vec<Self> {
        #[cfg_attr(
            not(target_arch = "x86_64"),
            expect(unused_mut, reason = "only x86-64 has more than its baseline")
        )]
        let mut levels = vec![Self(Level::Baseline)];
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            levels.push(Self(Level::Avx2));
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
            {
                levels.push(Self(Level::Avx512));
            }
        }
        levels
    }

    /// Its name, for reports.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Baseline => "baseline",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "AVX-512",
        }
    }

    pub(crate) fn level(self) -> Level {
        self.0
    }
}

/// Defines a kernel: a function whose body is compiled once per instruction set, and whose first argument chooses. The two
/// brackets after its name hold its generic parameters, with bounds and without.
macro_rules! kernel {
    (
        $(#[$meta:meta])*
        $visibility:vis fn $name:ident
        [$($generics:tt)*] [$($names:tt)*] ($($argument:ident : $type:ty),* $(,)?) $(-> $result:ty)? $body:block
    ) => {
        $(#[$meta])*
        $visibility fn $name<$($generics)*>(isa: $crate::isa::Isa, $($argument: $type),*) $(-> $result)? {
            #[allow(clippy::inline_always, reason = "inlined into each instruction set's version")]
            #[inline(always)]
            fn body<$($generics)*>($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2<$($generics)*>($($argument: $type),*) $(-> $result)? { body::<$($names)*>($($argument),*) }

            match isa.level() {
                $crate::isa::Level::Baseline => body::<$($names)*>($($argument),*),
                #[cfg(target_arch = "x86_64")]
                #[allow(unsafe_code, reason = "the processor was asked")]
                // SAFETY: an `Isa` of this level exists only where the processor was found to have these features.
                $crate::isa::Level::Avx2 | $crate::isa::Level::Avx512 => unsafe { avx2::<$($names)*>($($argument),*) },
            }
        }
    };
}

pub(crate) use kernel;
