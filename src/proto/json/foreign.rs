//! JSON of the messages that other packages define.

use super::Json;
use super::reader::{Reader, Stop};
use super::writer::Writer;

impl Json for prost_types::Duration {
    fn write(&self, writer: &mut Writer) {
        writer.open();
        writer.key("\"seconds\":");
        writer.int64(self.seconds);
        writer.key("\"nanos\":");
        writer.int32(self.nanos);
        writer.close();
    }

    /// An object, or a text as protobuf's own JSON has it: `90.5s`.
    fn read(reader: &mut Reader<'_>) -> Result<Self, Stop> {
        if reader.is_text() {
            let text = reader.string()?;
            return parse(&text).ok_or_else(|| {
                reader.wrong(format!("'{text}' is no duration such as '90s' or '0.5s'"))
            });
        }
        let mut duration = Self::default();
        reader.open()?;
        while let Some(key) = reader.key()? {
            match key.as_ref() {
                "seconds" => {
                    reader.at("seconds");
                    duration.seconds = reader.int64()?;
                }
                "nanos" => {
                    reader.at("nanos");
                    duration.nanos = reader.int32()?;
                }
                _ => reader.skip()?,
            }
        }
        Ok(duration)
    }
}

fn parse(text: &str) -> Option<prost_types::Duration> {
    let number = text.strip_suffix('s')?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanos: i32 = format!("{fraction:0<9}").parse().ok()?;
    let nanos = if whole.starts_with('-') {
        -nanos
    } else {
        nanos
    };
    let seconds = whole.parse().ok()?;
    Some(prost_types::Duration { seconds, nanos })
}
