//! Finds required fields that are missing from an encoded message.
//!
//! Mesos' messages are proto2; prost fills a missing required field with its default and tells no
//! one. So the encoded bytes are walked before prost decodes them, along tables that `proto/build.rs`
//! derives from the descriptors. The walk allocates nothing in the usual case, its depth is bounded,
//! and any bytes at all are a valid input to it.

use std::fmt::Write as _;

/// How deep messages may be nested; prost's own limit.
const DEPTH_MAX: usize = 100;

/// What an entry of a list may cost in memory at most, about; its empty encoding has two bytes.
const ENTRY_COST: usize = 1024;

/// Memory that the entries of lists may take per byte of the message, and what is free; as for JSON.
const GROWTH_MAX: usize = 32;
const GROWTH_FREE: usize = 1 << 16;

/// What is checked of one message type.
#[derive(Debug)]
struct Rules {
    /// Full name, `mesos.v1.TaskInfo`.
    name: &'static str,
    /// Bit n is set when `fields[n]` is required.
    required: u64,
    /// By ascending number: required fields, and those whose messages hold required fields.
    fields: &'static [Rule],
}

/// What is checked of one field.
#[derive(Debug)]
struct Rule {
    number: u32,
    name: &'static str,
    repeated: bool,
    /// Index in `RULES` of the field's message type.
    inner: Option<u16>,
}

include!(concat!(env!("OUT_DIR"), "/required.rs"));

/// What is wrong with an encoded message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The field at this path, `launch.task_infos[0].agent_id.value`, is required and not there.
    Missing(String),
    /// The bytes are no encoding of the message; the text says why.
    Malformed(&'static str),
}

/// Checks that `bytes`, an encoded message of the type with this full name, holds every required
/// field. A type that is not in `proto/` has none. Fields of an enum type are there whatever their
/// number; fields of an `oneof` are checked even when a later one replaces them.
///
/// # Errors
///
/// The first flaw: fields missing from an outer message come before those of the messages in it.
pub fn check(full_name: &str, bytes: &[u8]) -> Result<(), Flaw> {
    let Ok(index) = RULES.binary_search_by(|rules| rules.name.cmp(full_name)) else {
        return Ok(());
    };
    walk(&RULES[index], bytes, DEPTH_MAX).map_err(|failure| match failure {
        Failure::Malformed(why) => Flaw::Malformed(why),
        Failure::Missing(mut components) => {
            components.reverse();
            Flaw::Missing(join(&components))
        }
    })
}

