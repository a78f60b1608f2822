//! Checks of the two ways to probe a task: health checks and checks.

use crate::proto::v1::{CheckInfo, CommandInfo, HealthCheck, check_info, health_check};

use super::{Invalid, Reason, command};

/// A time in seconds: finite and not negative; unset is the default, which is fine.
fn seconds(field: &str, value: Option<f64>) -> Result<(), Invalid> {
    match value {
        Some(value) if !value.is_finite() || value < 0.0 => {
            Err(Invalid::new(field, Reason::NotAnAmount(value.to_string())))
        }
        _ => Ok(()),
    }
}

/// The parts of a probe that are there, by name; exactly the one called `expected` must be.
fn only_part(expected: &str, parts: [(&str, bool); 3]) -> Result<(), Invalid> {
    for (field, is_set) in parts {
        if field == expected && !is_set {
            return Err(Invalid::new(field, Reason::Missing));
        }
        if field != expected && is_set {
            return Err(Invalid::new(field, Reason::Unexpected(" with this type")));
        }
    }
    Ok(())
}

fn path(path: Option<&str>) -> Result<(), Invalid> {
    match path {
        Some(path) if !path.starts_with('/') => Err(Invalid::new(
            "http.path",
            Reason::Expected {
                expected: "a path that starts with '/'".to_owned(),
                found: format!("'{path}'"),
            },
        )),
        _ => Ok(()),
    }
}

fn port(field: &str, port: u32) -> Result<(), Invalid> {
    match u16::try_from(port) {
        Ok(1..) => Ok(()),
        _ => Err(Invalid::new(field, Reason::NotAPort(port.into()))),
    }
}

fn probe_command(probe: &CommandInfo) -> Result<(), Invalid> {
    if probe.value.as_deref().is_none_or(str::is_empty) {
        return Err(Invalid::new("value", Reason::Missing));
    }
    command::check(probe)
}

/// Checks a health check.
pub(super) fn check_health(health: &HealthCheck) -> Result<(), Invalid> {
    use health_check::Type;
    let kind = health
        .r#type
        .ok_or_else(|| Invalid::new("type", Reason::Missing))?;
    let expected = match Type::try_from(kind) {
        Ok(Type::Command) => "command",
        Ok(Type::Http) => "http",
        Ok(Type::Tcp) => "tcp",
        Ok(Type::Unknown) | Err(_) => {
            return Err(Invalid::new("type", Reason::UnknownEnum(kind)));
        }
    };
    let parts = [
        ("command", health.command.is_some()),
        ("http", health.http.is_some()),
        ("tcp", health.tcp.is_some()),
    ];
    only_part(expected, parts)?;
    if let Some(probe) = &health.command {
        probe_command(probe).map_err(|error| error.within("command"))?;
    }
    if let Some(http) = &health.http {
        if !matches!(http.scheme(), "" | "http" | "https") {
            return Err(Invalid::new(
                "http.scheme",
                Reason::Expected {
                    expected: "http or https".to_owned(),
                    found: format!("'{}'", http.scheme()),
                },
            ));
        }
        path(http.path.as_deref())?;
        port("http.port", http.port)?;
    }
    if let Some(tcp) = &health.tcp {
        port("tcp.port", tcp.port)?;
    }
    seconds("delay_seconds", health.delay_seconds)?;
    seconds("interval_seconds", health.interval_seconds)?;
    seconds("timeout_seconds", health.timeout_seconds)?;
    seconds("grace_period_seconds", health.grace_period_seconds)
}

/// Checks a check.
pub(super) fn check_check(check: &CheckInfo) -> Result<(), Invalid> {
    use check_info::Type;
    let kind = check
        .r#type
        .ok_or_else(|| Invalid::new("type", Reason::Missing))?;
    let expected = match Type::try_from(kind) {
        Ok(Type::Command) => "command",
        Ok(Type::Http) => "http",
        Ok(Type::Tcp) => "tcp",
        Ok(Type::Unknown) | Err(_) => {
            return Err(Invalid::new("type", Reason::UnknownEnum(kind)));
        }
    };
    let parts = [
        ("command", check.command.is_some()),
        ("http", check.http.is_some()),
        ("tcp", check.tcp.is_some()),
    ];
    only_part(expected, parts)?;
    if let Some(probe) = &check.command {
        probe_command(&probe.command).map_err(|error| error.within("command.command"))?;
    }
    if let Some(http) = &check.http {
        path(http.path.as_deref())?;
        port("http.port", http.port)?;
    }
    if let Some(tcp) = &check.tcp {
        port("tcp.port", tcp.port)?;
    }
    seconds("delay_seconds", check.delay_seconds)?;
    seconds("interval_seconds", check.interval_seconds)?;
    seconds("timeout_seconds", check.timeout_seconds)
}
