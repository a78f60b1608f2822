//! Text forms of sizes and durations in Mesos' notation: `512MB`, `5mins` (flags documentation).

use std::fmt;
use std::time::Duration;

/// Why a text is not a size or not a duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// The text is not a whole number followed by a size unit.
    #[error(
        "'{0}' is not a size: write a whole number and a unit of B, KB, MB, GB or TB, like '512MB'"
    )]
    NotASize(String),
    /// The size does not fit into 64 bits.
    #[error("'{0}' is too large: at most {max} can be given", max = ByteSize(u64::MAX))]
    SizeTooLarge(String),
    /// The text is not a number followed by a time unit.
    #[error(
        "'{0}' is not a duration: write a number and a unit of ns, us, ms, secs, mins, hrs, days \
         or weeks, like '5mins'"
    )]
    NotADuration(String),
    /// The duration is more than 2^63 nanoseconds.
    #[error("'{0}' is too long: at most 15250weeks can be given")]
    DurationTooLong(String),
}

/// Units of [`ByteSize`], smallest first; powers of 1024.
const SIZE_UNITS: [(&str, u64); 5] = [
    ("B", 1),
    ("KB", 1 << 10),
    ("MB", 1 << 20),
    ("GB", 1 << 30),
    ("TB", 1 << 40),
];

/// Units of durations, smallest first, in nanoseconds.
const DURATION_UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("secs", 1_000_000_000),
    ("mins", 60_000_000_000),
    ("hrs", 3_600_000_000_000),
    ("days", 86_400_000_000_000),
    ("weeks", 604_800_000_000_000),
];

/// Longest duration, in nanoseconds: what Mesos' own type holds.
const DURATION_MAX: u128 = i64::MAX as u128;

/// An amount of bytes. Its text is a whole number and a unit in powers of 1024.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// So many times 1024 x 1024 bytes, at most the largest size.
    #[must_use]
    pub const fn from_mb(mb: u64) -> Self {
        Self(mb.saturating_mul(1 << 20))
    }

    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The size in units of 1024 x 1024 bytes, rounded down.
    #[must_use]
    pub const fn mb(self) -> u64 {
        self.0 >> 20
    }

    /// Reads `512MB`. Neither fractions nor a number without a unit are taken, as in Mesos.
    pub fn parse(text: &str) -> Result<Self, SizeError> {
        let wrong = || SizeError::NotASize(text.to_owned());
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        if number.is_empty() {
            return Err(wrong());
        }
        let (_, factor) = SIZE_UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(wrong)?;
        number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*factor))
            .map(Self)
            .ok_or_else(|| SizeError::SizeTooLarge(text.to_owned()))
    }
}

impl std::str::FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        Self::parse(text)
    }
}

/// The largest unit that needs no fraction.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, factor) = SIZE_UNITS
            .iter()
            .rev()
            .find(|(_, factor)| self.0 >= *factor && self.0.is_multiple_of(*factor))
            .unwrap_or(&SIZE_UNITS[0]);
        write!(f, "{}{name}", self.0 / factor)
    }
}

/// Reads a duration: `10secs`, `1.5hrs`, `0ns`. Parts below one nanosecond are cut off.
pub fn parse_duration(text: &str) -> Result<Duration, SizeError> {
    let wrong = || SizeError::NotADuration(text.to_owned());
    let too_long = || SizeError::DurationTooLong(text.to_owned());
    let end = text
        .bytes()
        .take_while(|byte| byte.is_ascii_digit() || *byte == b'.')
        .count();
    let (number, unit) = text.split_at(end);
    let (_, factor) = DURATION_UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(wrong)?;
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) if !whole.is_empty() && !fraction.is_empty() => (whole, fraction),
        Some(_) => return Err(wrong()),
        None if number.is_empty() => return Err(wrong()),
        None => (number, ""),
    };
    if fraction.contains('.') {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| too_long())?;
    // In integers: 18 digits after the point are finer than a nanosecond in a week.
    let fraction = &fraction[..fraction.len().min(18)];
    let scale = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| wrong())?);
    let parts: u64 = match fraction {
        "" => 0,
        digits => digits.parse().map_err(|_| wrong())?,
    };
    let nanos = u128::from(whole) * factor + u128::from(parts) * factor / scale;
    if nanos > DURATION_MAX {
        return Err(too_long());
    }
    let nanos = u64::try_from(nanos).map_err(|_| too_long())?;
    Ok(Duration::from_nanos(nanos))
}

