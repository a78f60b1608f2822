//! Generates the JSON coding of Mesos' messages: for each message one `impl Json` with plain code for
//! its fields, over the reader and writer of `src/proto/json/`.

use std::error::Error;
use std::fmt::Write as _;

use heck::{ToSnakeCase, ToUpperCamelCase};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

/// Messages whose lists are printed even when they are empty, as Mesos does it.
const PRINTED_EMPTY: [&str; 7] = [
    "mesos.v1.master.Response.GetTasks",
    "mesos.v1.master.Response.GetExecutors",
    "mesos.v1.master.Response.GetFrameworks",
    "mesos.v1.master.Response.GetAgents",
    "mesos.v1.agent.Response.GetTasks",
    "mesos.v1.agent.Response.GetExecutors",
    "mesos.v1.agent.Response.GetFrameworks",
];

/// The implementations for every message of Mesos' packages.
pub(crate) fn implementations(descriptors: &FileDescriptorSet) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    for file in &descriptors.file {
        if file.package() != "mesos.v1" && !file.package().starts_with("mesos.v1.") {
            continue;
        }
        let scope = Scope {
            name: file.package().to_owned(),
            path: format!("crate::proto::{}", file.package().replace('.', "::")),
        };
        for message in &file.message_type {
            of_message(&scope, message, &mut text)?;
        }
    }
    Ok(text)
}

/// Where a message is declared.
struct Scope {
    /// Full name of the package or message around it.
    name: String,
    /// The Rust module of what is declared in there.
    path: String,
}

/// One field, as both directions need it.
struct Field<'a> {
    proto: &'a FieldDescriptorProto,
    /// The literal JSON of its default.
    default: Option<String>,
    kind: Kind,
    /// Type of the map's values, if it is a map.
    map: Option<Kind>,
    /// The Rust path of its `oneof`, and the name of the struct's field.
    oneof: Option<(String, String)>,
    /// Its bit among the required fields.
    required: Option<u32>,
}

