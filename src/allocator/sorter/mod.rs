//! Core: who comes first: a tree of roles and frameworks, each level ordered by dominant share.

mod amounts;
mod drf;
mod order;
mod random;
mod selection;
mod share;
mod tree;

pub(super) use crate::roles::Weight;
pub(super) use amounts::{Amounts, Kinds, counts_for_quota, scalar};
pub(super) use drf::Standing;
pub use random::{Sorter, SorterError};
pub(super) use selection::{Mark, Walk};
pub use share::Share;
pub(super) use tree::{Content, Leaves, ShareTree};
