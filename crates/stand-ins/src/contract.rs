//! Published contracts as schemas, and what of a request breaks them.

use std::fmt;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{Draft, ValidationError, Validator};
use serde_json::{Map, Value, json};

/// What of a request breaks the contract. It shows no value, which may be a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Breach {
    /// The field, with dots between the levels.
    pub(crate) field: String,
    pub(crate) fault: String,
}

impl Breach {
    pub(crate) fn new(field: &str, fault: &str) -> Self {
        Self {
            field: field.to_owned(),
            fault: fault.to_owned(),
        }
    }

    fn of(error: &ValidationError<'_>) -> Self {
        let path = error.instance_path().as_str();
        let mut field = path.trim_start_matches('/').replace('/', ".");
        let own = match error.kind() {
            ValidationErrorKind::Required { property } => property.as_str(),
            ValidationErrorKind::AdditionalProperties { unexpected } => {
                unexpected.first().map(String::as_str)
            }
            _ => None,
        };
        if let Some(own) = own {
            if !field.is_empty() {
                field.push('.');
            }
            field.push_str(own);
        }
        Self {
            field,
            fault: error.masked().to_string(),
        }
    }
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.fault)
    }
}

/// A schema of JSON.
pub(crate) struct Contract(Validator);

impl Contract {
    /// Reads a schema of this crate's own.
    #[allow(clippy::expect_used, reason = "a part of the program; tests read each")]
    pub(crate) fn parse(schema: &str) -> Self {
        let schema = serde_json::from_str(schema).expect("JSON");
        Self(jsonschema::validator_for(&schema).expect("a schema"))
    }

    pub(crate) fn check(&self, value: &Value) -> Result<(), Breach> {
        self.0.validate(value).map_err(|error| Breach::of(&error))
    }
}

/// The form that an operation of an OpenAPI 3.0 description takes. Fields that it does not have are
/// a breach.
pub(crate) struct Form {
    properties: Map<String, Value>,
    contract: Contract,
}

impl Form {
    /// The form of the operation `id`.
    #[allow(clippy::expect_used, reason = "a part of the program; tests read each")]
    pub(crate) fn of_operation(description: &Value, id: &str) -> Self {
        let paths = description["paths"].as_object().expect("paths");
        let operation = paths
            .values()
            .map(|methods| &methods["post"])
            .find(|post| post["operationId"] == id)
            .expect("the operation");
        let content = &operation["requestBody"]["content"];
        let mut schema = content["application/x-www-form-urlencoded"]["schema"].clone();
        let properties = schema["properties"].as_object().expect("fields").clone();
        // References are to the whole description.
        schema["components"] = description["components"].clone();
        schema["additionalProperties"] = json!(false);
        Self {
            properties,
            contract: Contract(validator(&schema)),
        }
    }

    /// The fields as JSON, if they fit.
    pub(crate) fn check(&self, fields: &[(String, String)]) -> Result<Value, Breach> {
        let mut form = Map::new();
        for (name, text) in fields {
            let kind = &self.properties.get(name).unwrap_or(&Value::Null)["type"];
            let value = || Value::String(text.clone());
            let value = match kind.as_str() {
                Some("integer") => text.parse().map_or_else(|_| value(), |n: i64| json!(n)),
                Some("number") => text.parse().map_or_else(|_| value(), |n: f64| json!(n)),
                Some("boolean") => text.parse().map_or_else(|_| value(), |b: bool| json!(b)),
                _ => value(),
            };
            if kind == "array" {
                let list = form.entry(name).or_insert_with(|| json!([]));
                list.as_array_mut()
                    .into_iter()
                    .for_each(|list| list.push(value.clone()));
            } else if form.insert(name.clone(), value).is_some() {
                return Err(Breach::new(name, "is there twice"));
            }
        }
        let form = Value::Object(form);
        self.contract.check(&form)?;
        Ok(form)
    }
}

/// OpenAPI 3.0 describes with the words of draft 4, and formats of its own.
#[allow(clippy::expect_used, reason = "a part of the program; tests read each")]
fn validator(schema: &Value) -> Validator {
    jsonschema::options()
        .with_draft(Draft::Draft4)
        .should_validate_formats(false)
        .build(schema)
        .expect("a schema")
}

/// What an answer has to look like, by its name in an OpenAPI 3.0 description.
#[cfg(test)]
pub(crate) fn component(description: &Value, name: &str) -> Contract {
    fn with_null(schema: &mut Value) {
        if schema["nullable"] == true {
            schema["type"] = json!([schema["type"], "null"]);
        }
        let children = schema.get_mut("properties").and_then(Value::as_object_mut);
        for (_, child) in children.into_iter().flatten() {
            with_null(child);
        }
    }
    let mut schema = description["components"]["schemas"][name].clone();
    with_null(&mut schema);
    schema["components"] = description["components"].clone();
    schema["additionalProperties"] = json!(false);
    Contract(validator(&schema))
}
