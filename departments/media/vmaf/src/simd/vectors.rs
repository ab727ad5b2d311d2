//! What the vectors of all instruction sets have in common: the operations that are one instruction, by its name.

/// An operation that the holder of the vectors may use.
macro_rules! op {
    ($call:expr) => {
        // SAFETY: `self` exists only where the processor has the instruction set.
        unsafe { $call }
    };
}

/// Defines the vectors of an instruction set: `LANES`, its types, the instructions of simple operations, and the other
/// methods of [`Simd`](super::Simd) as they are.
macro_rules! vectors {
    (
        $(#[$meta:meta])*
        $name:ident: $lanes:literal lanes, $whole:ty;
        splat: $splat:path,
        load: $load:path,
        store: $store:path,
        mul_low16: $mul_low16:path,
        mul_high16: $mul_high16:path,
        xor: $xor:path,
        and: $and:path,
        add: $add:path,
        sub: $sub:path,
        sub16: $sub16:path,
        max: $max:path,
        abs: $abs:path,
        shift_right: $shift_right:path,
        shift_right_signed: $shift_right_signed:path,
        shift_left: $shift_left:path,
        ;
        $($others:tt)*
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy)]
        pub(crate) struct $name(());

        impl $name {
            /// # Safety
            /// The processor has the instruction set, and the calling function enables it.
            #[inline(always)]
            pub(crate) unsafe fn new() -> Self {
                Self(())
            }
        }

        impl $crate::simd::Simd for $name {
            const LANES: usize = $lanes;
            type V = $whole;

            #[inline(always)]
            unsafe fn load16(self, from: *const i16) -> $whole {
                op!($load(from.cast()))
            }
            #[inline(always)]
            unsafe fn load32(self, from: *const i32) -> $whole {
                op!($load(from.cast()))
            }
            #[inline(always)]
            unsafe fn store32(self, value: $whole, to: *mut i32) {
                op!($store(to.cast(), value));
            }
            #[inline(always)]
            fn splat(self, value: i32) -> $whole {
                op!($splat(value))
            }
            #[inline(always)]
            fn abs(self, a: $whole) -> $whole {
                op!($abs(a))
            }
            vectors!(@two $whole: mul_low16 = $mul_low16; mul_high16 = $mul_high16; xor = $xor; and = $and;
                add = $add; sub = $sub; sub16 = $sub16; max = $max;);
            vectors!(@shift $whole: shift_right = $shift_right; shift_right_signed = $shift_right_signed;
                shift_left = $shift_left;);
            $($others)*
        }
    };
    (@two $vector:ty: $($method:ident = $call:path;)*) => {$(
        #[inline(always)]
        fn $method(self, a: $vector, b: $vector) -> $vector {
            op!($call(a, b))
        }
    )*};
    (@shift $vector:ty: $($method:ident = $call:path;)*) => {$(
        #[inline(always)]
        fn $method(self, a: $vector, by: u32) -> $vector {
            op!($call(a, _mm_cvtsi32_si128(by as i32)))
        }
    )*};
}

pub(super) use {op, vectors};
