//! Core: agent attributes: parsing and matching.