/// A flaw while its path is still being collected, innermost component first.
enum Failure {
    Malformed(&'static str),
    Missing(Vec<Component>),
}

/// One step of a path: a field's name, and the position when it is repeated.
struct Component {
    name: &'static str,
    position: Option<usize>,
}

fn join(components: &[Component]) -> String {
    let mut path = String::new();
    for component in components
        .iter()
        .filter(|component| !component.name.is_empty())
    {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(component.name);
        if let Some(position) = component.position {
            // Writing to a String cannot fail.
            let _ = write!(path, "[{position}]");
        }
    }
    path
}

/// Checks one message: first which fields are there, then the messages in it.
fn walk(rules: &Rules, bytes: &[u8], depth: usize) -> Result<(), Failure> {
    if rules.fields.is_empty() {
        return Ok(());
    }
    if depth == 0 {
        return Err(Failure::Malformed("messages are nested too deeply"));
    }
    let mut seen = 0_u64;
    let mut twice = 0_u64;
    let mut scan = Scan { rest: bytes };
    while let Some(Field { number, .. }) = scan.next_field(depth)? {
        if let Ok(at) = find(rules, number) {
            twice |= seen & (1 << at);
            seen |= 1 << at;
        }
    }
    let missing = rules.required & !seen;
    if missing != 0 {
        let at = missing.trailing_zeros() as usize;
        return Err(Failure::Missing(vec![Component {
            name: rules.fields[at].name,
            position: None,
        }]));
    }
    walk_inner(rules, bytes, twice, depth)
}

/// Checks the messages inside one message. `twice` marks the fields that occur more than once.
fn walk_inner(rules: &Rules, bytes: &[u8], mut twice: u64, depth: usize) -> Result<(), Failure> {
    let mut counts = [0_usize; 64];
    let mut scan = Scan { rest: bytes };
    let mut merged = 0_u64;
    let mut sparse = 0_usize;
    while let Some(Field { number, payload }) = scan.next_field(depth)? {
        let Ok(at) = find(rules, number) else {
            continue;
        };
        let rule = &rules.fields[at];
        let Some(inner) = rule.inner else { continue };
        let Some(payload) = payload else {
            return Err(Failure::Malformed(
                "a message field has the wrong wire type",
            ));
        };
        let position = rule.repeated.then_some(counts[at]);
        counts[at] += 1;
        let inner = &RULES[usize::from(inner)];
        if rule.repeated && inner.required == 0 {
            // Such an entry can be empty, and a million of them would cost a gigabyte.
            sparse += 1;
            if sparse * ENTRY_COST > bytes.len().saturating_mul(GROWTH_MAX) + GROWTH_FREE {
                return Err(Failure::Malformed(
                    "a list has more entries than its length makes plausible",
                ));
            }
        }
        let bit = 1 << at;
        let result = if rule.repeated || (twice | merged) & bit == 0 {
            walk(inner, payload, depth - 1)
        } else if merged & bit == 0 {
            // Occurrences of a field that is not repeated are merged, which is what decoding their
            // concatenation does.
            merged |= bit;
            twice &= !bit;
            walk(inner, &concatenation(bytes, number, depth)?, depth - 1)
        } else {
            continue;
        };
        result.map_err(|failure| match failure {
            Failure::Missing(mut components) => {
                components.push(Component {
                    name: rule.name,
                    position,
                });
                Failure::Missing(components)
            }
            malformed @ Failure::Malformed(_) => malformed,
        })?;
    }
    Ok(())
}

fn find(rules: &Rules, number: u32) -> Result<usize, usize> {
    rules
        .fields
        .binary_search_by_key(&number, |rule| rule.number)
}

/// The payloads of all occurrences of a field, one after the other.
fn concatenation(bytes: &[u8], wanted: u32, depth: usize) -> Result<Vec<u8>, Failure> {
    let mut all = Vec::new();
    let mut scan = Scan { rest: bytes };
    while let Some(Field { number, payload }) = scan.next_field(depth)? {
        if number == wanted {
            all.extend_from_slice(payload.unwrap_or_default());
        }
    }
    Ok(all)
}

/// One field of an encoded message.
struct Field<'a> {
    number: u32,
    /// Its bytes, when it is length-delimited.
    payload: Option<&'a [u8]>,
}

