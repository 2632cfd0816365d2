//! The arrows between our crates, as cargo itself describes them.
//!
//! Cargo refuses a circle, but not an arrow that should not be there: a store that knows HTTP, a
//! rule that opens a socket. Only what a crate is built from counts; its tests may use more.
//! Which crate may name axum, rusqlite and their like is in `deny.toml`.

use serde_json::Value;

use crate::finding::Finding;
use crate::tree::Tree;

/// Which of our crates each of our crates may see.
const ARROWS: [(&str, &[&str]); 8] = [
    ("watchword-core", &[]),
    ("watchword-stores", &["watchword-core"]),
    ("watchword-providers", &["watchword-core"]),
    ("watchword-http", &["watchword-core"]),
    (
        "watchword",
        &[
            "watchword-core",
            "watchword-stores",
            "watchword-providers",
            "watchword-http",
        ],
    ),
    // Says for itself what the providers want, so that it can prove the others wrong.
    ("watchword-stand-ins", &[]),
    ("bench", &[]),
    ("xtask", &[]),
];

/// What the rules are built from: calculation, text and numbers, nothing that waits or connects.
const CORE_USES: [&str; 24] = [
    "argon2",
    "async-trait",
    "base64",
    "chacha20poly1305",
    "ed25519-dalek",
    "email_address",
    "futures-util",
    "graviola",
    "hkdf",
    "hmac",
    "icu_normalizer",
    "idna",
    "jiff",
    "log",
    "parking_lot",
    "rlibphonenumber",
    "serde",
    "serde_json",
    "sha2",
    "subtle",
    "thiserror",
    "tracing",
    "uuid",
    "zeroize",
];

/// The feature of the core that brings fakes and the conformance suite, and with them a runtime.
const TESTING: &str = "testing";

/// Checks `cargo metadata --no-deps`; `tree` gives the lines of the manifests.
pub(crate) fn check(metadata: &Value, tree: &Tree) -> Result<Vec<Finding>, String> {
    let root = metadata["workspace_root"]
        .as_str()
        .ok_or("cargo names no workspace root")?;
    let packages = metadata["packages"]
        .as_array()
        .ok_or("cargo names no packages")?;
    let mut findings = Vec::new();
    for package in packages {
        let name = package["name"].as_str().ok_or("a package has no name")?;
        let manifest = package["manifest_path"]
            .as_str()
            .ok_or("a package has no manifest")?;
        let manifest = manifest
            .strip_prefix(root)
            .unwrap_or(manifest)
            .trim_start_matches('/');
        let Some((_, allowed)) = ARROWS.iter().find(|(known, _)| *known == name) else {
            findings.push(Finding::new(
                manifest,
                1,
                format!("`{name}` has no place among the crates"),
                "Say in ARCHITECTURE.md what it is for and add its row to ARROWS in \
                 xtask/src/layout/arrows.rs.",
            ));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            if let Some((what, advice)) = fault(name, allowed, dependency) {
                let target = dependency["name"].as_str().unwrap_or_default();
                let line = line_of(tree, manifest, target);
                findings.push(Finding::new(manifest, line, what, advice));
            }
        }
    }
    Ok(findings)
}

/// What is wrong with one dependency of `name`, and what to do about it.
fn fault(name: &str, allowed: &[&str], dependency: &Value) -> Option<(String, String)> {
    if dependency["kind"] == "dev" {
        return None;
    }
    let target = dependency["name"].as_str()?;
    let ours = ARROWS.iter().any(|(known, _)| *known == target);
    if ours && !allowed.contains(&target) {
        let seen = if allowed.is_empty() {
            "none of our crates".to_owned()
        } else {
            allowed.join(", ")
        };
        return Some((
            format!("`{name}` may not see `{target}`"),
            format!("It sees {seen}. Put what both need into watchword-core, as a port."),
        ));
    }
    let testing = dependency["features"]
        .as_array()
        .is_some_and(|features| features.iter().any(|feature| feature == TESTING));
    if ours && testing {
        return Some((
            format!("`{name}` is built with the feature `{TESTING}` of `{target}`"),
            "Ask for that feature under [dev-dependencies]; it brings fakes and a runtime.".into(),
        ));
    }
    let optional = dependency["optional"] == true;
    if name == "watchword-core" && !ours && !optional && !CORE_USES.contains(&target) {
        return Some((
            format!("`watchword-core` may not use `{target}`"),
            "The core has no I/O, no clock and no runtime. If the crate has none either, add it to \
             CORE_USES in xtask/src/layout/arrows.rs; else take what it gives as an argument."
                .into(),
        ));
    }
    None
}

