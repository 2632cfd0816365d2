//! What goes out, held against Twilio's published description of its API.

use serde_json::Value;

use super::*;

fn description() -> Value {
    let text = include_str!("../../../tests/data/twilio-messaging.openapi.json");
    serde_json::from_str(text).unwrap()
}

/// Whether a text is what a schema of the description wants.
fn fits(schema: &Value, text: &str) -> bool {
    let kind = match schema["type"].as_str().unwrap() {
        "integer" => text.parse::<i64>().is_ok(),
        "string" => true,
        other => panic!("no field of this type is sent: {other}"),
    };
    let length = |name: &str| schema[name].as_u64();
    let chars = text.chars().count() as u64;
    let pattern = schema["pattern"].as_str().is_none_or(|pattern| {
        // All of them are like `^MG[0-9a-fA-F]{32}$`.
        let prefix = pattern.strip_prefix('^').unwrap();
        let prefix = prefix.strip_suffix("[0-9a-fA-F]{32}$").unwrap();
        text.strip_prefix(prefix).is_some_and(|digits| {
            digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
        })
    });
    kind && pattern
        && length("minLength").is_none_or(|least| chars >= least)
        && length("maxLength").is_none_or(|most| chars <= most)
}

/// What of a call is not as the operation `id` has it.
fn misfits(description: &Value, id: &str, call: &Call) -> Vec<String> {
    let paths = description["paths"].as_object().unwrap();
    let (path, operation) = paths
        .iter()
        .map(|(path, methods)| (path, &methods["post"]))
        .find(|(_, post)| post["operationId"] == id)
        .unwrap();
    let mut misfits = Vec::new();
    if call.url.path() != path.replace("{AccountSid}", SID) {
        misfits.push("path".to_owned());
    }
    let content = operation["requestBody"]["content"].as_object().unwrap();
    let (media, body) = content.iter().next().unwrap();
    if call.headers["content-type"] != media.as_str() {
        misfits.push("content-type".to_owned());
    }
    let schema = &body["schema"];
    let sent = fields(call);
    for required in schema["required"].as_array().unwrap() {
        if !sent.contains_key(required.as_str().unwrap()) {
            misfits.push(format!("{required} is missing"));
        }
    }
    for (name, text) in &sent {
        let property = &schema["properties"][name];
        if property.is_null() || !fits(property, text) {
            misfits.push(name.clone());
        }
    }
    misfits
}

#[test]
fn every_request_is_one_of_twilios_description() {
    let description = description();
    let service = sms("auth_token = 'x'\nfrom = 'Shop'
        messaging_service_sid = 'MG0123456789abcdef0123456789abcdef'");
    for (id, call) in [
        ("CreateMessage", plain_sms().request(&samples::sms(), NOW)),
        (
            "CreateMessage",
            service.unwrap().request(&samples::sms(), NOW),
        ),
        ("CreateMessage", whatsapp().request(&samples::sms(), NOW)),
        ("CreateCall", voice().request(&said(), NOW)),
    ] {
        assert_eq!(
            misfits(&description, id, &call.unwrap()),
            Vec::<String>::new(),
            "{id}"
        );
    }
}

#[test]
fn the_check_against_the_description_finds_what_is_wrong() {
    let description = description();
    let account = plain_sms().account;
    let call = account.call(
        "Calls",
        &[
            ("To", "x"),
            ("Timeout", "soon"),
            ("ValidityPeriod", "5"),
            ("ApplicationSid", "AP1"),
        ],
    );
    let found = misfits(&description, "CreateCall", &call);
    assert_eq!(
        found,
        [
            "\"From\" is missing",
            "ApplicationSid",
            "Timeout",
            "ValidityPeriod"
        ]
    );
}
