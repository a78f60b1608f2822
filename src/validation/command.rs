//! Checks of what to run and of the environment it gets.

use crate::proto::v1::environment::variable::Type;
use crate::proto::v1::{CommandInfo, Environment};

use super::{Invalid, Reason};

/// Checks a command: shell commands have text, and the environment can be passed on.
pub(super) fn check(command: &CommandInfo) -> Result<(), Invalid> {
    if command.shell() && command.value.as_deref().is_none_or(str::is_empty) {
        return Err(Invalid::new("value", Reason::Missing));
    }
    let texts = command.value.iter().chain(&command.arguments);
    for text in texts.chain(&command.user) {
        if text.contains('\0') {
            return Err(Invalid::new("value", Reason::BadCharacter(text.clone())));
        }
    }
    for uri in &command.uris {
        if uri.value.is_empty() {
            return Err(Invalid::new("uris.value", Reason::Empty));
        }
    }
    match &command.environment {
        Some(environment) => {
            check_environment(environment).map_err(|error| error.within("environment"))
        }
        None => Ok(()),
    }
}

/// Checks variables: a VALUE has a value, a SECRET a secret, and none has both.
fn check_environment(environment: &Environment) -> Result<(), Invalid> {
    for variable in &environment.variables {
        let name = &variable.name;
        if name.is_empty() {
            return Err(Invalid::new("variables.name", Reason::Empty));
        }
        if name.contains(['=', '\0']) {
            return Err(Invalid::new(
                "variables.name",
                Reason::BadCharacter(name.clone()),
            ));
        }
        let field = |part: &str| format!("variables[{name}].{part}");
        let (value, secret) = (variable.value.as_ref(), variable.secret.as_ref());
        match variable.r#type() {
            Type::Value if value.is_none() => {
                return Err(Invalid::new(field("value"), Reason::Missing));
            }
            Type::Value if secret.is_some() => {
                let hint = Reason::Unexpected(" with type VALUE");
                return Err(Invalid::new(field("secret"), hint));
            }
            Type::Secret if secret.is_none() => {
                return Err(Invalid::new(field("secret"), Reason::Missing));
            }
            Type::Secret if value.is_some() => {
                let hint = Reason::Unexpected(" with type SECRET");
                return Err(Invalid::new(field("value"), hint));
            }
            Type::Unknown => {
                let number = variable.r#type.unwrap_or_default();
                return Err(Invalid::new(field("type"), Reason::UnknownEnum(number)));
            }
            Type::Value | Type::Secret => {}
        }
        if let Some(value) = value.filter(|value| value.contains('\0')) {
            return Err(Invalid::new(
                field("value"),
                Reason::BadCharacter(value.clone()),
            ));
        }
    }
    Ok(())
}
