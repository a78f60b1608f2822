//! Shell: sandbox files: list, read, follow.
