//! Conversions: what an operation takes from resources, and what it makes of it.

use super::Resources;

/// Resources that become others of the same amount: reserved, unreserved, made a volume or resized.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversion {
    /// What must be there.
    pub consumed: Resources,
    /// What is there afterwards in its place.
    pub converted: Resources,
}

impl Conversion {
    /// The conversion as it changes an agent's total: allocated to nobody, shared volumes once.
    #[must_use]
    pub fn of_total(&self) -> Self {
        let bare = |resources: &Resources| resources.unallocated().map(super::Resource::once);
        Self {
            consumed: bare(&self.consumed),
            converted: bare(&self.converted),
        }
    }

    /// The way back.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self {
            consumed: self.converted,
            converted: self.consumed,
        }
    }
}

impl Resources {
    /// These resources after a conversion; none when they do not hold what it consumes.
    #[must_use]
    pub fn convert(&self, conversion: &Conversion) -> Option<Self> {
        let mut after = self.clone();
        after.convert_here(conversion).then_some(after)
    }

    /// The same in place, which costs what the conversion has and not what there is. False, and
    /// nothing has changed, when what it consumes is not here.
    pub fn convert_here(&mut self, conversion: &Conversion) -> bool {
        let has = self.contains(&conversion.consumed);
        if has {
            self.subtract_all(&conversion.consumed);
            self.add_all(&conversion.converted);
        }
        has
    }

    /// What operations have made: dynamic reservations and persistent volumes.
    #[must_use]
    pub fn converted(&self) -> Self {
        self.filter(super::Resource::is_converted)
    }

    /// These resources, as an agent's flags give them, with what operations have made of them
    /// (`converted`); none when the flags no longer give what that was made of.
    #[must_use]
    pub fn with_converted(&self, converted: &Self) -> Option<Self> {
        self.convert(&Conversion {
            consumed: converted.map(super::Resource::as_configured),
            converted: converted.clone(),
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::resources::{Disk, Persistence, Reservation, Resource, Volume, parse};
    use crate::roles::Role;

    fn flags() -> Resources {
        parse("cpus:4;mem:1024;disk:100;disk(ads):50", &Role::DEFAULT).unwrap()
    }

    fn reserved(text: &str, role: &str) -> Resources {
        let level = Reservation::dynamic(Role::parse(role).unwrap(), None);
        let plain = parse(text, &Role::DEFAULT).unwrap();
        plain.map(|item| item.reserve(level.clone()).unwrap())
    }

    fn volume(disk: &Resource, id: &str) -> Resource {
        let persistence = Some(Persistence {
            id: id.to_owned(),
            principal: None,
        });
        let volume = Some(Volume {
            container_path: "data".to_owned(),
            read_only: false,
        });
        let info = Disk {
            persistence,
            volume,
            source: None,
        };
        disk.clone().with_disk(Some(info)).unwrap()
    }

    #[test]
    fn a_conversion_keeps_amounts_and_can_be_undone() {
        let made = reserved("cpus:1;disk:10", "dev");
        let conversion = Conversion {
            consumed: parse("cpus:1;disk:10", &Role::DEFAULT).unwrap(),
            converted: made.clone(),
        };
        let after = flags().convert(&conversion).unwrap();
        assert!(after.contains(&made));
        assert_eq!(after.quantities(), flags().quantities());
        assert_eq!(after.convert(&conversion.clone().reversed()), Some(flags()));
        let again = after.convert(&conversion).unwrap();
        assert_eq!(again.converted().cpus(), crate::resources::Scalar::whole(2));
        let much = Conversion {
            consumed: parse("cpus:9", &Role::DEFAULT).unwrap(),
            converted: reserved("cpus:9", "dev"),
        };
        assert_eq!(flags().convert(&much), None);
    }

    #[test]
    fn what_was_converted_is_laid_over_the_flags() {
        let fixed = parse("disk(ads):20", &Role::DEFAULT).unwrap();
        let on_fixed = volume(fixed.iter().next().unwrap(), "v1");
        let dynamic = reserved("disk:30", "dev");
        let on_dynamic = volume(dynamic.iter().next().unwrap(), "v1");
        assert_eq!(
            on_dynamic.clone().without_volume(),
            *dynamic.iter().next().unwrap()
        );
        let mut converted = reserved("cpus:1", "dev/a");
        converted.add(on_fixed);
        converted.add(on_dynamic.with_shared(true).unwrap());
        let total = flags().with_converted(&converted).unwrap();
        assert_eq!(total.converted(), converted);
        assert_eq!(total.quantities(), flags().quantities());
        assert_eq!(
            total.map(Resource::as_configured),
            flags(),
            "nothing else has changed"
        );
        let less = parse("cpus:4;disk:100", &Role::DEFAULT).unwrap();
        assert_eq!(less.with_converted(&converted), None, "disk(ads) is gone");
    }
}
