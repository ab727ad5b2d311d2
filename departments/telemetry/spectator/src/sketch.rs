//! Counting distinct values without keeping them: HyperLogLog with 64 registers.
//!
//! Each value is hashed; the hash's low six bits choose a register, and the register keeps the greatest number of leading zeros,
//! plus one, that the other 58 bits of its hashes had. Registers of several hosts are put together by their maximum, which is
//! why they are published as max gauges. The estimate errs by about 13 %, the standard error 1.04/√64 of Flajolet, Fusy,
//! Gandouet and Meunier, "HyperLogLog" (2007).
//!
//! The hash is xxHash64 with seed zero, so that sketches of all of Netflix's Spectator clients can be put together.

/// How many registers a sketch has.
pub(crate) const REGISTERS: usize = 64;

/// The registers; zero where no value has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registers(pub(crate) [u8; REGISTERS]);

impl Registers {
    pub(crate) const EMPTY: Registers = Registers([0; REGISTERS]);

    /// Takes the hash of a value.
    pub(crate) fn record(&mut self, hash: u64) {
        let register = &mut self.0[hash as usize % REGISTERS];
        let zeros = hash.leading_zeros().min(58);
        *register = (*register).max(zeros as u8 + 1);
    }

    /// About how many distinct values there were: few are counted by the registers that are still empty (section 4 of the
    /// paper), many by the harmonic mean.
    pub(crate) fn estimate(&self) -> f64 {
        const ALPHA: f64 = 0.709;
        let registers = REGISTERS as f64;
        let harmonic: f64 = self.0.iter().map(|register| 0.5_f64.powi(i32::from(*register))).sum();
        let estimate = ALPHA * registers * registers / harmonic;
        let empty: u32 = self.0.iter().map(|register| u32::from(*register == 0)).sum();
        if estimate <= 2.5 * registers && empty > 0 {
            registers * (registers / f64::from(empty)).ln()
        } else {
            estimate
        }
    }
}

const PRIME_1: u64 = 0x9E37_79B1_85EB_CA87;
const PRIME_2: u64 = 0xC2B2_AE3D_27D4_EB4F;
const PRIME_3: u64 = 0x1656_67B1_9E37_79F9;
const PRIME_4: u64 = 0x85EB_CA77_C2B2_AE63;
const PRIME_5: u64 = 0x27D4_EB2F_1656_67C5;

/// xxHash64 with seed zero, after its specification (`xxhash_spec.md`, section XXH64).
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    let stripes = bytes.chunks_exact(32);
    let tail = stripes.remainder();
    let mut state = if bytes.len() >= 32 {
        let mut lanes = [PRIME_1.wrapping_add(PRIME_2), PRIME_2, 0, 0_u64.wrapping_sub(PRIME_1)];
        for stripe in stripes {
            for (lane, word) in lanes.iter_mut().zip(stripe.chunks_exact(8)) {
                *lane = round(*lane, little_endian(word));
            }
        }
        let [a, b, c, d] = lanes;
        let merged = a
            .rotate_left(1)
            .wrapping_add(b.rotate_left(7))
            .wrapping_add(c.rotate_left(12))
            .wrapping_add(d.rotate_left(18));
        lanes
            .iter()
            .fold(merged, |state, lane| (state ^ round(0, *lane)).wrapping_mul(PRIME_1).wrapping_add(PRIME_4))
    } else {
        PRIME_5
    };
    state = state.wrapping_add(bytes.len() as u64);
    let words = tail.chunks_exact(8);
    let rest = words.remainder();
    for word in words {
        state = (state ^ round(0, little_endian(word))).rotate_left(27);
        state = state.wrapping_mul(PRIME_1).wrapping_add(PRIME_4);
    }
    let halves = rest.chunks_exact(4);
    let rest = halves.remainder();
    for half in halves {
        state = (state ^ little_endian(half).wrapping_mul(PRIME_1)).rotate_left(23);
        state = state.wrapping_mul(PRIME_2).wrapping_add(PRIME_3);
    }
    for byte in rest {
        state = (state ^ u64::from(*byte).wrapping_mul(PRIME_5)).rotate_left(11).wrapping_mul(PRIME_1);
    }
    state = (state ^ state >> 33).wrapping_mul(PRIME_2);
    state = (state ^ state >> 29).wrapping_mul(PRIME_3);
    state ^ state >> 32
}

fn round(lane: u64, word: u64) -> u64 {
    lane.wrapping_add(word.wrapping_mul(PRIME_2)).rotate_left(31).wrapping_mul(PRIME_1)
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_xxhash() {
        // From the reference program, `printf TEXT | xxhsum -H64`; all lengths of a tail, and more than a stripe.
        let table = [
            ("", 0xEF46_DB37_51D8_E999),
            ("a", 0xD24E_C4F1_A98C_6E5B),
            ("abc", 0x44BC_2CF5_AD77_0999),
            ("12345678", 0xD2D0_2F08_CF7C_FD4A),
            ("user-12345", 0x6479_7FCA_50BF_C10C),
            ("123456789012", 0xB5CE_E4C9_43D4_3C7E),
            ("The quick brown fox jumps over the lazy dog", 0x0B24_2D36_1FDA_71BC),
        ];
        for (text, expected) in table {
            assert_eq!(hash(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(hash("/api/v1/users/abcd1234/".repeat(10).as_bytes()), 0x92C0_D26C_7C73_D1A6);
    }

    #[test]
    fn registers_keep_the_greatest_number_of_zeros() {
        let mut registers = Registers::EMPTY;
        registers.record(0x8000_0000_0000_0005);
        assert_eq!(registers.0[5], 1);
        registers.record(0x0100_0000_0000_0005);
        registers.record(0x4000_0000_0000_0005);
        assert_eq!(registers.0[5], 8);
        // The register's own bits are no zeros of the rest.
        registers.record(0);
        registers.record(63);
        assert_eq!((registers.0[0], registers.0[63]), (59, 59));
    }

    #[test]
    fn estimates_are_within_their_error() {
        for distinct in [0_u64, 1, 10, 100, 1000, 100_000] {
            let mut registers = Registers::EMPTY;
            for value in (0..distinct).chain(0..distinct) {
                registers.record(hash(&value.to_le_bytes()));
            }
            let (estimate, exact) = (registers.estimate(), distinct as f64);
            // Three standard errors; the values are fixed, so this holds always or never.
            assert!((estimate - exact).abs() <= 0.39 * exact, "{distinct}: {estimate}");
        }
    }
}
