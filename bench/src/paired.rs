//! Comparison of sides that run in turns, in a random order per round, by the ratios of their times
//! in the same round.

use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Error that prevents a measurement.
pub(crate) type Problem = Box<dyn Error + Send + Sync>;

/// Duration of a sample of a fast operation: long compared with the clock's resolution, short
/// compared with load changes.
const SAMPLE: Duration = Duration::from_millis(2);

/// Number of rounds for fast operations.
pub(crate) const ROUNDS: usize = 301;

/// Compared side. A turn returns the seconds per operation.
pub(crate) struct Side<'a>(Box<dyn FnMut() -> Result<f64, Problem> + 'a>);

impl<'a> Side<'a> {
    /// Creates a side that measures its own time.
    pub(crate) fn timed(mut turn: impl FnMut() -> Result<Duration, Problem> + 'a) -> Self {
        Self(Box::new(move || turn().map(|took| took.as_secs_f64())))
    }

    /// Creates a side of a fast operation, repeated for about [`SAMPLE`] per turn.
    pub(crate) fn quick<T>(mut operation: impl FnMut() -> T + 'a) -> Self {
        Self::batch(move |count| {
            for _ in 0..count {
                black_box(operation());
            }
            Ok(())
        })
    }

    /// Creates a side of a fast operation that repeats itself a given number of times.
    pub(crate) fn batch(mut repeat: impl FnMut(u32) -> Result<(), Problem> + 'a) -> Self {
        let mut count = 0;
        Self(Box::new(move || {
            while count == 0 || time(&mut repeat, count)? < SAMPLE / 2 {
                count = if count == 0 { 1 } else { count * 2 };
            }
            Ok(time(&mut repeat, count)?.as_secs_f64() / f64::from(count))
        }))
    }
}

fn time(
    repeat: &mut impl FnMut(u32) -> Result<(), Problem>,
    count: u32,
) -> Result<Duration, Problem> {
    let start = Instant::now();
    repeat(count)?;
    Ok(start.elapsed())
}

/// Times of a side by round, in seconds.
#[derive(Debug, Clone)]
pub(crate) struct Samples(Vec<f64>);

/// Runs one turn of every side per round, after a warm-up round that is not counted.
pub(crate) fn compare<const N: usize>(
    rounds: usize,
    mut sides: [Side<'_>; N],
) -> Result<[Samples; N], Problem> {
    let mut samples = [const { Samples(Vec::new()) }; N];
    let mut rng = Rng::new();
    for round in 0..=rounds {
        let mut turns: Vec<(u64, _)> =
            sides.iter_mut().zip(&mut samples).map(|turn| (rng.next(), turn)).collect();
        turns.sort_unstable_by_key(|(order, _)| *order);
        for (_, (side, samples)) in turns {
            let took = side.0()?;
            samples.0.extend((round > 0).then_some(took));
        }
    }
    Ok(samples)
}

impl Samples {
    /// Returns the ratios to the times of `other` in the same round.
    pub(crate) fn over(&self, other: &Self) -> Spread {
        Spread::of(self.0.iter().zip(&other.0).map(|(one, other)| one / other).collect())
    }

    /// Returns the spread of the times.
    pub(crate) fn spread(&self) -> Spread {
        Spread::of(self.0.clone())
    }
}

/// Median and quartiles.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Self {
        values.sort_unstable_by(f64::total_cmp);
        let last = values.len().saturating_sub(1);
        let at = |quarter: usize| values.get(last * quarter / 4).copied().unwrap_or(f64::NAN);
        Self { low: at(1), median: at(2), high: at(3) }
    }

    /// Converts to another unit.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self { low: self.low * factor, median: self.median * factor, high: self.high * factor }
    }
}

/// Random numbers for the order of a round: SplitMix64, seeded by the standard library.
struct Rng(u64);

impl Rng {
    fn new() -> Self {
        Self(RandomState::new().hash_one(0))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
