//! Sets of whole numbers kept as intervals: ports.

use std::fmt;
use std::sync::Arc;

use super::ValueError;

/// Most intervals that one value from outside may have.
const RANGES_MAX: usize = 65_536;

/// The numbers from `begin` to `end`, both included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    /// First number.
    pub begin: u64,
    /// Last number, not below the first.
    pub end: u64,
}

impl Range {
    /// An interval from outside.
    pub fn new(begin: u64, end: u64) -> Result<Self, ValueError> {
        if begin > end {
            return Err(ValueError::ReversedRange(begin, end));
        }
        Ok(Self { begin, end })
    }
}

/// Any set of numbers, as sorted intervals that neither overlap nor touch. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ranges(Arc<[Range]>);

impl Default for Ranges {
    fn default() -> Self {
        Self(Arc::from([]))
    }
}

/// Joins intervals that overlap or touch.
fn normalise(mut ranges: Vec<Range>) -> Ranges {
    ranges.sort_unstable();
    let mut joined: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.begin <= last.end.saturating_add(1) => {
                last.end = last.end.max(range.end);
            }
            _ => joined.push(range),
        }
    }
    Ranges(joined.into())
}

impl Ranges {
    /// Intervals from outside: in any order, but none may overlap another.
    pub fn checked(mut ranges: Vec<Range>) -> Result<Self, ValueError> {
        if ranges.len() > RANGES_MAX {
            return Err(ValueError::TooManyRanges(ranges.len(), RANGES_MAX));
        }
        ranges.sort_unstable();
        if let Some(pair) = ranges.windows(2).find(|pair| pair[1].begin <= pair[0].end) {
            return Err(ValueError::OverlappingRanges(pair[0], pair[1]));
        }
        Ok(normalise(ranges))
    }

    /// Reads `[1-10,20-30]`.
    pub fn parse(text: &str) -> Result<Self, ValueError> {
        let wrong = || ValueError::NotARange(text.trim().to_owned());
        let inner = text
            .trim()
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .ok_or_else(wrong)?;
        if inner.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut ranges = Vec::new();
        for part in inner.split(',') {
            if ranges.len() == RANGES_MAX {
                return Err(ValueError::TooManyRanges(RANGES_MAX + 1, RANGES_MAX));
            }
            let wrong = || ValueError::NotARange(part.trim().to_owned());
            let (begin, end) = part.split_once('-').ok_or_else(wrong)?;
            let number = |text: &str| text.trim().parse::<u64>().map_err(|_| wrong());
            ranges.push(Range::new(number(begin)?, number(end)?)?);
        }
        Self::checked(ranges)
    }

    /// The intervals, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = Range> {
        self.0.iter().copied()
    }

    /// True when there is no number.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many numbers there are, at most 2^64 - 1.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.iter().fold(0, |count, range| {
            count.saturating_add((range.end - range.begin).saturating_add(1))
        })
    }

    /// True when `number` is one of them.
    #[must_use]
    pub fn has(&self, number: u64) -> bool {
        let after = self.0.partition_point(|range| range.end < number);
        self.0.get(after).is_some_and(|range| range.begin <= number)
    }

    /// True when every number of `other` is in this set.
    #[must_use]
    pub fn contains(&self, other: &Self) -> bool {
        let mut mine = self.iter().peekable();
        other.iter().all(|theirs| {
            while mine.next_if(|range| range.end < theirs.begin).is_some() {}
            mine.peek()
                .is_some_and(|range| range.begin <= theirs.begin && theirs.end <= range.end)
        })
    }

    /// True when some number is in both sets.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        let mut mine = self.iter().peekable();
        other.iter().any(|theirs| {
            while mine.next_if(|range| range.end < theirs.begin).is_some() {}
            mine.peek().is_some_and(|range| range.begin <= theirs.end)
        })
    }

    /// The numbers in either set.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if other.is_empty() {
            return self.clone();
        }
        if self.is_empty() {
            return other.clone();
        }
        normalise(self.iter().chain(other.iter()).collect())
    }

    /// The numbers of this set that are not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut left = Vec::with_capacity(self.0.len());
        let mut theirs = other.iter().peekable();
        for mine in self.iter() {
            let mut rest = Some(mine);
            while let Some(now) = rest {
                while theirs.next_if(|range| range.end < now.begin).is_some() {}
                match theirs.peek().filter(|cut| cut.begin <= now.end) {
                    None => {
                        left.push(now);
                        rest = None;
                    }
                    Some(cut) => {
                        if now.begin < cut.begin {
                            left.push(Range {
                                begin: now.begin,
                                end: cut.begin - 1,
                            });
                        }
                        rest = (cut.end < now.end).then(|| Range {
                            begin: cut.end + 1,
                            end: now.end,
                        });
                    }
                }
            }
        }
        Self(left.into())
    }

    /// The lowest `count` numbers; fewer when there are fewer.
    #[must_use]
    pub fn lowest(&self, count: u64) -> Self {
        let mut missing = count;
        let mut taken = Vec::new();
        for range in self.iter() {
            if missing == 0 {
                break;
            }
            let end = range.end.min(range.begin.saturating_add(missing - 1));
            missing -= end - range.begin + 1;
            taken.push(Range {
                begin: range.begin,
                end,
            });
        }
        Self(taken.into())
    }
}

