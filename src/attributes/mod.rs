//! Core: agent attributes: parsing and matching.

mod attribute;
mod constraint;
mod parse;
mod wire;

pub use attribute::{Attribute, AttributeError, AttributeValue, Attributes};
pub use constraint::Constraint;
pub use parse::parse;
