//! Resources that travel unchanged between an agent, its holders and its filters: shared, so that
//! a bundle that comes back is known by its address.

use std::ops::Deref;
use std::sync::Arc;

use crate::resources::Resources;

static NOTHING: Resources = Resources::new();

/// Shared resources; nothing needs no memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Bundle(Option<Arc<Resources>>);

impl Bundle {
    /// For changes; what is shared is copied first.
    pub(super) fn to_mut(&mut self) -> &mut Resources {
        Arc::make_mut(self.0.get_or_insert_default())
    }
}

impl From<Resources> for Bundle {
    fn from(resources: Resources) -> Self {
        Self((!resources.is_empty()).then(|| Arc::new(resources)))
    }
}

impl Deref for Bundle {
    type Target = Resources;

    fn deref(&self) -> &Resources {
        self.0.as_deref().unwrap_or(&NOTHING)
    }
}

impl PartialEq for Bundle {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq::<Resources>(&**self, &**other) || **self == **other
    }
}
