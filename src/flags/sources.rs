//! Flags that every daemon has: where the configuration comes from, network, logging, access.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::Domain;
use super::value::{hostname, only_false, refused};
use crate::telemetry::{LogFormat, LogLevel};

/// Where the configuration comes from.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Configuration", rename_all = "snake_case")]
pub struct SourceFlags {
    /// What this process is.
    #[arg(long, value_name = "ROLE")]
    pub role: String,
    /// File with one `name = value` per flag, in TOML.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory with one file per flag: file name = flag name, content = value; may be repeated,
    /// later ones win. Of several, the last is the role's own, where an unknown flag is an error;
    /// in the others, and in a directory named `mesos`, it is ignored with one line. Without this
    /// flag /etc/mesos and then /etc/mesos-master or /etc/mesos-slave are read.
    #[arg(long, value_name = "DIR", action = ArgAction::Append)]
    pub config_dir: Vec<PathBuf>,
}

/// Addresses of the daemon.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Network", rename_all = "snake_case")]
pub struct NetworkFlags {
    /// Address to listen on; without it all of the host's addresses (--role=local: 127.0.0.1).
    #[arg(long, value_name = "ADDRESS", conflicts_with = "ip_discovery_command")]
    pub ip: Option<IpAddr>,
    /// Port to listen on; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value = "5050")]
    pub port: u16,
    /// Address that others shall use, when it is not the one listened on (NAT, containers).
    #[arg(long, value_name = "ADDRESS")]
    pub advertise_ip: Option<IpAddr>,
    /// Port that others shall use, when it is not the one listened on.
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub advertise_port: Option<u16>,
    /// Name that is shown to others; without it the name of the address.
    #[arg(long, value_name = "NAME", value_parser = hostname)]
    pub hostname: Option<String>,
    /// Whether to look up the name of the address; otherwise the address itself is the name.
    #[arg(long, action = ArgAction::Set, default_value_t = true)]
    pub hostname_lookup: bool,
    /// Program that prints the address to listen on.
    #[arg(long, value_name = "PROGRAM")]
    pub ip_discovery_command: Option<String>,
    /// Where the host stands: region and zone as JSON, or a file with it, like
    /// `{"fault_domain": {"region": {"name": "eu"}, "zone": {"name": "b"}}}`. Agents of another
    /// region than the master's are offered only to frameworks with the capability REGION_AWARE.
    #[arg(long, value_name = "JSON")]
    pub domain: Option<Domain>,
}

/// What is logged, and where.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logging", rename_all = "snake_case")]
pub struct LoggingFlags {
    /// Least important level that is logged.
    #[arg(
        long,
        value_name = "LEVEL",
        value_enum,
        ignore_case = true,
        default_value = "INFO"
    )]
    pub logging_level: LogLevel,
    /// How a log line looks.
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// Directory to also write the log to, into mesosd-ROLE.log; SIGHUP opens the file anew.
    #[arg(long, value_name = "DIR")]
    pub log_dir: Option<PathBuf>,
    /// Log nothing to stderr.
    #[arg(long, action = ArgAction::Set, default_value_t = false)]
    pub quiet: bool,
}

/// Who may do what. This version protects nothing yet, and refuses to be told that it should.
#[derive(Args, Clone, Debug)]
#[command(
    next_help_heading = "Access (not enforced by this version: values that ask for it are refused)",
    rename_all = "snake_case"
)]
pub struct AccessFlags {
    /// Authenticate callers of endpoints that only read; only `false`.
    #[arg(long, action = ArgAction::Set, default_value_t = false, value_parser = only_false)]
    pub authenticate_http_readonly: bool,
    /// Authenticate callers of endpoints that change something; only `false`.
    #[arg(long, action = ArgAction::Set, default_value_t = false, value_parser = only_false)]
    pub authenticate_http_readwrite: bool,
    /// Access control lists in JSON; refused.
    #[arg(long, value_name = "JSON", value_parser = refused)]
    pub acls: Option<String>,
    /// Disabled endpoints in JSON; refused.
    #[arg(long, value_name = "JSON", value_parser = refused)]
    pub firewall_rules: Option<String>,
}
