//! What is wrong with a body, and how numbers, codes and passwords may be written.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::world::{EMAIL, MOBILE, PASSWORD, Setting, World};

fn issue(name: &str, msg: &str, kind: &str) -> Value {
    json!({ "loc": ["body", name], "msg": msg, "type": kind })
}

fn measured(name: &str, msg: &str, kind: &str, limit: u32) -> Value {
    json!({ "loc": ["body", name], "msg": msg, "type": kind, "ctx": { "limit_value": limit } })
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_listed_as_pydantic_lists_it() {
    let world = World::new();
    let missing = |name| issue(name, "field required", "value_error.missing");
    let no_text = |name| issue(name, "str type expected", "type_error.str");
    let null = |name| {
        issue(
            name,
            "none is not an allowed value",
            "type_error.none.not_allowed",
        )
    };
    let no_email = issue(
        "email",
        "value is not a valid email address",
        "value_error.email",
    );
    let ten = issue("mobile", "Mobile number must be 10 digits.", "value_error");
    let short = measured(
        "password",
        "ensure this value has at least 8 characters",
        "value_error.any_str.min_length",
        8,
    );
    let long = measured(
        "password",
        "ensure this value has at most 1024 characters",
        "value_error.any_str.max_length",
        1024,
    );
    let otp = |least: bool| {
        let (word, kind) = if least {
            ("least", "min")
        } else {
            ("most", "max")
        };
        measured(
            "otp",
            &format!("ensure this value has at {word} 6 characters"),
            &format!("value_error.any_str.{kind}_length"),
            6,
        )
    };
    let good = |name: &str, value: Value| {
        let mut body = json!({ "email": EMAIL, "mobile": MOBILE, "password": PASSWORD });
        body[name] = value;
        body
    };
    let cases = [
        (
            "register",
            json!({}),
            vec![missing("email"), missing("mobile"), missing("password")],
        ),
        (
            "register",
            good("email", json!("ann")),
            vec![no_email.clone()],
        ),
        (
            "register",
            good("email", json!("a@b.example, c@d.example")),
            vec![no_email.clone()],
        ),
        (
            "register",
            good("email", json!("Ann <ann@example.com>")),
            vec![no_email],
        ),
        (
            "register",
            good("email", json!([EMAIL, "eve@example.com"])),
            vec![no_text("email")],
        ),
        (
            "register",
            good("email", json!({ "$ne": "" })),
            vec![no_text("email")],
        ),
        (
            "register",
            good("mobile", json!("415555012")),
            vec![ten.clone()],
        ),
        (
            "register",
            good("mobile", json!("41555501234")),
            vec![ten.clone()],
        ),
        (
            "register",
            good("mobile", json!("415555012x")),
            vec![ten.clone()],
        ),
        ("register", good("mobile", json!("")), vec![ten.clone()]),
        (
            "register",
            good("mobile", json!(4_155_550_123_u64)),
            vec![no_text("mobile")],
        ),
        (
            "register",
            good("mobile", json!(null)),
            vec![null("mobile")],
        ),
        ("register", good("password", json!("1234567")), vec![short]),
        (
            "register",
            good("password", json!("x".repeat(1025))),
            vec![long],
        ),
        (
            "register",
            good("password", json!(12_345_678)),
            vec![no_text("password")],
        ),
        (
            "register",
            good("password", json!("correct\0horse")),
            vec![issue("password", "has a NUL character", "value_error")],
        ),
        (
            "register",
            good("mobile", json!("1005550123")),
            vec![issue(
                "mobile",
                "Mobile number is not a phone number that can exist",
                "value_error",
            )],
        ),
        (
            "verify-otp",
            json!({}),
            vec![missing("mobile"), missing("otp")],
        ),
        (
            "verify-otp",
            json!({ "mobile": MOBILE, "otp": "12345" }),
            vec![otp(true)],
        ),
        (
            "verify-otp",
            json!({ "mobile": MOBILE, "otp": "1234567" }),
            vec![otp(false)],
        ),
        (
            "verify-otp",
            json!({ "mobile": MOBILE, "otp": "" }),
            vec![otp(true)],
        ),
        (
            "verify-otp",
            json!({ "mobile": MOBILE, "otp": 123_456 }),
            vec![no_text("otp")],
        ),
        (
            "verify-otp",
            json!({ "mobile": "12", "otp": "123456" }),
            vec![ten],
        ),
        ("request-otp", json!({}), vec![missing("mobile_number")]),
        (
            "request-otp",
            json!({ "mobile_number": MOBILE, "remember_me": "yes" }),
            vec![issue(
                "remember_me",
                "value could not be parsed to a boolean",
                "type_error.bool",
            )],
        ),
        (
            "request-otp",
            json!({ "mobile_number": "abc" }),
            vec![issue(
                "mobile_number",
                "Mobile number is not a phone number: it has letters; extensions and vanity numbers are not taken",
                "value_error",
            )],
        ),
        (
            "resend-otp",
            json!({ "mobile": 17 }),
            vec![no_text("mobile")],
        ),
    ];
    for (call, body, issues) in cases {
        let refused = world.post(call, body.clone()).await;
        assert_eq!(
            (refused.status, &refused.body),
            (422, &json!({ "detail": issues })),
            "{call} {body}"
        );
    }
    assert_eq!(world.pigeon.count(), 0);
}

#[tokio::test]
async fn a_body_that_is_no_object_is_listed_too_and_never_repeated() {
    let world = World::new();
    for call in ["register", "verify-otp", "request-otp", "resend-otp"] {
        for (body, kind) in [
            ("", "value_error.missing"),
            ("[]", "type_error.dict"),
            ("\"secret\"", "type_error.dict"),
            ("{\"password\":\"secret\"", "value_error.jsondecode"),
            ("{\"password\":\"\\ud800\",", "value_error.jsondecode"),
        ] {
            let refused = world.send(call, body).await;
            assert_eq!(refused.status, 422, "{call} {body} {}", refused.text);
            assert_eq!(refused.body["detail"][0]["type"], kind, "{call} {body}");
            assert_eq!(refused.body["detail"][0]["loc"], json!(["body"]));
            assert!(!refused.text.contains("secret"));
        }
        let twice = r#"{"mobile":"4155550123","mobile":"4155550124","mobile_number":"4155550123",
            "email":"a@example.com","password":"12345678","otp":"123456"}"#;
        let refused = world.send(call, twice).await;
        if call == "request-otp" {
            // It is not asked for the member that comes twice, but two programs may read it in two ways.
            assert_eq!(refused.status, 422);
        }
        let issue = issue("mobile", "appears twice", "value_error");
        refused.is(422, json!({ "detail": [issue] }));
    }
    assert_eq!(world.pigeon.count(), 0);
}

