//! JSON text to values: one pass, no tree, depth and memory bounded by what the text holds.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::JsonError;
use super::number;

/// How deep objects and lists may be nested; the limit of the protobuf decoder too.
const DEPTH_MAX: usize = 100;

/// Memory that a list's entries may take per byte of text. Sparse lists (`{},{},...`) of large messages
/// would otherwise cost a thousand times their text.
const GROWTH_MAX: usize = 32;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The text cannot be read on. [`Reader::explain`] says why.
#[derive(Debug)]
pub struct Stop(Flaw);

#[derive(Debug)]
enum Flaw {
    Malformed(&'static str),
    Wrong(String),
    Missing(&'static str),
}

/// A position in a text, and the path of the field there.
#[derive(Debug)]
pub struct Reader<'a> {
    text: &'a [u8],
    offset: usize,
    /// One step per open object or list.
    path: Vec<Step>,
    /// Bytes that entries of lists may still take.
    budget: usize,
    /// An object or list has just begun, so no comma comes before its first member.
    fresh: bool,
}

/// One step of a path.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// In an object, at this field.
    Field(&'static str),
    /// In a list, at this entry.
    Entry(usize),
}

impl<'a> Reader<'a> {
    /// At the beginning of a document.
    #[must_use]
    pub fn new(text: &'a [u8]) -> Self {
        Self {
            text,
            offset: 0,
            path: Vec::new(),
            budget: text
                .len()
                .saturating_mul(GROWTH_MAX)
                .saturating_add(1 << 16),
            fresh: false,
        }
    }

