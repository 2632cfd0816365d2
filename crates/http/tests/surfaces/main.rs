//! Every surface: what holds for all of them, and what the documents of `otp` and `whatsapp` say.

#![allow(clippy::unwrap_used, missing_docs, unreachable_pub, dead_code)]

#[path = "../native/disk.rs"]
mod disk;
mod documents;
mod hang_ups;
mod otp;
mod promises;
mod routes;
mod sharing;
#[path = "../native/stand_ins.rs"]
mod stand_ins;
mod strangers;
mod ways;
mod whatsapp;
#[path = "../native/world.rs"]
mod world;

use serde_json::Value;
use watchword_http::SurfaceKind;

use world::{Answer, Setting, World};

/// The surfaces that go together on one listener.
pub fn listeners() -> Vec<Vec<SurfaceKind>> {
    use SurfaceKind::{Auth, Native, Otp, Uuid, Whatsapp};
    let groups = [vec![Native, Auth, Otp, Uuid], vec![Native, Whatsapp]];
    let served = |mut group: Vec<SurfaceKind>| {
        group.retain(|kind| SurfaceKind::ALL.contains(kind));
        group
    };
    groups.map(served).into()
}

/// A world that serves these, called by nobody in particular.
pub fn public(serves: &[SurfaceKind]) -> World {
    public_with(serves, Setting::default())
}

pub fn public_with(serves: &[SurfaceKind], setting: Setting) -> World {
    let setting = Setting {
        serves: serves.to_vec(),
        ..setting
    };
    World {
        key: None,
        ..World::with(setting)
    }
}

/// Asserts that a refusal is in the shape of the surface, and of no other.
#[track_caller]
pub fn speaks(kind: SurfaceKind, answer: &Answer) {
    let names = |body: &Value| {
        let members = body.as_object();
        let names = members.map(|members| members.keys().cloned().collect::<Vec<_>>());
        names.unwrap_or_default()
    };
    let (body, told) = (&answer.body, format!("{kind}: {}", answer.text));
    match kind {
        SurfaceKind::Native => {
            assert_eq!(
                answer.header("content-type"),
                "application/problem+json",
                "{told}"
            );
            return;
        }
        SurfaceKind::Auth => assert_eq!(names(body), ["detail"], "{told}"),
        SurfaceKind::Otp => {
            assert_eq!(names(body), ["detail"], "{told}");
            assert!(body["detail"].is_string(), "{told}");
        }
        SurfaceKind::Whatsapp => {
            assert_eq!(names(body), ["data", "message", "success"], "{told}");
            assert_eq!(body["success"], false, "{told}");
            assert!(
                body["message"].is_string() && body["data"].is_object(),
                "{told}"
            );
        }
        SurfaceKind::Uuid => {
            assert_eq!(body["status"], answer.status.as_u16(), "{told}");
            assert!(body["message"].is_string(), "{told}");
        }
    }
    assert_eq!(answer.header("content-type"), "application/json", "{told}");
}

/// The code that was sent last.
pub fn last_code(world: &World) -> String {
    world.codes().pop().unwrap()
}

/// A code that is not this one.
pub fn another(code: &str) -> String {
    let first = if code.starts_with('0') { '1' } else { '0' };
    format!("{first}{}", &code[1..])
}