/// Any intervals, joined where they overlap.
impl FromIterator<Range> for Ranges {
    fn from_iter<I: IntoIterator<Item = Range>>(ranges: I) -> Self {
        normalise(ranges.into_iter().collect())
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.begin, self.end)
    }
}

impl fmt::Debug for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (index, range) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{range}")?;
        }
        f.write_str("]")
    }
}

impl fmt::Debug for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn ranges(text: &str) -> Ranges {
        Ranges::parse(text).unwrap()
    }

    #[test]
    fn text_is_normalised() {
        assert_eq!(ranges("[20-30,1-10]").to_string(), "[1-10,20-30]");
        assert_eq!(ranges("[ 1-10 , 11-12 ]").to_string(), "[1-12]");
        assert_eq!(ranges("[]").to_string(), "[]");
        assert_eq!(ranges("[0-18446744073709551615]").count(), u64::MAX);
    }

    #[test]
    fn bad_texts_are_named() {
        let message = |text: &str| Ranges::parse(text).unwrap_err().to_string();
        assert_eq!(
            message("[5]"),
            "'5' is not a range: write first-last, like 31000-32000"
        );
        assert_eq!(message("[9-3]"), "range 9-3 ends before it begins");
        assert_eq!(message("[1-5,5-9]"), "ranges 1-5 and 5-9 overlap");
        for text in [
            "1-2",
            "[1-2",
            "[-1-2]",
            "[a-b]",
            "[1-2,]",
            "[1-99999999999999999999]",
        ] {
            assert!(Ranges::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lowest_numbers_first() {
        assert_eq!(ranges("[1-2,7-9]").lowest(3), ranges("[1-2,7-7]"));
        assert_eq!(ranges("[1-2]").lowest(9), ranges("[1-2]"));
        assert_eq!(ranges("[1-2]").lowest(0), Ranges::default());
    }

    fn sets() -> impl Strategy<Value = BTreeSet<u64>> {
        prop_oneof![
            prop::collection::btree_set(0..40_u64, 0..30),
            prop::collection::btree_set(u64::MAX - 20..=u64::MAX, 0..15),
        ]
    }

    fn of(set: &BTreeSet<u64>) -> Ranges {
        set.iter()
            .map(|number| Range {
                begin: *number,
                end: *number,
            })
            .collect()
    }

    proptest! {
        #[test]
        fn agrees_with_plain_sets(a in sets(), b in sets(), count in 0..40_u64) {
            let (left, right) = (of(&a), of(&b));
            prop_assert_eq!(left.union(&right), of(&(&a | &b)));
            prop_assert_eq!(left.difference(&right), of(&(&a - &b)));
            prop_assert_eq!(left.contains(&right), a.is_superset(&b));
            prop_assert_eq!(left.intersects(&right), !a.is_disjoint(&b));
            prop_assert_eq!(left.count(), a.len() as u64);
            prop_assert_eq!(
                left.lowest(count),
                of(&a.iter().copied().take(count as usize).collect())
            );
            for number in &b {
                prop_assert_eq!(left.has(*number), a.contains(number));
            }
            prop_assert_eq!(Ranges::parse(&left.to_string()), Ok(left));
        }
    }
}
