//! Values to JSON text, without spaces or line feeds: a document is one line.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A growing text. Calls must come in the order of a document; commas come by themselves.
#[derive(Debug, Default)]
pub struct Writer {
    text: Vec<u8>,
}

impl Writer {
    /// The text.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.text
    }

    /// Begins an object.
    pub fn open(&mut self) {
        self.text.push(b'{');
    }

    /// Ends an object.
    pub fn close(&mut self) {
        self.text.push(b'}');
    }

    /// Begins a list.
    pub fn open_list(&mut self) {
        self.text.push(b'[');
    }

    /// Ends a list.
    pub fn close_list(&mut self) {
        self.text.push(b']');
    }

    /// Begins the next entry of a list.
    pub fn item(&mut self) {
        if self.text.last() != Some(&b'[') {
            self.text.push(b',');
        }
    }

    /// Begins the next member of an object; `name` comes with quotes and colon.
    pub fn key(&mut self, name: &'static str) {
        self.comma();
        self.raw(name);
    }

    /// Begins the next member of an object.
    pub fn name(&mut self, name: &str) {
        self.comma();
        self.string(name);
        self.text.push(b':');
    }

    fn comma(&mut self) {
        if self.text.last() != Some(&b'{') {
            self.text.push(b',');
        }
    }

    /// Appends JSON text.
    pub fn raw(&mut self, text: &'static str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    /// Appends a text. What is not ASCII is escaped: some clients take bytes for characters.
    pub fn string(&mut self, value: &str) {
        self.text.push(b'"');
        let plain = |byte: u8| matches!(byte, 0x20..=0x7f) && byte != b'"' && byte != b'\\';
        if value.bytes().all(plain) {
            self.text.extend_from_slice(value.as_bytes());
            self.text.push(b'"');
            return;
        }
        let mut rest = value;
        while let Some(at) = rest.find(|c: char| !c.is_ascii() || c < ' ' || c == '"' || c == '\\')
        {
            self.text.extend_from_slice(&rest.as_bytes()[..at]);
            let mut after = rest[at..].chars();
            if let Some(character) = after.next() {
                self.escape(character);
            }
            rest = after.as_str();
        }
        self.text.extend_from_slice(rest.as_bytes());
        self.text.push(b'"');
    }

    fn escape(&mut self, character: char) {
        match character {
            '"' => self.raw("\\\""),
            '\\' => self.raw("\\\\"),
            '\n' => self.raw("\\n"),
            '\r' => self.raw("\\r"),
            '\t' => self.raw("\\t"),
            _ => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    self.display(format_args!("\\u{unit:04x}"));
                }
            }
        }
    }

    /// Appends bytes as base64.
    pub fn bytes(&mut self, value: &[u8]) {
        self.text.push(b'"');
        self.text
            .extend_from_slice(STANDARD.encode(value).as_bytes());
        self.text.push(b'"');
    }

    /// Appends a truth value.
    pub fn bool(&mut self, value: bool) {
        self.raw(if value { "true" } else { "false" });
    }

    /// Appends a number; what JSON has no number for becomes a text, as in Mesos.
    pub fn double(&mut self, value: f64) {
        if value.is_finite() {
            self.display(format_args!("{value:?}"));
        } else if value.is_nan() {
            self.raw("\"NaN\"");
        } else {
            self.raw(if value > 0.0 {
                "\"Infinity\""
            } else {
                "\"-Infinity\""
            });
        }
    }

    /// Appends a number.
    pub fn float(&mut self, value: f32) {
        self.double(f64::from(value));
    }

    /// Appends a number.
    pub fn int32(&mut self, value: i32) {
        self.display(format_args!("{value}"));
    }

    /// Appends a number.
    pub fn int64(&mut self, value: i64) {
        self.display(format_args!("{value}"));
    }

    /// Appends a number.
    pub fn uint32(&mut self, value: u32) {
        self.display(format_args!("{value}"));
    }

    /// Appends a number.
    pub fn uint64(&mut self, value: u64) {
        self.display(format_args!("{value}"));
    }

    fn display(&mut self, value: std::fmt::Arguments<'_>) {
        // Writing to a Vec cannot fail.
        let _ = self.text.write_fmt(value);
    }
}
