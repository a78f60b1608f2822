//! Core: the durable facts of a cluster and the operations on them.