/// Shows a duration with the largest unit that needs no fraction: `5mins`, `90secs`.
#[must_use]
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0secs".to_owned();
    }
    let (name, factor) = DURATION_UNITS
        .iter()
        .rev()
        .find(|(_, factor)| nanos.is_multiple_of(*factor))
        .unwrap_or(&DURATION_UNITS[0]);
    format!("{}{name}", nanos / factor)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(ByteSize::parse("512MB"), Ok(ByteSize(512 << 20)));
        assert_eq!(ByteSize::parse("0B"), Ok(ByteSize(0)));
        assert_eq!(ByteSize::parse("3KB").unwrap().to_string(), "3KB");
        assert_eq!(ByteSize(1 << 40).to_string(), "1TB");
        assert_eq!(ByteSize(1025).to_string(), "1025B");
        assert_eq!(ByteSize::from_mb(32).mb(), 32);
    }

    #[test]
    fn bad_sizes_are_named() {
        for text in [
            "", "MB", "5", "5.5MB", "-1MB", "5mb", "5 MB", "5MBs", "５MB",
        ] {
            let error = ByteSize::parse(text).unwrap_err();
            assert_eq!(error, SizeError::NotASize(text.to_owned()));
            assert!(error.to_string().starts_with(&format!("'{text}'")));
        }
        assert_eq!(
            ByteSize::parse("16777216TB"),
            Err(SizeError::SizeTooLarge("16777216TB".to_owned()))
        );
    }

    #[test]
    fn durations_have_units() {
        let cases = [
            ("5mins", 300_000),
            ("10secs", 10_000),
            ("1.5hrs", 5_400_000),
            ("250ms", 250),
            ("0ns", 0),
            ("2weeks", 1_209_600_000),
            ("0.25days", 21_600_000),
            ("1.000000000000000000000001secs", 1_000),
        ];
        for (text, millis) in cases {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        assert_eq!(format_duration(Duration::from_secs(300)), "5mins");
        assert_eq!(format_duration(Duration::from_secs(90)), "90secs");
        assert_eq!(format_duration(Duration::ZERO), "0secs");
    }

    #[test]
    fn bad_durations_are_named() {
        for text in [
            "", "5", "mins", "5 mins", "-5mins", "1..5secs", ".5secs", "5.secs", "5min",
        ] {
            let error = parse_duration(text).unwrap_err();
            assert_eq!(error, SizeError::NotADuration(text.to_owned()), "{text}");
        }
        assert_eq!(
            parse_duration("99999999999999999999weeks"),
            Err(SizeError::DurationTooLong(
                "99999999999999999999weeks".to_owned()
            ))
        );
        assert!(parse_duration("15250weeks").is_ok());
        assert!(parse_duration("15251weeks").is_err());
    }

    proptest! {
        #[test]
        fn sizes_round_trip(bytes: u64) {
            prop_assert_eq!(ByteSize::parse(&ByteSize(bytes).to_string()), Ok(ByteSize(bytes)));
        }

        #[test]
        fn durations_round_trip(nanos in 0..=i64::MAX as u64) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn any_text_is_answered(text in "[0-9.a-zA-Z-]{0,40}|\\PC{0,20}") {
            let _ = ByteSize::parse(&text);
            let _ = parse_duration(&text);
        }
    }
}
