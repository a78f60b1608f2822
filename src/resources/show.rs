//! The text form of resources, as `parse` reads it.
//!
//! What the text form cannot say (dynamic reservations, volumes, allocations) is shown for people
//! in brackets that `parse` refuses.

use std::fmt;

use super::{Reservation, ReservationKind, Resource, Resources};

fn level(reservation: &Reservation, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{}", reservation.role)?;
    if reservation.kind == ReservationKind::Dynamic {
        f.write_str(" dynamic")?;
    }
    if let Some(principal) = &reservation.principal {
        write!(f, " by {principal}")?;
    }
    for label in reservation.labels.iter() {
        write!(f, " {}", label.key)?;
        if let Some(value) = &label.value {
            write!(f, "={value}")?;
        }
    }
    Ok(())
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name().fmt(f)?;
        if let Some(role) = self.allocated_role() {
            write!(f, "(allocated: {role})")?;
        }
        match self.reservations() {
            [] => {}
            [only] if *only == Reservation::fixed(only.role.clone()) => {
                write!(f, "({})", only.role)?;
            }
            stack => {
                f.write_str("(reserved: ")?;
                for (index, reservation) in stack.iter().enumerate() {
                    if index > 0 {
                        f.write_str(", ")?;
                    }
                    level(reservation, f)?;
                }
                f.write_str(")")?;
            }
        }
        if let Some(disk) = self.disk() {
            f.write_str("(disk:")?;
            if let Some(source) = &disk.source {
                write!(f, " {:?}", source.kind)?;
                for part in [&source.root, &source.profile, &source.id]
                    .into_iter()
                    .flatten()
                {
                    write!(f, " {part}")?;
                }
            }
            if let (Some(persistence), Some(volume)) = (&disk.persistence, &disk.volume) {
                write!(f, " {} at {}", persistence.id, volume.container_path)?;
            }
            f.write_str(")")?;
        }
        if self.is_revocable() {
            f.write_str("(revocable)")?;
        }
        if self.is_shared() {
            write!(f, "(shared by {})", self.copies())?;
        }
        if let Some(provider) = self.provider() {
            write!(f, "(provider: {provider})")?;
        }
        write!(f, ":{}", self.value())
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(";")?;
            }
            item.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
