//! One way to print an error with its causes.

use std::error::Error;
use std::fmt::Write as _;

/// The error and its causes in one line, `what: why: why`.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // Some foreign errors repeat their cause in their own text.
        let shown = error.to_string();
        if !text.ends_with(&shown) {
            write!(text, ": {shown}").expect("a String takes every text");
        }
        cause = error.source();
    }
    text.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn causes_follow_in_one_line() {
        let error = Outer(std::io::Error::other("inner\nsecond line"));
        assert_eq!(chain(&error), "outer: inner second line");
    }
}
