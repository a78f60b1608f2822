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
    /// An empty text that may grow so large before it is copied.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            text: Vec::with_capacity(bytes),
        }
    }

    /// The text.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.text
    }

    /// Begins an object.
    #[inline]
    pub fn open(&mut self) {
        self.text.push(b'{');
    }

    /// Ends an object.
    #[inline]
    pub fn close(&mut self) {
        self.text.push(b'}');
    }

    /// Begins a list.
    #[inline]
    pub fn open_list(&mut self) {
        self.text.push(b'[');
    }

    /// Ends a list.
    #[inline]
    pub fn close_list(&mut self) {
        self.text.push(b']');
    }

    /// Begins the next entry of a list.
    #[inline]
    pub fn item(&mut self) {
        if self.text.last() != Some(&b'[') {
            self.text.push(b',');
        }
    }

    /// Begins the next member of an object; `name` comes with quotes and colon.
    #[inline]
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

    #[inline]
    fn comma(&mut self) {
        if self.text.last() != Some(&b'{') {
            self.text.push(b',');
        }
    }

    /// Appends JSON text.
    #[inline]
    pub fn raw(&mut self, text: &'static str) {
        self.text.extend_from_slice(text.as_bytes());
    }

    /// Appends a text. What is not ASCII is escaped: some clients take bytes for characters.
    pub fn string(&mut self, value: &str) {
        self.text.reserve(value.len() + 2);
        self.text.push(b'"');
        if is_plain(value.as_bytes()) {
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
        let begin = self.text.len();
        self.text.resize(begin + value.len().div_ceil(3) * 4, b'=');
        let written = STANDARD.encode_slice(value, &mut self.text[begin..]);
        written.expect("four characters for each three bytes");
        self.text.push(b'"');
    }

    /// Appends a truth value.
    pub fn bool(&mut self, value: bool) {
        self.raw(if value { "true" } else { "false" });
    }

    /// Appends a number; what JSON has no number for becomes a text, as in Mesos.
    pub fn double(&mut self, value: f64) {
        if self.short(value) {
            return;
        }
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

    /// Appends a number that is a whole count of millionths, as most are: amounts and times. What comes
    /// out is the shortest text that means this number, as without this way, in a fifth of the time.
    fn short(&mut self, value: f64) -> bool {
        // Below this, neighbours are less than half a millionth apart, so that no two counts of
        // millionths are the same number; small ones have exponents.
        const MOST: f64 = 4_294_967_296.0;
        const LEAST: f64 = 0.001;
        if !(LEAST..MOST).contains(&value) {
            if value.to_bits() != 0 {
                return false;
            }
            self.raw("0.0");
            return true;
        }
        let scaled = (value * 1e6).round();
        if scaled / 1e6 != value {
            return false;
        }
        // At most 2^52: exact.
        let millionths = scaled as u64;
        self.uint64(millionths / 1_000_000);
        let mut rest = millionths % 1_000_000;
        let mut digits = [b'0'; 6];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        let used = digits.iter().rposition(|digit| *digit != b'0');
        self.text.push(b'.');
        self.text
            .extend_from_slice(&digits[..used.map_or(1, |last| last + 1)]);
        true
    }

    /// Appends a number.
    pub fn float(&mut self, value: f32) {
        self.double(f64::from(value));
    }

    /// Appends a number.
    pub fn int32(&mut self, value: i32) {
        self.int64(i64::from(value));
    }

    /// Appends a number.
    pub fn int64(&mut self, value: i64) {
        if value < 0 {
            self.text.push(b'-');
        }
        self.uint64(value.unsigned_abs());
    }

    /// Appends a number.
    pub fn uint32(&mut self, value: u32) {
        self.uint64(u64::from(value));
    }

    /// Appends a number.
    pub fn uint64(&mut self, value: u64) {
        let mut digits = [0; 20];
        let (mut at, mut rest) = (digits.len(), value);
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.text.extend_from_slice(&digits[at..]);
    }

    fn display(&mut self, value: std::fmt::Arguments<'_>) {
        // Writing to a Vec cannot fail.
        let _ = self.text.write_fmt(value);
    }
}

/// Nothing in this text needs an escape. Without a way out in the middle many bytes are judged at a time.
fn is_plain(text: &[u8]) -> bool {
    let plain = |byte: u8| (b' '..0x80).contains(&byte) & (byte != b'"') & (byte != b'\\');
    text.iter().fold(true, |all, byte| all & plain(*byte))
}
