//! Checks of offer operations that convert resources: RESERVE, UNRESERVE, CREATE, DESTROY,
//! GROW_VOLUME and SHRINK_VOLUME; from frameworks in ACCEPT, and from operators.

use std::collections::BTreeSet;

use crate::base::OperationId;
use crate::proto::v1;
use crate::proto::v1::offer::{Operation, operation as wire};
use crate::resources::{
    Conversion, Reservation, ReservationForm, ReservationKind, Resource, Resources, Scalar,
    SourceKind, Value,
};
use crate::roles::Role;

use super::context::Checked;
use super::{Invalid, Reason};

/// Who asks for an operation, and what is known of the agent that it is for.
#[derive(Clone, Copy, Debug)]
pub struct OperationContext<'a> {
    /// The framework; none for an operator.
    pub framework: Option<Requester<'a>>,
    /// Who is authenticated, or says so in its framework's description.
    pub principal: Option<&'a str>,
    /// Everything that the agent has, allocated to nobody.
    pub total: &'a Resources,
    /// What tasks and executors hold of it.
    pub used: &'a Resources,
}

/// A framework that asks for an operation.
#[derive(Clone, Copy, Debug)]
pub struct Requester<'a> {
    /// The role of the offers that it uses.
    pub role: &'a Role,
    /// It knows reservations of several levels (RESERVATION_REFINEMENT).
    pub refines: bool,
    /// It knows volumes that several tasks hold (SHARED_RESOURCES).
    pub shares: bool,
}

/// An operation that can be carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidOperation {
    /// Named by the framework if it wants to hear of it.
    pub id: Option<OperationId>,
    /// The operation with its resources allocated to the offers' role.
    pub info: Operation,
    /// What it does.
    pub conversion: Conversion,
    /// Whether what it makes can be used by the operations after it in the same call.
    pub usable: bool,
    checked: Checked,
}

/// What an operation says, before anybody asks whether it may.
#[derive(Debug)]
struct Read {
    info: Operation,
    kind: wire::Type,
    conversion: Conversion,
}

/// What an operation that was checked before does, as an agent reads it: allocated to nobody.
///
/// # Errors
///
/// The first part that cannot be read.
pub fn conversion(operation: &Operation) -> Result<Conversion, Invalid> {
    Ok(read(operation, None)?.conversion.of_total())
}

/// Checks an operation against what is `left` of the offers, or of the agent for an operator.
///
/// # Errors
///
/// The first problem found.
pub fn check(
    operation: &Operation,
    context: &OperationContext<'_>,
    left: &Resources,
) -> Result<ValidOperation, Invalid> {
    let id = operation.id.as_ref().map(OperationId::try_from).transpose();
    let id = id.map_err(|error| Invalid::new("id", error))?;
    let role = context.framework.map(|framework| framework.role);
    let Read {
        info,
        kind,
        mut conversion,
    } = read(operation, role)?;
    match kind {
        wire::Type::Reserve => check_reserve(operation, &conversion, context)?,
        wire::Type::Unreserve => check_unreserve(&conversion)?,
        wire::Type::Create => check_create(&conversion, context)?,
        wire::Type::Destroy => {
            check_destroy(&conversion, context)?;
            conversion.consumed = with_copies(&conversion.consumed, left);
        }
        _ => {}
    }
    if !left.contains(&conversion.consumed) {
        let (wanted, left) = (conversion.consumed.unallocated(), left.unallocated());
        return Err(Invalid::new(
            field(kind),
            Reason::NotOffered { wanted, left },
        ));
    }
    let resizes = matches!(kind, wire::Type::GrowVolume | wire::Type::ShrinkVolume);
    Ok(ValidOperation {
        id,
        info,
        conversion,
        usable: !resizes,
        checked: Checked,
    })
}

fn field(kind: wire::Type) -> &'static str {
    match kind {
        wire::Type::Reserve => "reserve.resources",
        wire::Type::Unreserve => "unreserve.resources",
        wire::Type::Create => "create.volumes",
        wire::Type::Destroy => "destroy.volumes",
        wire::Type::GrowVolume => "grow_volume",
        wire::Type::ShrinkVolume => "shrink_volume",
        _ => "type",
    }
}