#[tokio::test]
async fn members_that_nobody_knows_are_left_alone_and_large_bodies_refused() {
    let world = World::new();
    let body = json!({ "mobile_number": MOBILE, "app_version": "1.2" });
    assert_eq!(world.post("request-otp", body).await.status, 200);
    let large = json!({ "mobile_number": MOBILE, "x": "x".repeat(17_000) });
    assert_eq!(world.post("request-otp", large).await.status, 413);
}

#[tokio::test]
async fn white_space_in_a_number_is_left_out_and_every_spelling_is_one_number() {
    let world = World::without_limits();
    for spelling in [
        " 415 555 0123 ",
        "415\u{a0}555\t0123",
        "+1 415 555 0123",
        "001 415 5550123",
        "\u{ff0b}14155550123",
        "\u{664}\u{661}\u{665}\u{665}\u{665}\u{665}\u{660}\u{661}\u{662}\u{663}",
    ] {
        // Two numbers would not refuse one another.
        let world = World::without_limits();
        world.register(EMAIL, MOBILE, PASSWORD).await;
        let other = world.register("bob@example.com", spelling, PASSWORD).await;
        assert_eq!(other.status, 409, "{spelling}");
        assert_eq!(
            world.verify(spelling, &world.code()).await.status,
            200,
            "{spelling}"
        );
    }
    assert_eq!(
        world.request_otp("  +1 415 555 0123 ", false).await.status,
        200
    );
    assert_eq!(world.request_otp("(415) 555-0123", false).await.status, 200);
    let spaced: Vec<_> = world.code().chars().map(String::from).collect();
    assert_eq!(world.verify(MOBILE, &spaced.join(" ")).await.status, 200);
}

#[tokio::test]
async fn ten_digits_are_read_in_the_region_of_the_server() {
    let world = World::with(Setting {
        default_region: Some("IN"),
        ..Setting::default()
    });
    assert_eq!(
        world.register(EMAIL, "9876543210", PASSWORD).await.status,
        202
    );
    assert_eq!(
        world.verify("+919876543210", &world.code()).await.status,
        200
    );
    let world = World::with(Setting {
        default_region: None,
        ..Setting::default()
    });
    let refused = world.register(EMAIL, "9876543210", PASSWORD).await;
    assert_eq!(refused.status, 422);
    assert!(
        refused.text.contains("does not say its country"),
        "{}",
        refused.text
    );
    let international = world.register(EMAIL, "+919876543210", PASSWORD).await;
    assert_eq!(international.status, 202);
}

#[tokio::test]
async fn programs_may_leave_the_type_out_and_web_pages_may_not() {
    let world = World::new();
    let send = |kind: &'static str, origin: Option<&'static str>| {
        let mut request = Request::post("/api/v1/auth/request-otp").header("content-type", kind);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        let body = json!({ "mobile_number": MOBILE }).to_string();
        world.request(request.body(Body::from(body)).unwrap())
    };
    let form = "application/x-www-form-urlencoded";
    assert_eq!(send(form, None).await.status, 200);
    let refused = send("text/plain", Some("https://evil.example")).await;
    assert_eq!(refused.status, 415);
    assert!(refused.body["detail"].is_string());
}
