//! What holds for every route of every surface, driven by the route table.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::Method;
use watchword_http::{Area, SurfaceKind, SurfaceSettings, route_table};

use crate::stand_ins::Unreachable;
use crate::world::{Answer, JSON, Setting, World};
use crate::{listeners, public, public_with, speaks};

fn concrete(path: &str) -> String {
    path.replace("{id}", "0192d3a4-5b6c-8d7e-8f90-123456789abc")
        .replace("{uuid}", "1c11604d-47fa-442a-866a-231686e14a8b")
        .replace("{otp}", "447317")
}

/// Each path of each surface of a listener, with its methods.
fn paths(serves: &[SurfaceKind]) -> BTreeMap<(SurfaceKind, String), BTreeSet<String>> {
    let mut paths: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for route in route_table(serves, false).entries() {
        if let Area::Surface(kind) = route.area {
            let methods = paths.entry((kind, concrete(&route.path))).or_default();
            methods.insert(route.method.to_string());
            if route.method == Method::GET {
                methods.insert("HEAD".to_owned());
            }
        }
    }
    paths
}

async fn post(world: &World, path: &str, body: impl Into<axum::body::Body>) -> Answer {
    world
        .send(Method::POST, path, &[("content-type", JSON)], body)
        .await
}

#[tokio::test]
async fn every_surface_has_routes_and_no_listener_has_a_path_of_two() {
    let mut seen = BTreeSet::new();
    for serves in listeners() {
        let mut owners: BTreeMap<String, SurfaceKind> = BTreeMap::new();
        for (kind, path) in paths(&serves).into_keys() {
            seen.insert(kind);
            assert_eq!(*owners.entry(path).or_insert(kind), kind);
        }
    }
    assert_eq!(seen, SurfaceKind::ALL.into());
}

#[tokio::test]
async fn a_method_that_a_path_does_not_know_is_405_with_allow_in_the_words_of_its_surface() {
    for serves in listeners() {
        let world = public(&serves);
        for ((kind, path), known) in paths(&serves) {
            for method in [
                "GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND",
            ] {
                if known.contains(method) {
                    continue;
                }
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                let answer = world.send(method.clone(), &path, &[], "").await;
                assert_eq!(answer.status, 405, "{method} {path}");
                let allowed: BTreeSet<_> = answer
                    .header("allow")
                    .split(',')
                    .map(str::to_owned)
                    .collect();
                assert_eq!(allowed, known, "{path}");
                speaks(kind, &answer);
            }
        }
    }
}

#[tokio::test]
async fn what_is_not_found_below_the_paths_of_a_surface_is_said_in_its_words() {
    for serves in listeners() {
        let world = public(&serves);
        for (kind, path) in [
            (SurfaceKind::Otp, "/api/otp/nothing"),
            (SurfaceKind::Otp, "/api/otp"),
            (SurfaceKind::Auth, "/api/v1/auth/nothing"),
            (SurfaceKind::Native, "/api/otpx"),
        ] {
            if serves.contains(&kind) {
                let answer = world.get(path).await;
                assert_eq!(answer.status, 404, "{path}");
                speaks(kind, &answer);
            }
        }
    }
}