/// Reads an operation into what it consumes and makes.
fn read(operation: &Operation, role: Option<&Role>) -> Result<Read, Invalid> {
    let kind = operation.r#type();
    let mut info = operation.clone();
    let missing = || Invalid::new(field(kind), Reason::Missing);
    let conversion = match kind {
        wire::Type::Reserve => read_reserve(info.reserve.as_mut().ok_or_else(missing)?, role)?,
        wire::Type::Unreserve => {
            let body = info.unreserve.as_mut().ok_or_else(missing)?;
            let consumed = read_list(&mut body.resources, role, "unreserve.resources")?;
            Conversion {
                converted: consumed.map(Resource::unreserve),
                consumed,
            }
        }
        wire::Type::Create => {
            let body = info.create.as_mut().ok_or_else(missing)?;
            let converted = read_list(&mut body.volumes, role, "create.volumes")?;
            Conversion {
                consumed: converted.map(Resource::without_volume),
                converted,
            }
        }
        wire::Type::Destroy => {
            let body = info.destroy.as_mut().ok_or_else(missing)?;
            let consumed = read_list(&mut body.volumes, role, "destroy.volumes")?;
            Conversion {
                converted: consumed.map(Resource::without_volume),
                consumed,
            }
        }
        wire::Type::GrowVolume => {
            let body = info.grow_volume.as_mut().ok_or_else(missing)?;
            let (volume, addition) = read_growth(body, role)?;
            body.volume = volume.to_proto(ReservationForm::Stack);
            body.addition = addition.to_proto(ReservationForm::Stack);
            grow(volume, addition)
        }
        wire::Type::ShrinkVolume => {
            let body = info.shrink_volume.as_mut().ok_or_else(missing)?;
            let volume = read_volume(&body.volume, role, "shrink_volume.volume")?;
            body.volume = volume.to_proto(ReservationForm::Stack);
            shrink(volume, body.subtract.value)?
        }
        other => {
            return Err(Invalid::new(
                "type",
                Reason::Expected {
                    expected: "an operation that converts resources".to_owned(),
                    found: other.as_str_name().to_owned(),
                },
            ));
        }
    };
    Ok(Read {
        info,
        kind,
        conversion,
    })
}

/// Without a source, the innermost reservations are new.
fn read_reserve(body: &mut wire::Reserve, role: Option<&Role>) -> Result<Conversion, Invalid> {
    let converted = read_list(&mut body.resources, role, "reserve.resources")?;
    let consumed = if body.source.is_empty() {
        converted.map(Resource::unreserve)
    } else {
        read_list(&mut body.source, role, "reserve.source")?
    };
    Ok(Conversion {
        consumed,
        converted,
    })
}

/// Reads a list, and writes it as it was understood.
fn read_list(
    messages: &mut Vec<v1::Resource>,
    role: Option<&Role>,
    at: &str,
) -> Result<Resources, Invalid> {
    let bag = read_bag(messages, role, at)?;
    *messages = bag.to_proto(ReservationForm::Stack);
    Ok(bag)
}

/// Reads a list that must hold something; what names no role is allocated to `role`, as all must be.
fn read_bag(
    messages: &[v1::Resource],
    role: Option<&Role>,
    at: &str,
) -> Result<Resources, Invalid> {
    let bag = Resources::from_proto(messages).map_err(|error| Invalid::new(at, error))?;
    if bag.is_empty() {
        return Err(Invalid::new(at, Reason::Empty));
    }
    if let Some(item) = bag.iter().find(|item| item.provider().is_some()) {
        let found = format!("{}", Resources::from(item.clone().unreserved()));
        return Err(Invalid::new(
            at,
            Reason::Expected {
                expected: "resources of the agent itself, as it has no resource providers"
                    .to_owned(),
                found,
            },
        ));
    }
    let Some(role) = role else {
        return Ok(bag.unallocated());
    };
    let bag = bag.allocate_missing(role);
    match bag
        .iter()
        .find_map(|item| item.allocated_role().filter(|found| *found != role))
    {
        Some(found) => {
            let (expected, found) = (role.clone(), found.clone());
            Err(Invalid::new(at, Reason::OtherRole { expected, found }))
        }
        None => Ok(bag),
    }
}

fn read_one(message: &v1::Resource, role: Option<&Role>, at: &str) -> Result<Resource, Invalid> {
    let bag = read_bag(std::slice::from_ref(message), role, at)?;
    let item = bag.into_iter().next();
    item.ok_or_else(|| Invalid::new(at, Reason::Empty))
}

/// Reads a volume that can be resized: not shared, and not a disk that is taken whole.
fn read_volume(message: &v1::Resource, role: Option<&Role>, at: &str) -> Result<Resource, Invalid> {
    let volume = read_one(message, role, at)?;
    let wrong = |text: &'static str| Err(Invalid::new(at, Reason::Conflict(text)));
    if !volume.is_persistent_volume() {
        return wrong("only persistent volumes can be resized");
    }
    if volume.is_shared() {
        return wrong("a shared volume cannot be resized");
    }
    let source = volume.disk().and_then(|disk| disk.source.as_ref());
    if source.is_some_and(|source| source.kind != SourceKind::Path) {
        return wrong("only volumes on ROOT or PATH disks can be resized");
    }
    Ok(volume)
}