/// The fields of one encoded message, one after the other.
struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    fn next_field(&mut self, depth: usize) -> Result<Option<Field<'a>>, Failure> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (number, wire_type) = self.key()?;
        let payload = self.value(number, wire_type, depth)?;
        Ok(Some(Field { number, payload }))
    }

    fn key(&mut self) -> Result<(u32, u64), Failure> {
        let key = self.varint()?;
        match u32::try_from(key >> 3) {
            Ok(number) if number > 0 && u32::try_from(key).is_ok() => Ok((number, key & 7)),
            _ => Err(Failure::Malformed("a field number is out of range")),
        }
    }

    fn value(
        &mut self,
        number: u32,
        wire_type: u64,
        depth: usize,
    ) -> Result<Option<&'a [u8]>, Failure> {
        match wire_type {
            0 => self.varint().map(|_| None),
            1 => self.take(8).map(|_| None),
            2 => {
                let length = self.varint()?;
                self.take(length).map(Some)
            }
            3 => self.skip_group(number, depth).map(|()| None),
            4 => Err(Failure::Malformed("a group ends that never began")),
            5 => self.take(4).map(|_| None),
            _ => Err(Failure::Malformed("a wire type is unknown")),
        }
    }

    fn skip_group(&mut self, opened: u32, depth: usize) -> Result<(), Failure> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err(Failure::Malformed("groups are nested too deeply"));
        };
        loop {
            match self.key()? {
                (number, 4) if number == opened => return Ok(()),
                (number, wire_type) => {
                    self.value(number, wire_type, depth)?;
                }
            }
        }
    }

    fn varint(&mut self) -> Result<u64, Failure> {
        let mut value = 0_u64;
        for (at, &byte) in self.rest.iter().take(10).enumerate() {
            let part = u64::from(byte & 0x7f);
            if at == 9 && part > 1 {
                break;
            }
            value |= part << (7 * at);
            if byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(value);
            }
        }
        Err(Failure::Malformed(
            "a number is cut off or longer than 64 bits",
        ))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Failure> {
        match usize::try_from(length)
            .ok()
            .and_then(|length| self.rest.split_at_checked(length))
        {
            Some((taken, rest)) => {
                self.rest = rest;
                Ok(taken)
            }
            None => Err(Failure::Malformed("a field is longer than the message")),
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;
    use crate::proto::v1::{self, scheduler};
    use crate::proto::{WireError, decode, link};

    const CALL: &str = "mesos.v1.scheduler.Call";

    /// An ACCEPT with two tasks, every required field set.
    fn accept() -> scheduler::Call {
        let task = |id: &str| v1::TaskInfo {
            name: "sleep".to_owned(),
            task_id: id.into(),
            agent_id: "S1".into(),
            limits: [("cpus".to_owned(), v1::value::Scalar { value: 2.0 })].into(),
            ..Default::default()
        };
        scheduler::Call {
            framework_id: Some("F1".into()),
            r#type: Some(scheduler::call::Type::Accept.into()),
            accept: Some(scheduler::call::Accept {
                offer_ids: vec!["O1".into()],
                operations: vec![v1::offer::Operation {
                    launch: Some(v1::offer::operation::Launch {
                        task_infos: vec![task("a"), task("b")],
                    }),
                    ..Default::default()
                }],
                filters: None,
            }),
            ..Default::default()
        }
    }

    fn varint(mut value: u64, bytes: &mut Vec<u8>) {
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
    }

    fn put(number: u32, payload: &[u8], bytes: &mut Vec<u8>) {
        varint(u64::from(number) << 3 | 2, bytes);
        varint(payload.len() as u64, bytes);
        bytes.extend_from_slice(payload);
    }

    /// The least that satisfies the rules, without the field `omitted`.
    fn least(rules: &Rules, omitted: Option<u32>) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (at, rule) in rules.fields.iter().enumerate() {
            if rules.required >> at & 1 == 1 && omitted != Some(rule.number) {
                let inner = rule
                    .inner
                    .map(|inner| least(&RULES[usize::from(inner)], None));
                put(rule.number, &inner.unwrap_or_default(), &mut bytes);
            }
        }
        bytes
    }

    #[test]
    fn complete_messages_pass() {
        let call = accept();
        assert_eq!(check(CALL, &call.encode_to_vec()), Ok(()));
        assert_eq!(decode::<scheduler::Call>(&call.encode_to_vec()), Ok(call));
    }

    #[test]
    fn the_path_names_the_missing_field() {
        let mut task = Vec::new();
        put(1, b"sleep", &mut task);
        put(2, &v1::TaskId::from("a").encode_to_vec(), &mut task);
        put(3, b"", &mut task); // an agent_id without value
        let complete = least(rules_of("mesos.v1.TaskInfo"), None);
        let launch = [wrap(1, &complete), wrap(1, &task)].concat();
        let call = wrap(4, &wrap(2, &wrap(2, &launch)));
        let path = "accept.operations[0].launch.task_infos[1].agent_id.value";
        assert_eq!(check(CALL, &call), Err(Flaw::Missing(path.to_owned())));

        let error = decode::<scheduler::Call>(&call).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("mesos.v1.scheduler.Call: field '{path}' is required")
        );
    }

    #[test]
    fn map_values_are_checked() {
        let task = [
            least(rules_of("mesos.v1.TaskInfo"), None),
            wrap(15, &[wrap(1, b"cpus"), wrap(2, b"")].concat()),
        ]
        .concat();
        let missing = Flaw::Missing("limits[0].value".to_owned());
        assert_eq!(check("mesos.v1.TaskInfo", &task), Err(missing));
    }

    #[test]
    fn outer_fields_are_named_before_inner_ones() {
        let update = wrap(3, &wrap(1, b"")); // status without anything, framework_id not there
        let missing = Flaw::Missing("framework_id".to_owned());
        assert_eq!(check("mesosd.v1.StatusUpdate", &update), Err(missing));
    }

    #[test]
    fn parts_of_one_message_are_merged() {
        let halves = [
            wrap(6, &[wrap(1, &wrap(1, b"task"))].concat()),
            wrap(6, &wrap(2, &wrap(1, b"agent"))),
        ]
        .concat();
        assert_eq!(check(CALL, &halves), Ok(()));
        let kill = decode::<scheduler::Call>(&halves).unwrap().kill.unwrap();
        assert_eq!(kill.task_id.value, "task");
        assert_eq!(kill.agent_id.unwrap().value, "agent");

        let still = [
            wrap(6, &wrap(2, &wrap(1, b"a"))),
            wrap(6, &wrap(2, &wrap(1, b"b"))),
        ]
        .concat();
        let missing = Flaw::Missing("kill.task_id".to_owned());
        assert_eq!(check(CALL, &still), Err(missing));
    }

    /// For every message of `proto/`: with all its required fields it passes, and without any one of
    /// them that one is named.
    #[test]
    fn every_required_field_is_found() {
        let mut fields = 0;
        for rules in &RULES {
            assert_eq!(
                check(rules.name, &least(rules, None)),
                Ok(()),
                "{}",
                rules.name
            );
            for (at, rule) in rules.fields.iter().enumerate() {
                if rules.required >> at & 1 == 1 {
                    fields += 1;
                    let missing = Flaw::Missing(rule.name.to_owned());
                    let bytes = least(rules, Some(rule.number));
                    assert_eq!(check(rules.name, &bytes), Err(missing), "{}", rules.name);
                }
            }
        }
        assert!(
            fields > 200,
            "the tables hold only {fields} required fields"
        );
    }

    #[test]
    fn empty_entries_are_bounded_by_the_length_of_the_message() {
        let with = |entries: usize| {
            let mut accept = Vec::new();
            for _ in 0..entries {
                put(2, &[], &mut accept); // accept.operations
            }
            let mut call = Vec::new();
            put(4, &accept, &mut call);
            call
        };
        let numbers = check(CALL, &with(60));
        assert_eq!(numbers, Ok(()), "a few may be empty");
        for entries in [100, 100_000] {
            let refused = check(CALL, &with(entries));
            let text = "a list has more entries than its length makes plausible";
            assert_eq!(refused, Err(Flaw::Malformed(text)), "{entries}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let mut container = wrap(1, b"c");
        for _ in 0..DEPTH_MAX - 1 {
            container = [wrap(1, b"c"), wrap(2, &container)].concat();
        }
        assert_eq!(check("mesos.v1.ContainerID", &container), Ok(()));
        container = [wrap(1, b"c"), wrap(2, &container)].concat();
        let error = Flaw::Malformed("messages are nested too deeply");
        assert_eq!(check("mesos.v1.ContainerID", &container), Err(error));
        let groups = vec![0x0b; 10_000];
        assert!(matches!(check(CALL, &groups), Err(Flaw::Malformed(_))));
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for (bytes, reason) in [
            (&b"\x00"[..], "a field number is out of range"),
            (b"\x0a\x05abc", "a field is longer than the message"),
            (b"\x0a", "a number is cut off or longer than 64 bits"),
            (b"\x0f", "a wire type is unknown"),
            (b"\x0c", "a group ends that never began"),
            (b"\x0d\x01\x02", "a field is longer than the message"),
            (b"\x08\x01", "a message field has the wrong wire type"),
            (
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
                "a number is cut off or longer than 64 bits",
            ),
        ] {
            let error = Flaw::Malformed(reason);
            assert_eq!(check(CALL, bytes), Err(error), "{bytes:02x?}");
        }
    }

    #[test]
    fn a_cut_message_never_passes_with_less() {
        let call = accept();
        let bytes = call.encode_to_vec();
        for length in 0..bytes.len() {
            if let Ok(part) = decode::<scheduler::Call>(&bytes[..length]) {
                assert!(part.accept.is_none(), "cut at {length}: {part:?}");
            }
        }
    }

    proptest! {
        /// Whatever the bytes, the check returns; and what passes it either decodes or is malformed.
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for rules in &RULES {
                let _ = check(rules.name, &bytes);
            }
            let result = decode::<link::FromAgent>(&bytes);
            if let Err(WireError::MissingField { path, .. }) = result {
                prop_assert!(!path.is_empty());
            }
        }

        /// The check accepts every well-formed encoding that prost accepts, but for what is missing:
        /// damaged messages are never called malformed when prost can read them.
        #[test]
        fn damage_is_judged_as_prost_does(
            at in 0_usize..200, byte in any::<u8>(), cut in 0_usize..200,
        ) {
            let mut bytes = accept().encode_to_vec();
            let length = bytes.len();
            bytes[at % length] = byte;
            bytes.truncate(length - cut % 20);
            if scheduler::Call::decode(&bytes[..]).is_ok() {
                let verdict = check(CALL, &bytes);
                prop_assert!(!matches!(verdict, Err(Flaw::Malformed(_))), "{verdict:?}");
            }
        }
    }

    fn wrap(number: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(number, payload, &mut bytes);
        bytes
    }

    fn rules_of(name: &str) -> &'static Rules {
        RULES.iter().find(|rules| rules.name == name).unwrap()
    }
}
