//! Core: role paths: validation and ancestry.