fn read_growth(
    body: &wire::GrowVolume,
    role: Option<&Role>,
) -> Result<(Resource, Resource), Invalid> {
    let volume = read_volume(&body.volume, role, "grow_volume.volume")?;
    let at = "grow_volume.addition";
    let addition = read_one(&body.addition, role, at)?;
    let fits = volume
        .clone()
        .without_volume()
        .with_value(addition.value().clone());
    if addition.value().kind() != volume.value().kind() || fits != addition {
        return Err(Invalid::new(
            at,
            Reason::Conflict("must be disk without a volume, reserved just as the volume"),
        ));
    }
    Ok((volume, addition))
}

fn grow(volume: Resource, addition: Resource) -> Conversion {
    let sum = [&volume, &addition]
        .into_iter()
        .filter_map(Resource::scalar);
    let grown = volume.clone().with_value(Value::Scalar(sum.sum()));
    Conversion {
        consumed: [volume, addition].into_iter().collect(),
        converted: grown.into(),
    }
}

fn shrink(volume: Resource, subtract: f64) -> Result<Conversion, Invalid> {
    let at = "shrink_volume.subtract";
    let less = Scalar::from_f64(subtract)
        .map_err(|_| Invalid::new(at, Reason::NotAnAmount(subtract.to_string())))?;
    let size = volume.scalar().unwrap_or(Scalar::ZERO);
    if less <= Scalar::ZERO || less >= size {
        return Err(Invalid::new(
            at,
            Reason::Expected {
                expected: format!("more than 0 and less than the volume's {size} MB"),
                found: less.to_string(),
            },
        ));
    }
    let rest = Scalar::from_thousandths(size.thousandths() - less.thousandths());
    let smaller = volume.clone().with_value(Value::Scalar(rest));
    let freed = volume
        .clone()
        .without_volume()
        .with_value(Value::Scalar(less));
    Ok(Conversion {
        consumed: volume.into(),
        converted: [smaller, freed].into_iter().collect(),
    })
}

fn check_principal(
    found: Option<&str>,
    context: &OperationContext<'_>,
    at: &'static str,
) -> Result<(), Invalid> {
    match context.principal {
        Some(expected) if found != Some(expected) => Err(Invalid::new(
            at,
            Reason::Expected {
                expected: format!("'{expected}', who asks for it"),
                found: found.map_or_else(|| "unset".to_owned(), |found| format!("'{found}'")),
            },
        )),
        Some(_) | None => Ok(()),
    }
}

fn check_reserve(
    operation: &Operation,
    conversion: &Conversion,
    context: &OperationContext<'_>,
) -> Result<(), Invalid> {
    let at = "reserve.resources";
    for item in &conversion.converted {
        let Some(level) = item
            .reservations()
            .last()
            .filter(|_| item.is_dynamically_reserved())
        else {
            return Err(Invalid::new(
                at,
                Reason::Conflict("each must have a reservation of type DYNAMIC on top"),
            ));
        };
        if item.is_persistent_volume() {
            return Err(Invalid::new(
                at,
                Reason::Conflict("a persistent volume is on reserved disk already"),
            ));
        }
        check_level(level, context)?;
        if item.is_refined()
            && context
                .framework
                .is_some_and(|framework| !framework.refines)
        {
            return Err(Invalid::new(
                at,
                Reason::Conflict("refining needs the framework capability RESERVATION_REFINEMENT"),
            ));
        }
    }
    let replaces = operation
        .reserve
        .as_ref()
        .is_some_and(|body| !body.source.is_empty());
    if replaces {
        check_source(conversion, context)?;
    }
    Ok(())
}

fn check_level(level: &Reservation, context: &OperationContext<'_>) -> Result<(), Invalid> {
    let at = "reserve.resources.reservations.principal";
    check_principal(level.principal.as_deref(), context, at)?;
    match context.framework {
        Some(framework) if *framework.role != level.role => Err(Invalid::new(
            "reserve.resources.reservations.role",
            Reason::Expected {
                expected: format!("'{}', the role of the offers", framework.role),
                found: format!("'{}'", level.role),
            },
        )),
        Some(_) | None => Ok(()),
    }
}

