//! Core: the built-in command executor's machine; `driver` is its shell.
