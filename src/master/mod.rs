//! Core: the master's machine; `driver` is its shell.