/// The line of `manifest` that names `target`, or the first.
fn line_of(tree: &Tree, manifest: &str, target: &str) -> usize {
    let file = tree.texts.iter().find(|file| file.path == manifest);
    file.and_then(|file| {
        file.lines().find_map(|(number, line)| {
            let after = line
                .trim_start()
                .trim_start_matches('"')
                .strip_prefix(target)?;
            after.starts_with(['.', ' ', '=', '"']).then_some(number)
        })
    })
    .unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::tree::TextFile;

    /// One dependency as cargo describes it: built from, not optional, no features.
    fn dependency(name: &str) -> Value {
        json!({ "name": name, "kind": null, "optional": false, "features": [] })
    }

    fn complaints(package: &str, dependency: &Value) -> Vec<Finding> {
        let metadata = json!({ "workspace_root": "/w", "packages": [{
            "name": package, "manifest_path": "/w/crates/x/Cargo.toml", "dependencies": [dependency],
        }]});
        let manifest = TextFile::new(
            "crates/x/Cargo.toml",
            "[dependencies]\ntokio-util = \"0.7\"\ntokio.workspace = true\n",
        );
        check(&metadata, &Tree::of(vec![manifest])).unwrap()
    }

    #[test]
    fn stores_providers_and_http_see_only_the_core() {
        let sides = ["watchword-stores", "watchword-providers", "watchword-http"];
        for side in sides {
            assert_eq!(complaints(side, &dependency("watchword-core")), []);
            for other in sides
                .into_iter()
                .filter(|other| *other != side)
                .chain(["watchword"])
            {
                let findings = complaints(side, &dependency(other));
                assert_eq!(findings.len(), 1, "{side} -> {other}");
                assert_eq!(findings[0].what, format!("`{side}` may not see `{other}`"));
            }
            assert_eq!(complaints("watchword", &dependency(side)), []);
            assert_eq!(
                complaints("watchword-core", &dependency(side)).len(),
                1,
                "core -> {side}"
            );
            assert_eq!(
                complaints("bench", &dependency(side)).len(),
                1,
                "bench -> {side}"
            );
        }
    }

    #[test]
    fn the_core_uses_no_runtime_unless_it_is_optional() {
        let mut tokio = dependency("tokio");
        let findings = complaints("watchword-core", &tokio);
        assert_eq!(findings.len(), 1);
        assert_eq!(
            (findings[0].path.as_str(), findings[0].line),
            ("crates/x/Cargo.toml", 3)
        );
        tokio["optional"] = true.into();
        assert_eq!(complaints("watchword-core", &tokio), []);
        assert_eq!(complaints("watchword-core", &dependency("serde")), []);
        assert_eq!(complaints("watchword-http", &dependency("tokio")), []);
    }

    #[test]
    fn fakes_are_for_tests() {
        let mut core = dependency("watchword-core");
        core["features"] = json!(["testing"]);
        assert_eq!(complaints("watchword-http", &core).len(), 1);
        core["kind"] = "dev".into();
        assert_eq!(complaints("watchword-http", &core), []);
    }

    #[test]
    fn tests_may_see_more_than_what_they_test() {
        let mut stores = dependency("watchword-stores");
        stores["kind"] = "dev".into();
        assert_eq!(complaints("watchword-http", &stores), []);
    }

    #[test]
    fn build_scripts_count() {
        let mut stores = dependency("watchword-stores");
        stores["kind"] = "build".into();
        assert_eq!(complaints("watchword-http", &stores).len(), 1);
    }

    #[test]
    fn a_new_crate_has_to_be_given_its_place() {
        let findings = complaints("watchword-extras", &dependency("serde"));
        assert_eq!(findings.len(), 1);
        assert_eq!(
            findings[0].what,
            "`watchword-extras` has no place among the crates"
        );
    }
}
