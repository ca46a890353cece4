//! What a config says of an IA3 adapter.

use super::Common;
use super::field::Fields;
use crate::error::Result;
use serde_json::{Value, json};

/// Settings that are read beside those of every kind; the start of the vectors says nothing of what they became.
const READ: [&str; 2] = ["feedforward_modules", "init_ia3_weights"];

/// What a config says of an IA3 adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct Ia3Config {
    /// What configs of every kind say.
    pub common: Common,
    /// The modules whose inputs are stretched, by name or end of name; those of the other targets are outputs.
    pub inputs: Vec<String>,
}

impl Ia3Config {
    pub(super) fn of(fields: &Fields<'_>) -> Result<Ia3Config> {
        fields.known(&READ, &[])?;
        Ok(Ia3Config { common: fields.common()?, inputs: fields.names("feedforward_modules")? })
    }

    pub(super) fn to_json(&self) -> Value {
        let mut settings = self.common.to_json();
        settings.insert("peft_type".to_owned(), json!("IA3"));
        settings.insert("feedforward_modules".to_owned(), json!(self.inputs));
        settings.insert("init_ia3_weights".to_owned(), json!(true));
        Value::Object(settings)
    }
}
