//! Core: checks of what peers send, returning proof types.
