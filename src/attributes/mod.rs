//! Core: agent attributes: parsing and matching, and the agents that frameworks want.

mod attribute;
mod constraint;
mod offer_constraints;
mod parse;
mod pattern;
mod wire;

pub use attribute::{Attribute, AttributeError, AttributeValue, Attributes};
pub use constraint::Constraint;
pub use offer_constraints::{OfferConstraintError, OfferConstraints, Place, RoleConstraints};
pub use parse::parse;
pub use pattern::PatternLimits;
