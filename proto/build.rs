//! Build script: compiles `proto/` with protox (no protoc needed), generates the Rust types and gRPC
//! services, the descriptor set for server reflection, the tables of required fields, and the JSON coding.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs};

mod json;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FileDescriptorSet};

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("proto");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed={}", root.display());

    let mut files = Vec::new();
    collect_protos(&root, &mut files)?;
    files.sort();
    let mut descriptors = protox::compile(&files, [&root])?;

    fs::write(out.join("required.rs"), required_tables(&descriptors)?)?;

    fs::write(out.join("json.rs"), json::implementations(&descriptors)?)?;

    let mut config = prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure()
        .out_dir(&out)
        .include_file("protocols.rs")
        // The client's `connect(address)` would collide with the link's rpc of that name: clients are
        // made with `new(channel)`.
        .build_transport(false)
        .btree_map(".")
        .codec_path("crate::proto::codec::CheckedCodec")
        .compile_fds_with_config(descriptors.clone(), config)?;

    // Reflection does not need the comments, and they are most of the bytes.
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    fs::write(out.join("descriptors.pb"), descriptors.encode_to_vec())?;
    name_commit();
    name_time()?;
    Ok(())
}

/// Gives the time of the build to the binary: `MESOSD_BUILD_TIME` in seconds since 1970,
/// `MESOSD_BUILD_DATE` as text. `SOURCE_DATE_EPOCH` wins, so that a build can be repeated.
fn name_time() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let seconds = match env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse()?,
        Err(_) => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
    };
    println!("cargo::rustc-env=MESOSD_BUILD_TIME={seconds}");
    println!("cargo::rustc-env=MESOSD_BUILD_DATE={}", date(seconds));
    Ok(())
}

/// Date and time in UTC, `2026-11-20 18:02:57`, of seconds since 1970.
fn date(seconds: u64) -> String {
    // Years are counted from March, so that the leap day is a year's last one.
    let (day, second) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

/// Gives the commit to the binary as `MESOSD_COMMIT`: the variable of that name wins, then git says it
/// in a checkout of ours, then `.commit` in an archive that git has made.
fn name_commit() {
    println!("cargo::rerun-if-env-changed=MESOSD_COMMIT");
    println!("cargo::rerun-if-changed=.commit");
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    // An archive may be unpacked inside of another project's checkout.
    let ours = git(&["rev-parse", "--show-prefix"]).is_some_and(|prefix| prefix.is_empty());
    let head = || git(&["rev-parse", "HEAD"]).filter(|_| ours);
    let archived = || fs::read_to_string(".commit").ok();
    let is_commit =
        |text: &String| text.len() >= 12 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let commit = env::var("MESOSD_COMMIT").ok().or_else(head);
    let commit = commit.or_else(archived).map(|text| text.trim().to_owned());
    if let Some(commit) = commit.filter(is_commit) {
        println!("cargo::rustc-env=MESOSD_COMMIT={}", &commit[..12]);
    }
    if !ours {
        return;
    }
    // Changes with every commit; a path that does not exist would mean a rerun with every build.
    if let Some(log) =
        git(&["rev-parse", "--git-path", "logs/HEAD"]).filter(|log| Path::new(log).exists())
    {
        println!("cargo::rerun-if-changed={log}");
    }
}

/// Every `.proto` file below `folder`.
fn collect_protos(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect_protos(&path, files)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            files.push(path);
        }
    }
    Ok(())
}

/// The tables that `src/proto/required.rs` walks: for each message, its required fields and the
/// fields whose messages hold required ones.
fn required_tables(descriptors: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let mut messages = BTreeMap::new();
    for file in &descriptors.file {
        if file.package().starts_with("google.") {
            continue;
        }
        for message in &file.message_type {
            flatten(file.package(), message, &mut messages);
        }
    }
    let demanding = demanding(&messages);
    let index: BTreeMap<&str, usize> = messages
        .keys()
        .enumerate()
        .map(|(at, name)| (name.as_str(), at))
        .collect();

    let mut text = format!("static RULES: [Rules; {}] = [\n", messages.len());
    for (name, message) in &messages {
        let is_map_entry = message
            .options
            .as_ref()
            .is_some_and(|options| options.map_entry());
        let mut fields: Vec<_> = message.field.iter().collect();
        fields.sort_by_key(|field| field.number());
        let mut rows = String::new();
        let mut required = 0_u64;
        let mut bit = 0;
        for field in fields {
            let target = field.type_name().trim_start_matches('.');
            let inner = (field.r#type() == Type::Message && demanding.contains(target))
                .then(|| index[target]);
            if inner.is_none() && field.label() != Label::Required {
                continue;
            }
            if field.label() == Label::Required {
                required |= 1 << bit;
            }
            writeln!(
                rows,
                "        Rule {{ number: {}, name: {:?}, repeated: {}, inner: {:?} }},",
                field.number(),
                // The `value` of a map entry is not a component of the path that users know.
                if is_map_entry { "" } else { field.name() },
                field.label() == Label::Repeated,
                inner,
            )?;
            bit += 1;
        }
        if bit > 64 {
            return Err(format!("{name}: more than 64 fields to check").into());
        }
        writeln!(
            text,
            "    Rules {{ name: {name:?}, required: {required:#b}, fields: &[\n{rows}    ] }},"
        )?;
    }
    text.push_str("];\n");
    Ok(text)
}

/// Puts a message and those nested in it into `messages`, by full name.
fn flatten<'a>(
    scope: &str,
    message: &'a DescriptorProto,
    messages: &mut BTreeMap<String, &'a DescriptorProto>,
) {
    let name = format!("{scope}.{}", message.name());
    for nested in &message.nested_type {
        flatten(&name, nested, messages);
    }
    messages.insert(name, message);
}

/// The messages that hold a required field, at any depth.
fn demanding(messages: &BTreeMap<String, &DescriptorProto>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    loop {
        let before = found.len();
        for (name, message) in messages {
            let demands = message.field.iter().any(|field| {
                field.label() == Label::Required
                    || found.contains(field.type_name().trim_start_matches('.'))
            });
            if demands {
                found.insert(name.clone());
            }
        }
        if found.len() == before {
            return found;
        }
    }
}