/// What a value is.
enum Kind {
    /// Read and written by methods of this name.
    Plain(&'static str),
    /// An enum with this Rust path.
    Enum(String),
    Message,
}

fn of_message(
    scope: &Scope,
    message: &DescriptorProto,
    text: &mut String,
) -> Result<(), Box<dyn Error>> {
    if message
        .options
        .as_ref()
        .is_some_and(|options| options.map_entry())
    {
        return Ok(());
    }
    let inner = Scope {
        name: format!("{}.{}", scope.name, message.name()),
        path: format!("{}::{}", scope.path, message.name().to_snake_case()),
    };
    let rust = format!("{}::{}", scope.path, message.name().to_upper_camel_case());
    if message.field.is_empty() {
        // Nothing of `self` is used, so the general form would warn.
        writeln!(
            text,
            "impl Json for {rust} {{\n    fn write(&self, w: &mut Writer) {{ w.raw(\"{{}}\"); }}\n\n    fn read(p: &mut Reader<'_>) -> Result<Self, Stop> {{\n        p.open()?;\n        while p.key()?.is_some() {{ p.skip()?; }}\n        Ok(Self::default())\n    }}\n}}\n"
        )?;
        for nested in &message.nested_type {
            of_message(&inner, nested, text)?;
        }
        return Ok(());
    }
    let mut fields = Vec::new();
    let mut required = 0;
    for proto in &message.field {
        let bit = (proto.label() == Label::Required).then_some(required);
        required += u32::from(bit.is_some());
        fields.push(field(&inner, message, proto, bit)?);
    }
    if required > 64 {
        return Err(format!("{}: more than 64 required fields", inner.name).into());
    }
    let printed_empty = PRINTED_EMPTY.contains(&inner.name.as_str());

    writeln!(text, "impl Json for {rust} {{")?;
    writeln!(
        text,
        "    fn write(&self, w: &mut Writer) {{\n        w.open();"
    )?;
    for field in &fields {
        write_field(field, printed_empty, text)?;
    }
    writeln!(text, "        w.close();\n    }}\n")?;
    writeln!(
        text,
        "    fn read(p: &mut Reader<'_>) -> Result<Self, Stop> {{"
    )?;
    writeln!(text, "        let mut m = Self::default();")?;
    if required > 0 {
        writeln!(text, "        let mut seen = 0_u64;")?;
    }
    writeln!(
        text,
        "        p.open()?;\n        while let Some(key) = p.key()? {{"
    )?;
    writeln!(text, "            match key.as_ref() {{")?;
    for field in &fields {
        read_field(field, text)?;
    }
    writeln!(
        text,
        "                _ => p.skip()?,\n            }}\n        }}"
    )?;
    if required > 0 {
        let names: Vec<_> = fields
            .iter()
            .filter(|field| field.required.is_some())
            .collect();
        let names: Vec<_> = names.iter().map(|field| field.proto.name()).collect();
        writeln!(text, "        p.require(&{names:?}, seen)?;")?;
    }
    writeln!(text, "        Ok(m)\n    }}\n}}\n")?;
    for nested in &message.nested_type {
        of_message(&inner, nested, text)?;
    }
    Ok(())
}

fn field<'a>(
    scope: &Scope,
    message: &DescriptorProto,
    proto: &'a FieldDescriptorProto,
    required: Option<u32>,
) -> Result<Field<'a>, Box<dyn Error>> {
    let entry = message.nested_type.iter().find(|nested| {
        let options = nested.options.as_ref();
        options.is_some_and(|options| options.map_entry())
            && proto.type_name() == format!(".{}.{}", scope.name, nested.name())
    });
    let map = match entry {
        Some(entry) if entry.field[0].r#type() == Type::String => Some(kind(&entry.field[1])?),
        Some(_) => {
            return Err(format!("{}.{}: a map without text keys", scope.name, proto.name()).into());
        }
        None => None,
    };
    let kind = kind(proto)?;
    let deprecated = proto
        .options
        .as_ref()
        .is_some_and(|options| options.deprecated());
    let default = proto
        .default_value
        .as_ref()
        .filter(|_| !deprecated)
        .map(|value| match &kind {
            Kind::Plain("double" | "float") if !value.contains('.') => format!("{value}.0"),
            Kind::Plain("string") | Kind::Enum(_) => format!("{value:?}"),
            _ => value.clone(),
        });
    let oneof = proto.oneof_index.map(|index| {
        let name = message.oneof_decl[index as usize].name();
        let path = format!("{}::{}", scope.path, name.to_upper_camel_case());
        (path, identifier(name))
    });
    Ok(Field {
        proto,
        default,
        kind,
        map,
        oneof,
        required,
    })
}

fn kind(field: &FieldDescriptorProto) -> Result<Kind, Box<dyn Error>> {
    Ok(match field.r#type() {
        Type::Message => Kind::Message,
        Type::Enum => Kind::Enum(enum_path(field.type_name())),
        Type::String => Kind::Plain("string"),
        Type::Bytes => Kind::Plain("bytes"),
        Type::Bool => Kind::Plain("bool"),
        Type::Double => Kind::Plain("double"),
        Type::Float => Kind::Plain("float"),
        Type::Int32 => Kind::Plain("int32"),
        Type::Int64 => Kind::Plain("int64"),
        Type::Uint32 => Kind::Plain("uint32"),
        Type::Uint64 => Kind::Plain("uint64"),
        other => return Err(format!("{}: {other:?} has no JSON here", field.name()).into()),
    })
}

/// The Rust path of an enum: packages are lower case, the messages around it are modules.
fn enum_path(full_name: &str) -> String {
    let mut parts: Vec<String> = full_name
        .trim_start_matches('.')
        .split('.')
        .map(ToSnakeCase::to_snake_case)
        .collect();
    if let (Some(last), Some(name)) = (parts.last_mut(), full_name.rsplit('.').next()) {
        *last = name.to_upper_camel_case();
    }
    format!("crate::proto::{}", parts.join("::"))
}

fn identifier(name: &str) -> String {
    let name = name.to_snake_case();
    match name.as_str() {
        "type" | "match" | "ref" | "use" | "move" | "loop" | "static" | "enum" | "in" | "where" => {
            format!("r#{name}")
        }
        _ => name,
    }
}

/// The statement that writes `value`, an expression of a reference type.
fn put(kind: &Kind, value: &str) -> String {
    match kind {
        Kind::Plain(method @ ("string" | "bytes")) => format!("w.{method}({value});"),
        Kind::Plain(method) => format!("w.{method}(*{value});"),
        Kind::Enum(path) => format!("w.string(enum_name!({path}, *{value}));"),
        Kind::Message => format!("Json::write({value}, w);"),
    }
}

