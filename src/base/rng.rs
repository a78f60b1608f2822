//! Seeded randomness: one stream per purpose, so that a draw more in one place shifts no other.

use std::time::Duration;

use rand_core::Rng as _;
use rand_pcg::Pcg64Mcg;

use super::Uuid;

/// A deterministic generator. Shells seed it from the operating system, tests from a number.
#[derive(Clone, Debug)]
pub struct Rng(Pcg64Mcg);

impl Rng {
    /// The stream `purpose` of `seed`.
    #[must_use]
    pub fn seeded(seed: u64, purpose: &str) -> Self {
        // FNV-1a spreads the purpose over the upper half of the state.
        let spread = purpose
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        // The generator sets the lowest bit of its state, so that one is no place for the seed's.
        let state = (u128::from(spread) << 64) | u128::from(seed);
        Self(Pcg64Mcg::new(state << 1))
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; zero if `bound` is zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).expect("the upper half of a 128-bit product has 64 bits")
    }

    /// True with the chance `numerator / denominator`.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// A duration between zero and `max`, for jitter.
    pub fn up_to(&mut self, max: Duration) -> Duration {
        let nanos = u64::try_from(max.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.below(nanos.saturating_add(1)))
    }

    /// A version 4 uuid.
    pub fn uuid(&mut self) -> Uuid {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        Uuid::from_random(bytes)
    }

    /// Fisher-Yates shuffle.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let pick = self.below(last as u64 + 1);
            items.swap(last, usize::try_from(pick).expect("index fits"));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_bit_of_the_seed_and_every_purpose_is_another_stream() {
        let seeds = (0..64).map(|bit| 1 << bit).chain([0, 3, u64::MAX]);
        let streams = seeds.flat_map(|seed| ["a", "b"].map(|purpose| (seed, purpose)));
        let first = |(seed, purpose): (u64, &str)| Rng::seeded(seed, purpose).next_u64();
        let drawn: BTreeSet<u64> = streams.map(first).collect();
        assert_eq!(drawn.len(), 67 * 2);
    }
}
