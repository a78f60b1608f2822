//! Shell: stores the registry.
