//! Core: the wire types: Mesos' v1 messages and mesosd's own, generated from `proto/`, and their required-field checks.
