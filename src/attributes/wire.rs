//! Attributes to and from their protobuf messages.

use crate::proto::v1;
use crate::proto::v1::value::Type;
use crate::resources::Ranges;

use super::{Attribute, AttributeError, AttributeValue, Attributes};

impl Attributes {
    /// Reads a message's list; an error names the attribute.
    pub fn from_proto(messages: &[v1::Attribute]) -> Result<Self, AttributeError> {
        messages
            .iter()
            .map(|message| read(message).map_err(|error| error.of_item(&message.name)))
            .collect()
    }

    /// Writes a message's list, in the order given.
    #[must_use]
    pub fn to_proto(&self) -> Vec<v1::Attribute> {
        self.iter().map(write).collect()
    }
}

fn read(message: &v1::Attribute) -> Result<Attribute, AttributeError> {
    if message.name.is_empty() {
        return Err(AttributeError::EmptyName);
    }
    let value = match Type::try_from(message.r#type) {
        Ok(Type::Scalar) => {
            let scalar = message.scalar.ok_or(AttributeError::Missing("scalar"))?;
            AttributeValue::from_f64(scalar.value)?
        }
        Ok(Type::Ranges) => {
            let ranges = message.ranges.as_ref();
            let ranges = ranges.ok_or(AttributeError::Missing("ranges"))?;
            AttributeValue::Ranges(Ranges::from_proto(ranges)?)
        }
        Ok(Type::Text) => {
            let text = message.text.as_ref();
            let text = text.ok_or(AttributeError::Missing("text"))?;
            AttributeValue::Text(text.value.as_str().into())
        }
        Ok(Type::Set) => return Err(AttributeError::UnknownKind("SET".to_owned())),
        Err(_) => return Err(AttributeError::UnknownKind(message.r#type.to_string())),
    };
    Ok(Attribute {
        name: message.name.as_str().into(),
        value,
    })
}

fn write(attribute: &Attribute) -> v1::Attribute {
    let mut message = v1::Attribute {
        name: attribute.name.to_string(),
        ..v1::Attribute::default()
    };
    match &attribute.value {
        AttributeValue::Scalar { .. } => {
            message.set_type(Type::Scalar);
            let value = attribute.value.as_f64().unwrap_or_default();
            message.scalar = Some(v1::value::Scalar { value });
        }
        AttributeValue::Ranges(ranges) => {
            message.set_type(Type::Ranges);
            message.ranges = Some(ranges.into());
        }
        AttributeValue::Text(text) => {
            message.set_type(Type::Text);
            message.text = Some(v1::value::Text {
                value: text.to_string(),
            });
        }
    }
    message
}