    /// The next byte that is no space, without taking it.
    fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.text.get(self.offset) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.offset += 1;
        }
        None
    }

    fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.offset += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        self.peek();
        let found = self.text[self.offset..].starts_with(word.as_bytes());
        self.offset += if found { word.len() } else { 0 };
        found
    }

    /// The value is a text.
    pub fn is_text(&mut self) -> bool {
        self.peek() == Some(b'"')
    }

    /// Nothing may follow a document.
    ///
    /// # Errors
    ///
    /// Something does.
    pub fn end(&mut self) -> Result<(), Stop> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(malformed("something follows the document")),
        }
    }

    fn deeper(&mut self, step: Step) -> Result<(), Stop> {
        if self.path.len() >= DEPTH_MAX {
            return Err(malformed("objects and lists are nested too deeply"));
        }
        self.path.push(step);
        self.fresh = true;
        Ok(())
    }

    /// Begins an object.
    ///
    /// # Errors
    ///
    /// The value is none.
    pub fn open(&mut self) -> Result<(), Stop> {
        if !self.take(b'{') {
            return Err(self.unexpected("an object"));
        }
        self.deeper(Step::Field(""))
    }

    /// The name of the object's next member that is not null; none at the end of the object.
    ///
    /// # Errors
    ///
    /// The text is malformed.
    pub fn key(&mut self) -> Result<Option<Cow<'a, str>>, Stop> {
        loop {
            if !self.more(b'}')? {
                return Ok(None);
            }
            if !self.is_text() {
                return Err(malformed("the name of a member is expected"));
            }
            let name = self.text_value()?;
            if !self.take(b':') {
                return Err(malformed("':' is expected"));
            }
            if !self.word("null") {
                return Ok(Some(name));
            }
        }
    }

    /// Another member follows in the object or list that ends with `end`.
    fn more(&mut self, end: u8) -> Result<bool, Stop> {
        let first = std::mem::replace(&mut self.fresh, false);
        if self.take(end) {
            self.path.pop();
            return Ok(false);
        }
        if !first && !self.take(b',') {
            return Err(malformed(
                "',' or the end of the object or list is expected",
            ));
        }
        Ok(true)
    }

    /// Names the present member in paths.
    pub fn at(&mut self, name: &'static str) {
        if let Some(step) = self.path.last_mut() {
            *step = Step::Field(name);
        }
    }

    /// Checks the object just ended: bit n of `seen` says that `names[n]` was there.
    ///
    /// # Errors
    ///
    /// One was not.
    pub fn require(&self, names: &[&'static str], seen: u64) -> Result<(), Stop> {
        let missing = names.iter().enumerate().find(|(at, _)| seen >> at & 1 == 0);
        missing.map_or(Ok(()), |(_, name)| Err(Stop(Flaw::Missing(name))))
    }

    /// A list; a value that is none is a list of one. Entries that are null are left out.
    ///
    /// # Errors
    ///
    /// The first flaw, or more entries than the length of the text makes plausible.
    pub fn list<T>(&mut self, one: fn(&mut Self) -> Result<T, Stop>) -> Result<Vec<T>, Stop> {
        let mut all = Vec::new();
        if !self.take(b'[') {
            all.push(one(self)?);
            return Ok(all);
        }
        self.deeper(Step::Entry(0))?;
        while self.more(b']')? {
            if self.word("null") {
                continue;
            }
            self.charge(size_of::<T>())?;
            if let Some(step) = self.path.last_mut() {
                *step = Step::Entry(all.len());
            }
            all.push(one(self)?);
        }
        Ok(all)
    }

    /// An object whose names are keys of a map.
    ///
    /// # Errors
    ///
    /// The first flaw, or more entries than the length of the text makes plausible.
    pub fn map<T>(
        &mut self,
        one: fn(&mut Self) -> Result<T, Stop>,
    ) -> Result<BTreeMap<String, T>, Stop> {
        let mut all = BTreeMap::new();
        self.open()?;
        while let Some(key) = self.key()? {
            self.charge(size_of::<T>())?;
            all.insert(key.into_owned(), one(self)?);
        }
        Ok(all)
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Stop> {
        match self.budget.checked_sub(bytes) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(malformed("too many entries without content")),
        }
    }

    /// A text.
    ///
    /// # Errors
    ///
    /// The value is none.
    pub fn string(&mut self) -> Result<String, Stop> {
        if !self.is_text() {
            return Err(self.unexpected("a text"));
        }
        self.text_value().map(Cow::into_owned)
    }

    /// Bytes in base64.
    ///
    /// # Errors
    ///
    /// The value is no text, or no base64.
    pub fn bytes(&mut self) -> Result<Vec<u8>, Stop> {
        let text = self.string()?;
        let decoded = BASE64.decode(text.as_bytes());
        decoded.map_err(|error| self.wrong(format!("no base64: {error}")))
    }

    /// A truth value.
    ///
    /// # Errors
    ///
    /// The value is none.
    pub fn bool(&mut self) -> Result<bool, Stop> {
        if self.word("true") {
            Ok(true)
        } else if self.word("false") {
            Ok(false)
        } else {
            Err(self.unexpected("true or false"))
        }
    }

    /// A number, which may be in a text.
    ///
    /// # Errors
    ///
    /// The value is none.
    pub fn double(&mut self) -> Result<f64, Stop> {
        let text = self.number_text()?;
        let value = number::double(&text);
        value.ok_or_else(|| self.wrong(format!("'{}' is no number", shortened(&text))))
    }

    /// A number, which may be in a text.
    ///
    /// # Errors
    ///
    /// The value is none.
    pub fn float(&mut self) -> Result<f32, Stop> {
        self.double().map(|value| value as f32)
    }

    /// A number of 32 bits.
    ///
    /// # Errors
    ///
    /// The value is none.
    pub fn int32(&mut self) -> Result<i32, Stop> {
        self.integer()
    }

    /// A number of 64 bits.
    ///
    /// # Errors
    ///
    /// The value is none.
    pub fn int64(&mut self) -> Result<i64, Stop> {
        self.integer()
    }

    /// A positive number of 32 bits.
    ///
    /// # Errors
    ///
    /// The value is none.
    pub fn uint32(&mut self) -> Result<u32, Stop> {
        self.integer()
    }

    /// A positive number of 64 bits.
    ///
    /// # Errors
    ///
    /// The value is none.
    pub fn uint64(&mut self) -> Result<u64, Stop> {
        self.integer()
    }

    fn integer<T: TryFrom<i128>>(&mut self) -> Result<T, Stop> {
        let text = self.number_text()?;
        let value = Some(text.as_ref())
            .filter(|text| number::is_number(text))
            .and_then(number::integer)
            .and_then(|value| T::try_from(value).ok());
        value.ok_or_else(|| {
            let kind = std::any::type_name::<T>();
            self.wrong(format!("'{}' does not fit into {kind}", shortened(&text)))
        })
    }

    /// The characters of a number, or the text that stands for one.
    fn number_text(&mut self) -> Result<Cow<'a, str>, Stop> {
        if self.is_text() {
            return self.text_value();
        }
        let rest = &self.text[self.offset..];
        let is_part = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().take_while(is_part).count();
        match std::str::from_utf8(&rest[..length]) {
            Ok(text) if number::is_number(text) => {
                self.offset += length;
                Ok(Cow::Borrowed(text))
            }
            _ => Err(self.unexpected("a number")),
        }
    }

    /// The number of the enum value that is named; none for an unknown name.
    ///
    /// # Errors
    ///
    /// The value is neither text nor number.
    pub fn enumeration(&mut self, number: fn(&str) -> Option<i32>) -> Result<Option<i32>, Stop> {
        if self.is_text() {
            return Ok(number(&self.text_value()?));
        }
        if self
            .peek()
            .is_some_and(|byte| byte == b'-' || byte.is_ascii_digit())
        {
            return self.int32().map(Some);
        }
        Err(self.unexpected("the name of an enum value"))
    }

    /// The number of the enum value that is named, where there must be one.
    ///
    /// # Errors
    ///
    /// The value is no name of the enum.
    pub fn enumeration_required(&mut self, number: fn(&str) -> Option<i32>) -> Result<i32, Stop> {
        let before = self.offset;
        let found = self.enumeration(number)?;
        found.ok_or_else(|| {
            let text = String::from_utf8_lossy(&self.text[before..self.offset]);
            let name = text.trim().trim_matches('"');
            self.wrong(format!("'{}' is no value of the enum", shortened(name)))
        })
    }

    /// Passes over a value of any kind.
    ///
    /// # Errors
    ///
    /// The text is malformed.
    pub fn skip(&mut self) -> Result<(), Stop> {
        match self.peek() {
            Some(b'{') => {
                self.open()?;
                while self.key()?.is_some() {
                    self.skip()?;
                }
                Ok(())
            }
            Some(b'[') => {
                self.take(b'[');
                self.deeper(Step::Entry(0))?;
                while self.more(b']')? {
                    self.skip()?;
                }
                Ok(())
            }
            Some(b'"') => self.text_value().map(|_| ()),
            Some(b't' | b'f' | b'n') => {
                let known = ["true", "false", "null"];
                if known.into_iter().any(|word| self.word(word)) {
                    return Ok(());
                }
                Err(malformed("a value is expected"))
            }
            _ => self
                .number_text()
                .map(|_| ())
                .map_err(|_| malformed("a value is expected")),
        }
    }

    /// A text; the reader is at its quotation mark.
    fn text_value(&mut self) -> Result<Cow<'a, str>, Stop> {
        let begin = self.offset + 1;
        let mut end = begin;
        loop {
            match self.text.get(end) {
                Some(b'"') => break,
                Some(b'\\') => return self.escaped_text(begin, end).map(Cow::Owned),
                Some(0..=0x1f) => {
                    self.offset = end;
                    return Err(malformed("a control character is in a text"));
                }
                Some(_) => end += 1,
                None => return Err(malformed("a text does not end")),
            }
        }
        let text = std::str::from_utf8(&self.text[begin..end]);
        let text = text.map_err(|_| malformed("a text is not UTF-8"))?;
        self.offset = end + 1;
        Ok(Cow::Borrowed(text))
    }

    /// The rest of a text whose first escape is at `at`.
    fn escaped_text(&mut self, begin: usize, at: usize) -> Result<String, Stop> {
        let mut bytes = self.text[begin..at].to_vec();
        self.offset = at;
        loop {
            let byte = self.text.get(self.offset).copied();
            self.offset += 1;
            match byte {
                Some(b'"') => break,
                Some(b'\\') => self.escape(&mut bytes)?,
                Some(0..=0x1f) => return Err(malformed("a control character is in a text")),
                Some(byte) => bytes.push(byte),
                None => return Err(malformed("a text does not end")),
            }
        }
        String::from_utf8(bytes).map_err(|_| malformed("a text is not UTF-8"))
    }

    /// What follows a backslash.
    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), Stop> {
        let byte = self.text.get(self.offset).copied();
        self.offset += 1;
        let plain = match byte {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let character = self.unicode()?;
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(malformed("an escape is unknown")),
        };
        bytes.push(plain);
        Ok(())
    }

    /// The character of one escape, or of two that are a surrogate pair.
    fn unicode(&mut self) -> Result<char, Stop> {
        let first = self.unit()?;
        let mut units = vec![first];
        if (0xd800..0xdc00).contains(&first) && self.text[self.offset..].starts_with(b"\\u") {
            self.offset += 2;
            units.push(self.unit()?);
        }
        match char::decode_utf16(units).next() {
            Some(Ok(character)) => Ok(character),
            _ => Err(malformed("an escape is half of a surrogate pair")),
        }
    }

    fn unit(&mut self) -> Result<u16, Stop> {
        let digits = self.text.get(self.offset..self.offset + 4);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let unit = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u16::from_str_radix(digits, 16).ok());
        self.offset += 4;
        unit.ok_or_else(|| malformed("an escape has four hexadecimal digits"))
    }

    /// The value is of another kind than the field, or no value at all.
    fn unexpected(&mut self, wanted: &str) -> Stop {
        let found = match self.peek() {
            Some(b'{') => "an object",
            Some(b'[') => "a list",
            Some(b'"') => "a text",
            Some(b't' | b'f') => "a truth value",
            Some(b'n') => "null",
            Some(b'0'..=b'9' | b'-') => "a number",
            Some(_) => return malformed("a value is expected"),
            None => return malformed("the text ends too early"),
        };
        if self.path.is_empty() {
            return malformed("a JSON object is expected");
        }
        self.wrong(format!("{wanted} is expected, not {found}"))
    }

    /// The present field holds what it cannot hold.
    #[must_use]
    pub fn wrong(&self, reason: String) -> Stop {
        Stop(Flaw::Wrong(reason))
    }

    /// The error of a reader that has stopped while it read the message of this name.
    #[must_use]
    pub fn explain(&self, stop: Stop, message: String) -> JsonError {
        match stop.0 {
            Flaw::Malformed(reason) => JsonError::Malformed {
                message,
                offset: self.offset.min(self.text.len()),
                reason,
            },
            Flaw::Wrong(reason) => JsonError::WrongValue {
                message,
                path: self.path_to(""),
                reason,
            },
            Flaw::Missing(name) => JsonError::MissingField {
                message,
                path: self.path_to(name),
            },
        }
    }

    fn path_to(&self, last: &'static str) -> String {
        let mut text = String::new();
        for step in self.path.iter().copied().chain([Step::Field(last)]) {
            match step {
                Step::Field("") => {}
                Step::Field(name) => {
                    if !text.is_empty() {
                        text.push('.');
                    }
                    text.push_str(name);
                }
                Step::Entry(at) => {
                    // Writing to a String cannot fail.
                    let _ = write!(text, "[{at}]");
                }
            }
        }
        text
    }
}

fn malformed(reason: &'static str) -> Stop {
    Stop(Flaw::Malformed(reason))
}

/// The beginning of a text, for messages.
fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(40).map_or(text.len(), |(at, _)| at);
    &text[..end]
}
