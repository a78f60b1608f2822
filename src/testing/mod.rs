//! Builders, manual clock and planted bugs; only with the feature `testing`.
