//! Checks of a container's description: volumes, Linux settings, resource limits of processes.

use crate::proto::v1::container_info::Type;
use crate::proto::v1::linux_info::IpcMode;
use crate::proto::v1::volume::{Source, source};
use crate::proto::v1::{ContainerInfo, LinuxInfo, RLimitInfo, Volume, r_limit_info};

use super::{Invalid, Reason};

/// Checks a container.
pub(super) fn check(container: &ContainerInfo) -> Result<(), Invalid> {
    match Type::try_from(container.r#type) {
        Ok(Type::Docker) if container.docker.is_none() => {
            return Err(Invalid::new("docker", Reason::Missing));
        }
        Ok(Type::Mesos) if container.docker.is_some() => {
            let hint = Reason::Unexpected(" with type MESOS");
            return Err(Invalid::new("docker", hint));
        }
        Ok(_) => {}
        Err(_) => {
            return Err(Invalid::new("type", Reason::UnknownEnum(container.r#type)));
        }
    }
    for volume in &container.volumes {
        check_volume(volume).map_err(|error| error.within("volumes"))?;
    }
    for network in &container.network_infos {
        for mapping in &network.port_mappings {
            for port in [mapping.host_port, mapping.container_port] {
                if u16::try_from(port).is_err() {
                    let field = "network_infos.port_mappings";
                    return Err(Invalid::new(field, Reason::NotAPort(port.into())));
                }
            }
        }
    }
    if let Some(linux) = &container.linux_info {
        check_linux(linux).map_err(|error| error.within("linux_info"))?;
    }
    if let Some(limits) = &container.rlimit_info {
        check_rlimits(limits).map_err(|error| error.within("rlimit_info.rlimits"))?;
    }
    Ok(())
}

fn check_volume(volume: &Volume) -> Result<(), Invalid> {
    if volume.container_path.is_empty() {
        return Err(Invalid::new("container_path", Reason::Empty));
    }
    let origins = [
        volume.host_path.is_some(),
        volume.image.is_some(),
        volume.source.is_some(),
    ];
    if origins.iter().filter(|is_set| **is_set).count() != 1 {
        return Err(Invalid::new(
            volume.container_path.clone(),
            Reason::Conflict("exactly one of host_path, image and source must be set"),
        ));
    }
    match &volume.source {
        Some(source) => check_source(source).map_err(|error| error.within("source")),
        None => Ok(()),
    }
}

fn check_source(source: &Source) -> Result<(), Invalid> {
    let kind = source
        .r#type
        .ok_or_else(|| Invalid::new("type", Reason::Missing))?;
    let (field, is_set) = match source::Type::try_from(kind) {
        Ok(source::Type::DockerVolume) => ("docker_volume", source.docker_volume.is_some()),
        Ok(source::Type::SandboxPath) => ("sandbox_path", source.sandbox_path.is_some()),
        Ok(source::Type::Secret) => ("secret", source.secret.is_some()),
        Ok(source::Type::HostPath) => ("host_path", source.host_path.is_some()),
        Ok(source::Type::CsiVolume) => ("csi_volume", source.csi_volume.is_some()),
        Ok(source::Type::Unknown) | Err(_) => {
            return Err(Invalid::new("type", Reason::UnknownEnum(kind)));
        }
    };
    if !is_set {
        return Err(Invalid::new(field, Reason::Missing));
    }
    Ok(())
}

#[expect(
    deprecated,
    reason = "the old capability field is refused only beside its successor"
)]
fn check_linux(linux: &LinuxInfo) -> Result<(), Invalid> {
    if linux.capability_info.is_some() && linux.effective_capabilities.is_some() {
        let hint = Reason::Unexpected(" with effective_capabilities");
        return Err(Invalid::new("capability_info", hint));
    }
    let effective = linux.effective_capabilities.as_ref();
    let effective = effective.or(linux.capability_info.as_ref());
    if let (Some(effective), Some(bounding)) = (effective, &linux.bounding_capabilities) {
        let outside = effective
            .capabilities
            .iter()
            .any(|capability| !bounding.capabilities.contains(capability));
        if outside {
            return Err(Invalid::new(
                "effective_capabilities",
                Reason::Conflict("all of them must be among the bounding capabilities"),
            ));
        }
    }
    if linux.shm_size.is_some() && linux.ipc_mode() != IpcMode::Private {
        let hint = Reason::Unexpected(" unless ipc_mode is PRIVATE");
        return Err(Invalid::new("shm_size", hint));
    }
    if let Some(seccomp) = &linux.seccomp
        && seccomp.unconfined()
        && seccomp.profile_name.is_some()
    {
        let hint = Reason::Unexpected(" when unconfined");
        return Err(Invalid::new("seccomp.profile_name", hint));
    }
    Ok(())
}

fn check_rlimits(limits: &RLimitInfo) -> Result<(), Invalid> {
    use r_limit_info::r_limit::Type as Limit;
    for limit in &limits.rlimits {
        let kind = limit
            .r#type
            .ok_or_else(|| Invalid::new("type", Reason::Missing))?;
        if matches!(Limit::try_from(kind), Ok(Limit::Unknown) | Err(_)) {
            return Err(Invalid::new("type", Reason::UnknownEnum(kind)));
        }
        let name = limit.r#type().as_str_name();
        let problem = match (limit.soft, limit.hard) {
            (Some(soft), Some(hard)) if soft > hard => "soft must not be above hard",
            (Some(_), None) | (None, Some(_)) => "soft and hard must be set together",
            _ => continue,
        };
        return Err(Invalid::new(name, Reason::Conflict(problem)));
    }
    Ok(())
}
