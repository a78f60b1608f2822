//! Core: the agent's machine; `driver` is its shell.
