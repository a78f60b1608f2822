//! Core: who is offered what: hierarchical DRF over roles and frameworks.