/// Reservations that take the place of others: the same resources, on the same static reservations.
fn check_source(conversion: &Conversion, context: &OperationContext<'_>) -> Result<(), Invalid> {
    let at = "reserve.source";
    if context.framework.is_some() {
        let reason = Reason::Unexpected(" by frameworks; operators can move reservations");
        return Err(Invalid::new(at, reason));
    }
    if conversion
        .consumed
        .iter()
        .any(Resource::is_persistent_volume)
    {
        let reason = Reason::Conflict("holds a persistent volume; destroy it first");
        return Err(Invalid::new(at, reason));
    }
    let plain = |resources: &Resources| resources.map(Resource::as_configured);
    let (from, to) = (plain(&conversion.consumed), plain(&conversion.converted));
    if from != to {
        return Err(Invalid::new(
            at,
            Reason::Expected {
                expected: format!("{to}, as in 'resources' but for the reservations"),
                found: from.to_string(),
            },
        ));
    }
    Ok(())
}

fn check_unreserve(conversion: &Conversion) -> Result<(), Invalid> {
    let at = "unreserve.resources";
    for item in &conversion.consumed {
        if item.is_persistent_volume() {
            let reason = Reason::Conflict("holds a persistent volume; destroy it first");
            return Err(Invalid::new(at, reason));
        }
        let kind = item.reservations().last().map(|level| level.kind);
        match kind {
            Some(ReservationKind::Dynamic) => {}
            Some(ReservationKind::Static) => {
                let text = "holds a static reservation, which only the agent's flags can end";
                return Err(Invalid::new(at, Reason::Conflict(text)));
            }
            None => {
                let text = "holds resources that are not reserved";
                return Err(Invalid::new(at, Reason::Conflict(text)));
            }
        }
    }
    Ok(())
}

fn check_create(conversion: &Conversion, context: &OperationContext<'_>) -> Result<(), Invalid> {
    let at = "create.volumes";
    let volumes = context.total.iter().filter_map(volume_name);
    let mut taken: BTreeSet<(&Role, &str)> = volumes.collect();
    for item in &conversion.converted {
        let Some((role, id)) = volume_name(item) else {
            let text = "each must be a persistent volume, with disk.persistence and disk.volume";
            return Err(Invalid::new(at, Reason::Conflict(text)));
        };
        let disk = item.disk();
        let owner = disk.and_then(|disk| disk.persistence.as_ref()?.principal.as_deref());
        check_principal(owner, context, "create.volumes.disk.persistence.principal")?;
        if disk
            .and_then(|disk| disk.volume.as_ref())
            .is_some_and(|volume| volume.read_only)
        {
            let text = "a persistent volume is of mode RW";
            return Err(Invalid::new(at, Reason::Conflict(text)));
        }
        let shares = context.framework.is_none_or(|framework| framework.shares);
        if item.is_shared() && !shares {
            let text = "sharing needs the framework capability SHARED_RESOURCES";
            return Err(Invalid::new(at, Reason::Conflict(text)));
        }
        if item.copies() > 1 || !taken.insert((role, id)) {
            let at = "create.volumes.disk.persistence.id";
            return Err(Invalid::new(
                at,
                Reason::VolumeExists {
                    id: id.to_owned(),
                    role: role.clone(),
                },
            ));
        }
    }
    Ok(())
}

/// The name under which a volume must be the only one of its agent.
fn volume_name(item: &Resource) -> Option<(&Role, &str)> {
    let persistence = item.disk()?.persistence.as_ref()?;
    Some((item.reserved_role()?, &persistence.id))
}

fn check_destroy(conversion: &Conversion, context: &OperationContext<'_>) -> Result<(), Invalid> {
    let at = "destroy.volumes";
    let used = context.used.unallocated();
    for item in conversion.of_total().consumed {
        let Some((_, id)) = volume_name(&item) else {
            let text = "each must be a persistent volume, with disk.persistence and disk.volume";
            return Err(Invalid::new(at, Reason::Conflict(text)));
        };
        if !context.total.contains_one(&item) {
            return Err(Invalid::new(at, Reason::NoVolume(id.to_owned())));
        }
        if used.contains_one(&item) {
            return Err(Invalid::new(at, Reason::VolumeInUse(id.to_owned())));
        }
    }
    Ok(())
}

/// The volumes with as many copies of shared ones as there are: a destroyed volume leaves none.
fn with_copies(volumes: &Resources, left: &Resources) -> Resources {
    let copies = |volume: &Resource| {
        let same = left.iter().find(|have| (*have).clone().once() == *volume);
        same.unwrap_or(volume).clone()
    };
    volumes
        .iter()
        .map(|volume| {
            if volume.is_shared() {
                copies(volume)
            } else {
                volume.clone()
            }
        })
        .collect()
}
