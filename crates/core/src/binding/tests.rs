use proptest::prelude::*;

use super::*;

fn digest(json: &str) -> BindingDigest {
    BindingDigest::of_json(json).unwrap_or_else(|fault| panic!("{json}: {fault:?}"))
}

fn fault(json: &str) -> (String, BindingFault) {
    let invalid = BindingDigest::of_json(json).expect_err(json);
    (invalid.pointer, invalid.fault)
}

#[test]
fn one_value_has_one_digest_however_it_is_written() {
    let same: [&[&str]; 11] = [
        &[
            "1", "1.0", "1e0", "10e-1", "0.1e1", "1E+0", "100e-02", " 1\n",
        ],
        &[
            "0",
            "-0",
            "0.0",
            "-0e99",
            "0e-5",
            "0e99999999999999999999999999",
        ],
        &["-15", "-1.5e1", "-150e-1"],
        &["1e400", "10e399", "0.001e403"],
        &[
            "123456789012345678901234567890",
            "1.2345678901234567890123456789e29",
        ],
        &[
            r#"{"a":1,"b":[true,null]}"#,
            "{ \"b\" : [ true , null ] ,\r\n\t\"a\" : 1.0 }",
        ],
        &[r#""é""#, r#""\u00e9""#, r#""\u00E9""#],
        &[r#""😀""#, r#""\ud83d\ude00""#, r#""\uD83D\uDE00""#],
        &[r#""a/b""#, r#""a\/b""#, r#""\u0061/b""#],
        &[r#"{"\u0061":1}"#, r#"{"a":1}"#],
        &[
            "\"\\b\\f\\n\\r\\t\\\"\\\\\"",
            "\"\\u0008\\u000c\\u000a\\u000d\\u0009\\u0022\\u005c\"",
        ],
    ];
    for spellings in same {
        for spelling in spellings {
            assert_eq!(digest(spelling), digest(spellings[0]), "{spelling}");
        }
    }
}

#[test]
fn different_values_have_different_digests() {
    let different = [
        "null",
        "true",
        "false",
        "0",
        "1",
        "-1",
        "10",
        "1e400",
        "1e401",
        "1e-400",
        r#""""#,
        r#""0""#,
        r#""1""#,
        r#""null""#,
        r#""true""#,
        "[]",
        "{}",
        "[[]]",
        "[{}]",
        "[null]",
        "[0]",
        "[1,2]",
        "[2,1]",
        "[12]",
        "[[1],2]",
        "[1,[2]]",
        "[[1,2]]",
        r#"["1,2"]"#,
        r#"["1","2"]"#,
        r#"["12"]"#,
        r#"["","12"]"#,
        r#"{"a":1}"#,
        r#"{"a":"1"}"#,
        r#"{"a":null}"#,
        r#"{"A":1}"#,
        r#"{"a":1,"b":2}"#,
        r#"{"a":2,"b":1}"#,
        r#"{"a":{"b":2}}"#,
        r#"["a",1]"#,
        "9007199254740993",
        "9007199254740992",
        "0.1",
        "0.10000000000000000555",
        r#""é""#,
        r#""e\u0301""#,
        r#""\u0000""#,
        r#"" ""#,
        r#"{"":1}"#,
    ];
    let digests: std::collections::HashSet<_> = different.iter().map(|json| digest(json)).collect();
    assert_eq!(digests.len(), different.len());
}

#[test]
fn no_binding_is_not_null_nor_any_other_value() {
    assert_eq!(BindingDigest::default(), BindingDigest::none());
    assert!(BindingDigest::none().is_none());
    for json in ["null", "{}", "[]", "\"\"", "0"] {
        assert!(!digest(json).is_none());
    }
}

#[test]
fn a_digest_comes_back_from_its_bytes() {
    let kept = *digest(r#"{"amount":"10.00"}"#).as_bytes();
    assert_eq!(
        BindingDigest::from_bytes(kept),
        digest(r#"{"amount":"10.00"}"#)
    );
}

#[test]
fn text_that_is_not_json_is_refused() {
    for json in [
        "",
        " ",
        "nul",
        "nulll",
        "True",
        "01",
        "-",
        "-01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "+1",
        "0x1",
        "NaN",
        "Infinity",
        "1 2",
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,}",
        "{a:1}",
        "{1:1}",
        "{\"a\" 1}",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"\\u+123\"",
        "\"a\nb\"",
        "\"\0\"",
        "'a'",
        "\u{FEFF}1",
        "\u{A0}1",
        "// c\n1",
        "\"\\ud83d\\u\"",
        "\"\\u00é\"",
    ] {
        assert_eq!(fault(json).1, BindingFault::Syntax, "{json:?}");
    }
}

#[test]
fn what_programs_read_differently_is_refused_with_its_place() {
    assert_eq!(
        fault(r#"{"a":1,"b":2,"a":1}"#),
        ("/a".into(), BindingFault::Duplicate)
    );
    assert_eq!(
        fault(r#"{"x":[0,{"a":1,"\u0061":2}]}"#),
        ("/x/1/a".into(), BindingFault::Duplicate)
    );
    assert_eq!(
        fault(r#"{"a/b~":"\ud800"}"#),
        ("/a~1b~0".into(), BindingFault::Surrogate)
    );
    for half in [
        r#""\udc00""#,
        r#""\ud800x""#,
        r#""\ud800\n""#,
        r#""\ud800\ud800""#,
        r#""\ude00\ud83d""#,
    ] {
        assert_eq!(
            fault(half),
            (String::new(), BindingFault::Surrogate),
            "{half}"
        );
    }
}

#[test]
fn huge_exponents_cost_nothing() {
    assert_ne!(
        digest("1e999999999999999999"),
        digest("1e-999999999999999999")
    );
    assert_eq!(fault("1e1000000000000000000").1, BindingFault::Exponent);
    assert_eq!(
        fault("[1e-1000000000000000000]"),
        ("/0".into(), BindingFault::Exponent)
    );
    assert_eq!(digest("1e00000000000000000000000001"), digest("10"));
}

#[test]
fn depth_and_size_are_bounded() {
    let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(BindingDigest::of_json(&nested(16)).is_ok());
    assert_eq!(fault(&nested(17)).1, BindingFault::Depth);
    assert_eq!(fault(&"[".repeat(16_000)).1, BindingFault::Depth);
    let long = |bytes: usize| format!("\"{}\"", "a".repeat(bytes - 2));
    assert!(BindingDigest::of_json(&long(BindingDigest::MAX_BYTES)).is_ok());
    assert_eq!(
        fault(&long(BindingDigest::MAX_BYTES + 1)).1,
        BindingFault::Size
    );
}

#[test]
fn debug_output_shows_only_whether_there_is_a_binding() {
    assert_eq!(
        format!("{:?}", BindingDigest::none()),
        "BindingDigest(none)"
    );
    assert_eq!(format!("{:?}", digest("1")), "BindingDigest(redacted)");
}

/// A JSON value, apart from how it is written.
#[derive(Clone, Debug, PartialEq)]
enum Value {
    Null,
    Bool(bool),
    /// Digits and the power of ten.
    Number(i64, i8),
    String(String),
    Array(Vec<Value>),
    Object(Vec<(String, Value)>),
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-1_000_000_i64..1_000_000, -5_i8..5)
            .prop_map(|(digits, power)| Value::Number(digits, power)),
        "[a-z\"\\\\\u{1}é😀]{0,4}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            prop::collection::btree_map("[a-cé]{0,2}", inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Writes a value in one of its many ways, chosen by `style`.
fn write(value: &Value, style: &mut impl FnMut(u32) -> u32, out: &mut String) {
    let space = |style: &mut dyn FnMut(u32) -> u32, out: &mut String| {
        for _ in 0..style(3) {
            out.push([' ', '\n', '\t', '\r'][style(4) as usize]);
        }
    };
    space(style, out);
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
        Value::Number(digits, power) => {
            let shift = style(4);
            let zeros = "0".repeat(shift as usize);
            match style(3) {
                0 => out.push_str(&format!(
                    "{digits}{zeros}E{}",
                    i64::from(*power) - i64::from(shift)
                )),
                1 => out.push_str(&format!("{digits}.0{zeros}e{power}")),
                _ => {
                    let sign = if *digits < 0 { "-" } else { "" };
                    let digits = digits.unsigned_abs().to_string();
                    let power = i64::from(*power) + i64::try_from(digits.len()).unwrap();
                    out.push_str(&format!("{sign}0.{digits}{zeros}e{power:+}"));
                }
            }
        }
        Value::String(text) => write_string(text, style, out),
        Value::Array(elements) => {
            out.push('[');
            for (position, element) in elements.iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                write(element, style, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            for last in (1..members.len()).rev() {
                members.swap(last, style(u32::try_from(last).unwrap() + 1) as usize);
            }
            out.push('{');
            for (position, (name, member)) in members.into_iter().enumerate() {
                if position > 0 {
                    out.push(',');
                }
                space(style, out);
                write_string(name, style, out);
                space(style, out);
                out.push(':');
                write(member, style, out);
            }
            out.push('}');
        }
    }
    space(style, out);
}

fn write_string(text: &str, style: &mut impl FnMut(u32) -> u32, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        if style(2) == 0 || c < ' ' || c == '"' || c == '\\' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    out.push('"');
}

fn written(value: &Value, seed: u64) -> String {
    let mut state = seed | 1;
    let mut style = |below: u32| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        u32::try_from((state >> 32) % u64::from(below)).unwrap()
    };
    let mut out = String::new();
    write(value, &mut style, &mut out);
    out
}

/// Changes the leaf or empty container that `place` leads to.
fn change(value: &mut Value, place: usize) {
    match value {
        Value::Array(elements) if !elements.is_empty() => {
            let count = elements.len();
            change(&mut elements[place % count], place / count);
        }
        Value::Object(members) if !members.is_empty() => {
            let count = members.len();
            change(&mut members[place % count].1, place / count);
        }
        Value::Null => *value = Value::Bool(false),
        Value::Bool(yes) => *yes = !*yes,
        Value::Number(digits, _) => *digits += 1,
        Value::String(text) => text.push('z'),
        Value::Array(elements) => elements.push(Value::Null),
        Value::Object(members) => members.push(("z".into(), Value::Null)),
    }
}

proptest! {
    #[test]
    fn order_of_members_spaces_escapes_and_spelling_of_numbers_do_not_count(
        value in value(), one in any::<u64>(), other in any::<u64>(),
    ) {
        prop_assert_eq!(digest(&written(&value, one)), digest(&written(&value, other)));
    }

    #[test]
    fn every_leaf_counts(value in value(), place in any::<usize>(), one in any::<u64>(), other in any::<u64>()) {
        let mut changed = value.clone();
        change(&mut changed, place);
        prop_assert_ne!(digest(&written(&value, one)), digest(&written(&changed, other)));
    }

    #[test]
    fn this_reader_takes_what_serde_json_takes(json in "[\\[\\]{}:,0-9eE.+\"a\\\\u -]{0,12}|\\PC{0,12}") {
        // serde_json also takes the last of two members with one name; ranges of numbers are ours.
        let ours = BindingDigest::of_json(&json).map(|_| ()).map_err(|invalid| invalid.fault);
        let theirs = serde_json::from_str::<serde_json::Value>(&json);
        match ours {
            Ok(()) => prop_assert!(theirs.is_ok() || theirs.unwrap_err().to_string().contains("out of range")),
            Err(BindingFault::Syntax) => prop_assert!(theirs.is_err()),
            Err(_) => {}
        }
    }
}
