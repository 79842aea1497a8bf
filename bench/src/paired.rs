//! Sides that take turns, in an order drawn anew for each round, and the ratios of what they took in the same round.

use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Error that prevents a measurement.
pub(crate) type Problem = Box<dyn Error + Send + Sync>;

/// How long a sample of something quick is: long against the clock's resolution, short against a change of the machine's mood.
const SAMPLE: Duration = Duration::from_millis(2);

/// How many rounds quick things are compared for.
pub(crate) const ROUNDS: usize = 301;

/// One of the things compared: a turn of it gives the seconds that one go takes.
pub(crate) struct Side<'a>(Box<dyn FnMut() -> Result<f64, Problem> + 'a>);

impl<'a> Side<'a> {
    /// Something that says itself how long it took.
    pub(crate) fn timed(mut turn: impl FnMut() -> Result<Duration, Problem> + 'a) -> Self {
        Self(Box::new(move || turn().map(|took| took.as_secs_f64())))
    }

    /// Something quick: so many goes make a turn that it takes [`SAMPLE`].
    pub(crate) fn quick<T>(mut go: impl FnMut() -> T + 'a) -> Self {
        Self::batch(move |goes| {
            for _ in 0..goes {
                black_box(go());
            }
            Ok(())
        })
    }

    /// Something quick that does a number of goes when it is asked to.
    pub(crate) fn batch(mut goes: impl FnMut(u32) -> Result<(), Problem> + 'a) -> Self {
        let mut count = 0;
        Self(Box::new(move || {
            while count == 0 || once(&mut goes, count)? < SAMPLE / 2 {
                count = if count == 0 { 1 } else { count * 2 };
            }
            Ok(once(&mut goes, count)?.as_secs_f64() / f64::from(count))
        }))
    }
}

fn once(
    goes: &mut impl FnMut(u32) -> Result<(), Problem>,
    count: u32,
) -> Result<Duration, Problem> {
    let start = Instant::now();
    goes(count)?;
    Ok(start.elapsed())
}

/// What a side took, round by round, in seconds.
#[derive(Debug, Clone)]
pub(crate) struct Samples(Vec<f64>);

/// Has every side take a turn in each of the rounds, after one that is not counted.
pub(crate) fn compare<const N: usize>(
    rounds: usize,
    mut sides: [Side<'_>; N],
) -> Result<[Samples; N], Problem> {
    let mut samples = [const { Samples(Vec::new()) }; N];
    let mut dice = Dice::new();
    for round in 0..=rounds {
        let mut turns: Vec<(u64, _)> =
            sides.iter_mut().zip(&mut samples).map(|turn| (dice.roll(), turn)).collect();
        turns.sort_unstable_by_key(|(lot, _)| *lot);
        for (_, (side, samples)) in turns {
            let took = side.0()?;
            samples.0.extend((round > 0).then_some(took));
        }
    }
    Ok(samples)
}

impl Samples {
    /// The ratios to what `other` took in the same round.
    pub(crate) fn over(&self, other: &Self) -> Spread {
        Spread::of(self.0.iter().zip(&other.0).map(|(one, other)| one / other).collect())
    }

    /// The times themselves.
    pub(crate) fn spread(&self) -> Spread {
        Spread::of(self.0.clone())
    }
}

/// The median, and the quartiles around it.
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

    /// The same in other units.
    pub(crate) fn times(self, factor: f64) -> Self {
        Self { low: self.low * factor, median: self.median * factor, high: self.high * factor }
    }
}

/// Lots for the order of a round: SplitMix64, seeded by the standard library.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        Self(RandomState::new().hash_one(0))
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}
