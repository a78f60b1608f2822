//! Resources that travel unchanged between an agent, its holders and its filters: shared, with what
//! follows from them, so that a bundle that comes back is known by its address.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use crate::resources::{Resource, Resources};
use crate::roles::Role;

use super::agent::needed_for;
use super::framework::Capabilities;
use super::sorter::{Amounts, Kinds};

static NOTHING: Resources = Resources::new();
static NO_AMOUNTS: Amounts = Amounts::none();

/// What is found out once for each bundle.
#[derive(Debug)]
struct Parts {
    resources: Resources,
    amounts: Amounts,
    special: Capabilities,
    has_reserved: bool,
}

/// Shared resources; nothing needs no memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Bundle(Option<Arc<Parts>>);

impl Bundle {
    /// These resources, which are allocated to nobody.
    pub(super) fn of(resources: Resources, kinds: &mut Kinds) -> Self {
        if resources.is_empty() {
            return Self(None);
        }
        Self(Some(Arc::new(Parts {
            amounts: kinds.amounts(&resources),
            special: resources
                .iter()
                .map(needed_for)
                .fold(Capabilities::default(), Capabilities::union),
            has_reserved: resources.iter().any(Resource::is_reserved),
            resources,
        })))
    }

    /// Scalar amounts, reserved or not.
    pub(super) fn amounts(&self) -> &Amounts {
        self.0.as_ref().map_or(&NO_AMOUNTS, |parts| &parts.amounts)
    }

    /// What a framework must be capable of to be offered all of it.
    pub(super) fn special(&self) -> Capabilities {
        self.0
            .as_ref()
            .map(|parts| parts.special)
            .unwrap_or_default()
    }

    /// True when everybody may be offered all of it: nothing is reserved or special.
    pub(super) fn is_plain(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|parts| !parts.has_reserved && parts.special == Capabilities::default())
    }

    /// True when both are one and the same in memory.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.address() == other.address()
    }

    fn address(&self) -> usize {
        self.0.as_ref().map_or(0, |parts| Arc::as_ptr(parts).addr())
    }
}

impl Deref for Bundle {
    type Target = Resources;

    fn deref(&self) -> &Resources {
        self.0.as_ref().map_or(&NOTHING, |parts| &parts.resources)
    }
}

impl PartialEq for Bundle {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || **self == **other
    }
}

/// How many offered forms are remembered.
const OFFERED_MAX: usize = 256;

/// After how many bundles those that nobody has any more are looked for first.
const SWEEP_MIN: usize = 1024;

/// The bundles that agents have, so that equal ones are one, and the forms in which some of them
/// were offered last. Alike agents share both: what is built for one is a reference count for the
/// next. What is found here depends on what is equal only, never on addresses.
#[derive(Clone, Debug, Default)]
pub(super) struct Bundles {
    /// By a hash of their contents; of two with the same hash the later one.
    known: BTreeMap<u64, Bundle>,
    sweep_at: usize,
    /// Where bundle and role say; the later one stays.
    offered: Vec<Option<Offered>>,
}

/// A bundle allocated to a role.
#[derive(Clone, Debug)]
struct Offered {
    bundle: Bundle,
    role: Role,
    resources: Resources,
}

impl Bundles {
    /// Makes a bundle the same as an equal one that is known.
    pub(super) fn share(&mut self, bundle: &mut Bundle) {
        if bundle.is_empty() {
            return;
        }
        let mut hasher = DefaultHasher::new();
        (**bundle).hash(&mut hasher);
        let known = self.known.entry(hasher.finish());
        let known = known.or_insert_with(|| bundle.clone());
        if known == bundle {
            bundle.clone_from(known);
        } else {
            known.clone_from(bundle);
        }
        if self.known.len() > self.sweep_at.max(SWEEP_MIN) {
            let used =
                |bundle: &Bundle| bundle.0.as_ref().is_some_and(|p| Arc::strong_count(p) > 1);
            self.known.retain(|_, bundle| used(bundle));
            self.sweep_at = 2 * self.known.len();
        }
    }

    fn place(bundle: &Bundle, role: &Role) -> usize {
        // Neither address is that of anything smaller than 16 bytes.
        let of_role = if role.is_default() {
            0
        } else {
            role.as_str().as_ptr().addr()
        };
        let mixed = (bundle.address() >> 4) ^ (of_role >> 4).wrapping_mul(31);
        (mixed ^ (mixed >> 8)) % OFFERED_MAX
    }

    fn find(&self, bundle: &Bundle, role: &Role) -> Option<&Resources> {
        let known = self.offered.get(Self::place(bundle, role))?.as_ref()?;
        let same = known.bundle.is_same(bundle) && known.role == *role;
        same.then_some(&known.resources)
    }

    /// The resources of a bundle, allocated to a role.
    pub(super) fn offered(&mut self, bundle: &Bundle, role: &Role) -> Resources {
        if let Some(known) = self.find(bundle, role) {
            return known.clone();
        }
        let resources = bundle.allocate(role);
        if self.offered.is_empty() {
            self.offered.resize_with(OFFERED_MAX, || None);
        }
        self.offered[Self::place(bundle, role)] = Some(Offered {
            bundle: bundle.clone(),
            role: role.clone(),
            resources: resources.clone(),
        });
        resources
    }

    /// True when these resources are known to be the bundle, allocated to the role.
    pub(super) fn is_offered(&self, bundle: &Bundle, role: &Role, resources: &Resources) -> bool {
        self.find(bundle, role)
            .is_some_and(|known| known.is_same(resources))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::resources::parse;

    fn bundle(text: &str, kinds: &mut Kinds) -> Bundle {
        Bundle::of(parse(text, &Role::DEFAULT).unwrap(), kinds)
    }

    #[test]
    fn equal_bundles_become_one_and_are_offered_as_one() {
        let (mut bundles, mut kinds) = (Bundles::default(), Kinds::default());
        let mut first = bundle("cpus:2;ports:[1-5]", &mut kinds);
        let mut second = bundle("cpus:2;ports:[1-5]", &mut kinds);
        let mut other = bundle("cpus:2;ports:[1-6]", &mut kinds);
        assert!(!first.is_same(&second));
        for bundle in [&mut first, &mut second, &mut other] {
            bundles.share(bundle);
        }
        assert!(first.is_same(&second) && !first.is_same(&other));
        let (dev, ops) = (Role::parse("dev").unwrap(), Role::parse("ops").unwrap());
        for role in [&Role::DEFAULT, &dev, &ops] {
            let offered = bundles.offered(&first, role);
            assert_eq!(offered, first.allocate(role));
            assert!(bundles.offered(&second, role).is_same(&offered));
            assert!(bundles.is_offered(&first, role, &offered));
            assert!(!bundles.is_offered(&other, role, &offered));
            assert_eq!(bundles.offered(&other, role), other.allocate(role));
        }
    }

    #[test]
    fn bundles_that_nobody_has_are_forgotten() {
        let (mut bundles, mut kinds) = (Bundles::default(), Kinds::default());
        let mut kept = bundle("cpus:7;mem:7", &mut kinds);
        bundles.share(&mut kept);
        for cpus in 1..5 * SWEEP_MIN {
            bundles.share(&mut bundle(&format!("cpus:{cpus}"), &mut kinds));
            assert!(bundles.known.len() <= SWEEP_MIN + 1);
        }
        let mut again = bundle("cpus:7;mem:7", &mut kinds);
        bundles.share(&mut again);
        assert!(again.is_same(&kept));
    }
}
