//! Numbers of JSON to integers of protobuf.

/// The integer of a JSON number; fractions are cut off, as Mesos does it. None if it does not fit.
pub(super) fn integer(text: &str) -> Option<i128> {
    if let Ok(exact) = text.parse::<i128>() {
        return Some(exact);
    }
    let value: f64 = text.parse().ok()?;
    // Beyond 2^64 nothing fits; so the conversion is exact for what can be used.
    (value.is_finite() && value.abs() < 2.0_f64.powi(65)).then_some(value.trunc() as i128)
}

/// The number of a text: JSON's own, and those that JSON has no number for.
pub(super) fn double(text: &str) -> Option<f64> {
    match text {
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ if is_number(text) => text.parse().ok(),
        _ => None,
    }
}

/// The text is a number by JSON's grammar.
pub(super) fn is_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 || (digits > 1 && text.starts_with('0')) {
        return false;
    }
    let mut rest = &text[digits..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return false;
        }
        rest = &fraction[digits..];
    }
    let Some(exponent) = rest.strip_prefix(['e', 'E']) else {
        return rest.is_empty();
    };
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    !exponent.is_empty() && exponent.bytes().all(|byte| byte.is_ascii_digit())
}
