//! Which instruction set a kernel runs on: one place that asks the processor, one macro that compiles a kernel for each.
//!
//! A kernel is written once, as plain loops over slices that a compiler can turn into vector code, and [`kernel!`] compiles
//! it for the baseline, for AVX2 and for AVX-512. The arithmetic is integer, or floating point without reassociation, so
//! all three give the same bits; the property tests compare them anyway.

/// An instruction set that this processor has: made by [`Isa::detect`] and [`Isa::available`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Level);

/// What a kernel is compiled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// What every processor of the target has; SSE2 on x86-64, NEON on AArch64.
    Baseline,
    /// AVX2 with BMI.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 with the F, BW, CD, DQ, VL and VNNI parts, as on Cascade Lake and Zen 4.
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
        {
            let has_avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("lzcnt");
            if has_avx2 {
                levels.push(Self(Level::Avx2));
                let has_avx512 = is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512cd")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512vnni");
                if has_avx512 {
                    levels.push(Self(Level::Avx512));
                }
            }
        }
        levels
    }

    /// The best that libvmaf's `--cpumask` leaves: bit 3 (8) takes AVX2 and above away, bit 4 (16) AVX-512, and bit 5 (32) too.
    pub fn detect_without(mask: u64) -> Self {
        let is_allowed = |isa: &Self| match isa.0 {
            Level::Baseline => true,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => mask & 0b1000 == 0,
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => mask & 0b11_1000 == 0,
        };
        Self::available().into_iter().rfind(is_allowed).unwrap_or(Self(Level::Baseline))
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

    /// Whether [`crate::simd`] has vectors for it.
    pub(crate) fn has_vectors(self) -> bool {
        self.0 != Level::Baseline
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
        #[allow(clippy::too_many_arguments, reason = "a kernel takes its rows one by one")]
        $visibility fn $name <$($generics)*> (isa: $crate::isa::Isa, $($argument: $type),*) $(-> $result)? {
            #[allow(clippy::inline_always, clippy::too_many_arguments, reason = "inlined into each instruction set's version")]
            #[allow(
                clippy::needless_range_loop,
                clippy::needless_bitwise_bool,
                reason = "one index into many rows and no branches are what becomes vector code"
            )]
            #[inline(always)]
            fn body <$($generics)*> ($($argument: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            #[allow(clippy::too_many_arguments, reason = "as the kernel")]
            #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
            fn avx2 <$($generics)*> ($($argument: $type),*) $(-> $result)? { body::<$($names)*>($($argument),*) }

            #[cfg(target_arch = "x86_64")]
            #[allow(clippy::too_many_arguments, reason = "as the kernel")]
            #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,avx512f,avx512bw,avx512cd,avx512dq,avx512vl,avx512vnni")]
            fn avx512 <$($generics)*> ($($argument: $type),*) $(-> $result)? { body::<$($names)*>($($argument),*) }

            match isa.level() {
                $crate::isa::Level::Baseline => body::<$($names)*>($($argument),*),
                #[cfg(target_arch = "x86_64")]
                #[allow(unsafe_code, reason = "the processor was asked")]
                // SAFETY: an `Isa` of this level exists only where the processor was found to have these features.
                $crate::isa::Level::Avx2 => unsafe { avx2::<$($names)*>($($argument),*) },
                #[cfg(target_arch = "x86_64")]
                #[allow(unsafe_code, reason = "the processor was asked")]
                // SAFETY: as above.
                $crate::isa::Level::Avx512 => unsafe { avx512::<$($names)*>($($argument),*) },
            }
        }
    };
}

pub(crate) use kernel;
