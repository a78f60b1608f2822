//! Resources as the unversioned endpoints show them: a summary with cpus, gpus, mem and disk always
//! there, or Resource objects.

use std::collections::BTreeMap;

use super::pieces;
use crate::proto::json::Json as _;
use crate::proto::json::writer::Writer;
use crate::resources::{
    Quantities, Ranges, ReservationForm, ResourceName, Resources, Scalar, Set, Value,
};

/// What one name sums up to.
enum Sum {
    Scalar(Scalar),
    Ranges(Ranges),
    Set(Set),
}

/// A member with a summary.
pub(super) fn summary(w: &mut Writer, key: &'static str, resources: &Resources) {
    w.key(key);
    summary_value(w, resources);
}

/// A summary: amounts by name, what may be taken back as `<name>_revocable`.
pub(super) fn summary_value(w: &mut Writer, resources: &Resources) {
    let mut basic = [Scalar::ZERO; 4];
    let mut others: BTreeMap<String, Sum> = BTreeMap::new();
    for item in resources {
        let name = item.name().as_str();
        let place = match name {
            "disk" => Some(0),
            "mem" => Some(1),
            "gpus" => Some(2),
            "cpus" => Some(3),
            _ => None,
        };
        if let (Some(place), Some(amount), false) = (place, item.scalar(), item.is_revocable()) {
            basic[place] += amount;
            continue;
        }
        let name = if item.is_revocable() {
            format!("{name}_revocable")
        } else {
            name.to_owned()
        };
        add(&mut others, name, item.value());
    }
    w.open();
    for (key, amount) in ["\"disk\":", "\"mem\":", "\"gpus\":", "\"cpus\":"]
        .into_iter()
        .zip(basic)
    {
        pieces::double(w, key, amount.as_f64());
    }
    for (name, sum) in others {
        w.name(&name);
        match sum {
            Sum::Scalar(amount) => w.double(amount.as_f64()),
            Sum::Ranges(ranges) => w.string(&ranges.to_string()),
            Sum::Set(set) => w.string(&set.to_string()),
        }
    }
    w.close();
}

fn add(sums: &mut BTreeMap<String, Sum>, name: String, value: &Value) {
    let sum = match (sums.remove(&name), value) {
        (Some(Sum::Scalar(sum)), Value::Scalar(more)) => Sum::Scalar(sum + *more),
        (Some(Sum::Ranges(sum)), Value::Ranges(more)) => Sum::Ranges(sum.union(more)),
        (Some(Sum::Set(sum)), Value::Set(more)) => Sum::Set(sum.union(more)),
        (_, Value::Scalar(first)) => Sum::Scalar(*first),
        (_, Value::Ranges(first)) => Sum::Ranges(first.clone()),
        (_, Value::Set(first)) => Sum::Set(first.clone()),
    };
    sums.insert(name, sum);
}

/// A member with Resource objects.
pub(super) fn full(w: &mut Writer, key: &'static str, resources: &Resources) {
    w.key(key);
    full_value(w, resources);
}

/// A list of Resource objects.
pub(super) fn full_value(w: &mut Writer, resources: &Resources) {
    w.open_list();
    for resource in resources.to_proto(ReservationForm::Both) {
        w.item();
        resource.write(w);
    }
    w.close_list();
}

/// The member `reserved_resources`: a summary for each role.
pub(super) fn reserved(w: &mut Writer, resources: &Resources) {
    w.key("\"reserved_resources\":");
    w.open();
    for (role, reserved) in resources.reservations() {
        w.name(role.as_str());
        summary_value(w, &reserved);
    }
    w.close();
}

/// The member `reserved_resources_full`: Resource objects for each role.
pub(super) fn reserved_full(w: &mut Writer, resources: &Resources) {
    w.key("\"reserved_resources_full\":");
    w.open();
    for (role, reserved) in resources.reservations() {
        w.name(role.as_str());
        full_value(w, &reserved);
    }
    w.close();
}

/// A member with scalar amounts by name, only those that are there.
pub(super) fn quantities(w: &mut Writer, key: &'static str, amounts: &Quantities) {
    w.key(key);
    w.open();
    for (name, amount) in amounts.iter() {
        w.name(ResourceName::as_str(name));
        w.double(amount.as_f64());
    }
    w.close();
}
