//! Shell: logging and metrics.