#[tokio::test]
async fn a_surface_that_is_alone_on_its_listener_says_in_its_words_that_nothing_is_there() {
    for kind in SurfaceKind::ALL {
        let answer = public(&[kind]).get("/no/such/path").await;
        assert_eq!(answer.status, 404, "{kind}");
        speaks(kind, &answer);
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_in_the_words_of_its_surface() {
    for serves in listeners() {
        for ((kind, path), methods) in paths(&serves) {
            let mut world = public(&serves);
            if kind == SurfaceKind::Native {
                world.key = Some(world.api_key("default", &watchword_core::Scope::ALL));
            }
            if methods.contains("POST") {
                let answer = post(&world, &path, vec![b' '; 16 * 1024 + 1]).await;
                assert_eq!(answer.status, 413, "{path}");
                speaks(kind, &answer);
            }
        }
    }
}

/// Bodies that two programs read differently, or that none should.
fn hostile() -> Vec<Vec<u8>> {
    let deep = format!("{}{}", "[".repeat(4000), "]".repeat(4000));
    let deep_object = format!("{}1{}", r#"{"a":"#.repeat(2000), "}".repeat(2000));
    let mut bodies: Vec<Vec<u8>> = vec![deep.into(), deep_object.into()];
    let members = [
        "phone_number",
        "identifier",
        "channel",
        "mobile",
        "mobile_number",
        "otp",
        "code",
        "to",
    ];
    for member in members {
        for value in [
            "1e999999",
            "-0",
            "123456789012345678901234567890",
            "null",
            "true",
            "[]",
            "{}",
            r#""\u0000""#,
            r#""\ud800""#,
            r#""""#,
            r#""+1234567890\u0000""#,
            r#"["+1234567890"]"#,
        ] {
            bodies.push(format!(r#"{{"{member}":{value}}}"#).into());
        }
        let twice =
            format!(r#"{{"{member}":"+14155550123","{member}":"+14155550199","channel":"sms"}}"#);
        bodies.push(twice.into());
    }
    for raw in [
        &b""[..],
        b"null",
        b"\"text\"",
        b"12",
        b"{",
        b"{\"a\":1,}",
        b"{} {}",
        b"\xff\xfe{}",
        b"\xef\xbb\xbf{}",
        b"a=1&b=2",
        b"<xml/>",
        b"{\"phone_number\":\"\xff\"}",
    ] {
        bodies.push(raw.to_vec());
    }
    bodies
}

/// B-cases: never a 5xx, never another surface's shape, nothing sent.
#[tokio::test]
async fn hostile_json_is_refused_in_the_words_of_the_surface_and_sends_nothing() {
    for serves in listeners() {
        let world = public_with(
            &serves,
            Setting {
                policy: Some(crate::world::without_limits()),
                ..Setting::default()
            },
        );
        for ((kind, path), methods) in paths(&serves) {
            // These take any object, or have tests of their own.
            if !methods.contains("POST") || matches!(kind, SurfaceKind::Native | SurfaceKind::Uuid)
            {
                continue;
            }
            for body in hostile() {
                let answer = post(&world, &path, body.clone()).await;
                let status = answer.status.as_u16();
                let body = String::from_utf8_lossy(&body);
                assert!(
                    (400..500).contains(&status),
                    "{path} {body}: {status} {}",
                    answer.text
                );
                speaks(kind, &answer);
            }
        }
        assert_eq!(world.pigeon.count(), 0);
    }
}

/// H7: a form that a foreign page has a browser send is no request.
#[tokio::test]
async fn a_foreign_page_cannot_post_without_asking_first() {
    for serves in listeners() {
        let world = public(&serves);
        for ((kind, path), methods) in paths(&serves) {
            // The native one wants the type from everybody.
            if !methods.contains("POST") || kind == SurfaceKind::Native {
                continue;
            }
            let body = r#"{"channel":"sms","to":"+14155550123","identifier":"+14155550123",
                "phone_number":"+14155550123","mobile_number":"+14155550123"}"#;
            for content_type in [
                "text/plain",
                "application/x-www-form-urlencoded",
                "multipart/form-data",
            ] {
                for from in [
                    ("origin", "https://evil.example"),
                    ("sec-fetch-site", "cross-site"),
                    ("origin", "null"),
                ] {
                    let headers = [("content-type", content_type), from];
                    let answer = world.send(Method::POST, &path, &headers, body).await;
                    assert_eq!(answer.status, 415, "{path} {from:?}");
                    speaks(kind, &answer);
                }
            }
        }
        assert_eq!(world.pigeon.count(), 0);
    }
}

#[tokio::test]
async fn a_surface_is_open_unless_it_is_configured_to_want_a_key() {
    for serves in listeners() {
        let closed = |kind: SurfaceKind| {
            let documented = SurfaceSettings::documented(kind, None);
            let settings = SurfaceSettings {
                require_api_key: true,
                ..documented
            };
            (kind, settings)
        };
        let setting = Setting {
            surfaces: serves.iter().copied().map(closed).collect(),
            ..Setting::default()
        };
        let world = public_with(&serves, setting);
        let open = public(&serves);
        for ((kind, path), methods) in paths(&serves) {
            if !methods.contains("POST") || kind == SurfaceKind::Native {
                continue;
            }
            let refused = post(&world, &path, "{}").await;
            assert_eq!(refused.status, 401, "{path}");
            assert_eq!(refused.header("www-authenticate"), "Bearer");
            speaks(kind, &refused);
            let powerless = world.as_app("default", &[]);
            let refused = post(&powerless, &path, "{}").await;
            assert_eq!(refused.status, 403, "{path}");
            speaks(kind, &refused);
            let keyed = world.as_app("default", &watchword_core::Scope::ALL);
            assert!(
                !matches!(post(&keyed, &path, "{}").await.status.as_u16(), 401 | 403),
                "{path}"
            );
            // A token of somebody else is none of ours; a key of ours has to be good.
            for (shown, status_is_401) in [("Bearer eyJhbGciOi", false), ("Basic dTpw", false)] {
                let headers = [("content-type", JSON), ("authorization", shown)];
                let answer = open.send(Method::POST, &path, &headers, "{}").await;
                assert_eq!(answer.status == 401, status_is_401, "{path} {shown}");
            }
            let stranger = World {
                key: Some(world.api_key("default", &watchword_core::Scope::ALL)),
                ..open.clone()
            };
            assert_eq!(post(&stranger, &path, "{}").await.status, 401, "{path}");
        }
    }
}

#[tokio::test]
async fn without_a_store_a_surface_says_so_and_sends_nothing() {
    for serves in listeners() {
        let setting = Setting {
            store: std::sync::Arc::new(Unreachable),
            ..Setting::default()
        };
        let world = public_with(&serves, setting);
        let body = r#"{"channel":"sms","identifier":"+14155550123","code":"123456",
            "phone_number":"+14155550123","otp":"123456"}"#;
        for ((kind, path), methods) in paths(&serves) {
            if methods.contains("POST") && matches!(kind, SurfaceKind::Otp | SurfaceKind::Whatsapp)
            {
                let answer = post(&world, &path, body).await;
                assert_eq!(
                    (answer.status.as_u16(), answer.header("retry-after")),
                    (503, "2"),
                    "{path}"
                );
                speaks(kind, &answer);
            }
        }
        assert_eq!(world.pigeon.count(), 0);
    }
}

/// H9: exact origins only, and never a page of dev mode.
#[tokio::test]
async fn origins_that_are_configured_may_read_surfaces_and_no_others_may() {
    for serves in listeners() {
        let setting = Setting {
            dev: true,
            cors_origins: vec!["https://app.example.com".to_owned()],
            ..Setting::default()
        };
        let world = public_with(&serves, setting);
        for ((kind, path), methods) in paths(&serves) {
            let method = Method::from_bytes(methods.first().unwrap().as_bytes()).unwrap();
            let ask = async |method: &Method, origin: &str| {
                let headers = [
                    ("origin", origin),
                    ("access-control-request-method", "POST"),
                ];
                world.send(method.clone(), &path, &headers, "").await
            };
            for origin in [
                "https://app.example.com.evil.example",
                "https://evil.example",
                "null",
                "http://app.example.com",
                "https://app.example.com:8443",
                "https://APP.example.com",
                "https://app.example.com/",
            ] {
                for method in [&method, &Method::OPTIONS] {
                    let answer = ask(method, origin).await;
                    assert_eq!(
                        answer.header("access-control-allow-origin"),
                        "",
                        "{path} {origin}"
                    );
                    assert_eq!(answer.header("vary"), "Origin");
                }
                assert_eq!(
                    ask(&Method::OPTIONS, origin).await.status,
                    405,
                    "{kind} {path}"
                );
            }
            let preflight = ask(&Method::OPTIONS, "https://app.example.com").await;
            assert_eq!(preflight.status, 204, "{path}");
            assert!(
                preflight
                    .header("access-control-allow-headers")
                    .contains("Content-Type")
            );
            let answer = ask(&method, "https://app.example.com").await;
            assert_eq!(
                answer.header("access-control-allow-origin"),
                "https://app.example.com",
                "{path}"
            );
            assert_eq!(answer.header("access-control-allow-credentials"), "");
        }
        for path in ["/dev/messages", "/", "/dev/inbox", "/openapi.json"] {
            let headers = [("origin", "https://app.example.com")];
            let answer = world.send(Method::GET, path, &headers, "").await;
            assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
        }
    }
}