fn write_field(
    field: &Field<'_>,
    printed_empty: bool,
    text: &mut String,
) -> Result<(), std::fmt::Error> {
    let name = field.proto.name();
    let member = identifier(name);
    let key = format!("w.key(\"\\\"{name}\\\":\");");
    if let Some(value) = &field.map {
        let put = put(value, "value");
        return writeln!(
            text,
            "        if !self.{member}.is_empty() {{\n            {key}\n            w.open();\n            for (name, value) in &self.{member} {{ w.name(name); {put} }}\n            w.close();\n        }}"
        );
    }
    if let Some((path, member)) = &field.oneof {
        let put = put(&field.kind, "v");
        let variant = name.to_upper_camel_case();
        return writeln!(
            text,
            "        if let Some({path}::{variant}(v)) = &self.{member} {{ {key} {put} }}"
        );
    }
    let put = put(&field.kind, "v");
    match field.proto.label() {
        Label::Repeated => {
            let deprecated = field
                .proto
                .options
                .as_ref()
                .is_some_and(|options| options.deprecated());
            let condition = if printed_empty && !deprecated {
                String::new()
            } else {
                format!("if !self.{member}.is_empty() ")
            };
            writeln!(
                text,
                "        {condition}{{\n            {key}\n            w.open_list();\n            for v in &self.{member} {{ w.item(); {put} }}\n            w.close_list();\n        }}"
            )
        }
        Label::Required => writeln!(text, "        {{ let v = &self.{member}; {key} {put} }}"),
        Label::Optional => {
            let or = match &field.default {
                Some(default) => format!(" else {{ {key} w.raw({default:?}); }}"),
                None => String::new(),
            };
            writeln!(
                text,
                "        if let Some(v) = &self.{member} {{ {key} {put} }}{or}"
            )
        }
    }
}

/// The function that reads a value.
fn get(kind: &Kind) -> String {
    match kind {
        Kind::Plain(method) => format!("Reader::{method}"),
        Kind::Enum(path) => format!("|p| p.enumeration(enum_number!({path}))"),
        Kind::Message => "Json::read".to_owned(),
    }
}

fn read_field(field: &Field<'_>, text: &mut String) -> Result<(), std::fmt::Error> {
    let name = field.proto.name();
    let member = identifier(name);
    let value = match &field.kind {
        Kind::Plain(method) => format!("p.{method}()?"),
        Kind::Enum(path) => format!("p.enumeration(enum_number!({path}))?"),
        Kind::Message => "Json::read(p)?".to_owned(),
    };
    let seen = field
        .required
        .map_or_else(String::new, |bit| format!("seen |= 1 << {bit};"));
    write!(text, "                {name:?} => {{ p.at({name:?}); ")?;
    if let Some(kind) = &field.map {
        write!(text, "m.{member} = p.map({})?;", get(kind))?;
    } else if let Some((path, member)) = &field.oneof {
        let variant = name.to_upper_camel_case();
        match &field.kind {
            Kind::Enum(_) => write!(
                text,
                "if let Some(v) = {value} {{ m.{member} = Some({path}::{variant}(v)); }}"
            )?,
            _ => write!(text, "m.{member} = Some({path}::{variant}({value}));")?,
        }
    } else {
        match (field.proto.label(), &field.kind) {
            (Label::Repeated, Kind::Enum(_)) => {
                write!(
                    text,
                    "m.{member} = p.list({})?.into_iter().flatten().collect();",
                    get(&field.kind)
                )?;
            }
            (Label::Repeated, kind) => write!(text, "m.{member} = p.list({})?;", get(kind))?,
            (Label::Required, Kind::Enum(path)) => {
                write!(
                    text,
                    "m.{member} = p.enumeration_required(enum_number!({path}))?; {seen}"
                )?;
            }
            (Label::Required, _) => write!(text, "m.{member} = {value}; {seen}")?,
            (Label::Optional, Kind::Enum(_)) => write!(text, "m.{member} = {value};")?,
            (Label::Optional, _) => write!(text, "m.{member} = Some({value});")?,
        }
    }
    writeln!(text, " }}")
}
