//! Shell: the driver that frameworks are built on.
