//! What stands in `deploy/`, the compose files and the Dockerfile, as far as the program or this repository can judge
//! it. Their schemas are looked at by `scripts/test deploy`.

use std::path::{Path, PathBuf};

use crate::server::{Said, call, configure, folder, keygen, program, run};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap()
}

fn names(path: &str) -> Vec<String> {
    let entries = std::fs::read_dir(repository().join(path)).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// The files of secrets that a configuration names.
fn secret_files(config: &str) -> Vec<String> {
    let lines = config.lines().filter_map(|line| {
        let (name, value) = line.split_once(" = \"")?;
        name.ends_with("_file")
            .then(|| value.split('"').next().unwrap().to_owned())
    });
    lines.collect()
}

/// What `config check` says of a configuration whose folders are in `folder`, and whose secrets are there.
fn check(folder: &Path, config: &str, variables: &[(String, String)]) -> Said {
    use std::os::unix::fs::PermissionsExt as _;

    let inside = folder.display().to_string();
    let mut moved = config.to_owned();
    for place in ["/run/secrets/", "/etc/watchword/", "/var/lib/watchword/"] {
        let here = format!("{inside}{place}");
        std::fs::create_dir_all(&here).unwrap();
        std::fs::create_dir_all(format!("{here}watchword")).unwrap();
        moved = moved.replace(&format!("\"{place}"), &format!("\"{here}"));
        moved = moved.replace(&format!("sqlite:{place}"), &format!("sqlite:{here}"));
    }
    for path in secret_files(&moved) {
        let name = Path::new(&path).file_name().unwrap().to_str().unwrap();
        let secret = match name.replace('.', "_").as_str() {
            "secret_key" => keygen(folder),
            "storage_url" => "postgres://watchword:hunter2@postgres:5432/watchword".to_owned(),
            "mail_url" => "smtps://user:hunter2@smtp.example.com".to_owned(),
            "carrier_url" => "https://messages.example.com/otp".to_owned(),
            "carrier_secret" => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
            other => panic!("nobody knows what is in {other}"),
        };
        std::fs::write(&path, secret).unwrap();
        // As a volume of secrets is mounted, readable by the group.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o440)).unwrap();
    }
    std::fs::write(folder.join("watchword.toml"), moved).unwrap();
    let mut command = program(folder);
    run(command
        .args(["config", "check"])
        .envs(variables.iter().cloned()))
}

fn accepted(said: &Said, what: &str) {
    assert_eq!(said.code, 0, "{what}: {}", said.err);
    assert_eq!(said.err, "", "{what}");
}

#[test]
fn the_configurations_for_production_are_accepted_with_their_secrets_in_files() {
    for path in [
        "deploy/compose/prod.toml",
        "deploy/systemd/watchword.toml",
        "deploy/kubernetes/watchword.toml",
    ] {
        let folder = folder();
        let config = text(path);
        assert!(secret_files(&config).len() >= 4, "{path}");
        accepted(&check(folder.path(), &config, &[]), path);
    }
}

#[test]
fn the_configuration_for_development_is_accepted_on_either_store() {
    let compose = text("compose.yaml");
    let mut variables: Vec<_> = compose
        .lines()
        .filter_map(|line| line.trim().strip_prefix("WATCHWORD__"))
        .map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            let value = value.strip_prefix("${STORAGE_URL:-").unwrap_or(value);
            (
                format!("WATCHWORD__{name}"),
                value.trim_end_matches('}').to_owned(),
            )
        })
        .collect();
    let folder = folder();
    let config = text("deploy/compose/dev.toml");
    accepted(&check(folder.path(), &config, &variables), "on PostgreSQL");
    let redis = compose
        .lines()
        .find_map(|line| line.split_once("STORAGE_URL=")?.1.split(' ').next());
    let storage = variables
        .iter_mut()
        .find(|(name, _)| name.ends_with("__STORAGE__URL"));
    storage.unwrap().1 = redis.unwrap().to_owned();
    accepted(&check(folder.path(), &config, &variables), "on Redis");
}

#[test]
fn each_secret_that_a_configuration_names_is_mounted() {
    let compose = text("compose.prod.yaml");
    for path in secret_files(&text("deploy/compose/prod.toml")) {
        let name = path.strip_prefix("/run/secrets/").unwrap();
        let declared = format!("  {name}: {{ file: secrets/{name} }}");
        assert!(compose.lines().any(|line| line == declared), "{name}");
        let mut mounted = compose
            .lines()
            .filter(|line| line.contains("    secrets: ["));
        assert!(mounted.any(|line| line.contains(name)), "{name}");
    }
    let example = text("deploy/kubernetes/secret.example.yaml");
    for path in secret_files(&text("deploy/kubernetes/watchword.toml")) {
        let name = path.strip_prefix("/run/secrets/watchword/").unwrap();
        let key = format!("  {name}: ");
        assert!(example.lines().any(|line| line.starts_with(&key)), "{name}");
    }
}

/// A server that is told to stop is busy for the delay, and as long as the drain may take; whoever runs it
/// must not kill it before.
#[test]
fn whoever_runs_it_waits_longer_than_it_takes_to_stop() {
    let folder = folder();
    let mail = "[channels]\nemail = [\"mail\"]\n[providers.mail]\nkind = \"smtp\"\n\
                url = \"smtp://127.0.0.1:9\"\nfrom = \"otp@example.com\"\n";
    configure(folder.path(), mail);
    let shown = call(
        folder.path(),
        &["config", "show", "--config", "watchword.toml"],
    );
    let seconds = |name: &str| -> u64 {
        let line = shown.out.lines().find(|line| line.starts_with(name));
        let value = line.unwrap().split('"').nth(1).unwrap();
        watchword_core::span::parse(value).unwrap().as_secs()
    };
    let takes = seconds("http.shutdown_delay") + seconds("http.drain_timeout");
    for (file, setting) in [
        ("deploy/systemd/watchword.service", "TimeoutStopSec="),
        (
            "deploy/kubernetes/deployment.yaml",
            "terminationGracePeriodSeconds: ",
        ),
        ("compose.yaml", "stop_grace_period: "),
        ("compose.prod.yaml", "stop_grace_period: "),
    ] {
        let text = text(file);
        let mut waits = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix(setting))
            .peekable();
        assert!(waits.peek().is_some(), "{file} says no {setting}");
        for wait in waits {
            let wait: u64 = wait.trim_end_matches('s').parse().unwrap();
            assert!(wait > takes + 5, "{file}: {wait} s, and it takes {takes} s");
        }
    }
}

/// Runs what the first stage does before it compiles. Seen to fail when a manifest named an example that
/// the stage had no file for.
#[test]
fn the_stage_that_compiles_dependencies_has_what_the_manifests_name() {
    let dockerfile = text("Dockerfile");
    let stage = dockerfile.split("FROM ").nth(1).unwrap();
    let folder = folder();
    for line in stage.lines() {
        let Some((files, target)) = line
            .strip_prefix("COPY ")
            .and_then(|copied| copied.rsplit_once(' '))
        else {
            continue;
        };
        let target = folder.path().join(target);
        std::fs::create_dir_all(&target).unwrap();
        for file in files.split(' ') {
            let name = Path::new(file).file_name().unwrap();
            std::fs::copy(repository().join(file), target.join(name)).unwrap();
        }
    }
    let (_, script) = stage.split_once("RUN ").unwrap();
    let (script, _) = script.split_once("&& cargo build").unwrap();
    let script: Vec<_> = script
        .lines()
        .map(|line| line.trim_end_matches('\\'))
        .filter(|line| !line.trim_start().starts_with('#'))
        .collect();
    let made = run(std::process::Command::new("sh")
        .args(["-c", &script.join(" ")])
        .current_dir(folder.path()));
    assert_eq!(made.code, 0, "{}", made.err);
    let read = run(std::process::Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ])
        .current_dir(folder.path()));
    assert_eq!(read.code, 0, "{}", read.err);
    // A target without its file is left out here, and an error where it is compiled.
    let read: serde_json::Value = serde_json::from_str(&read.out).unwrap();
    for package in read["packages"].as_array().unwrap() {
        let found = package["targets"].as_array().unwrap();
        let manifest = std::fs::read_to_string(package["manifest_path"].as_str().unwrap()).unwrap();
        let mut lines = manifest.lines().skip_while(|line| !line.starts_with("[["));
        while let Some(name) = lines.find_map(|line| line.strip_prefix("name = ")) {
            let name = name.trim_matches('"');
            assert!(found.iter().any(|target| target["name"] == name), "{name}");
        }
    }
}

#[test]
fn every_image_that_others_publish_is_named_by_tag_and_digest() {
    let mut images = Vec::new();
    for file in ["Dockerfile", "compose.yaml", "compose.prod.yaml"] {
        let text = text(file);
        let named = text.lines().filter_map(|line| {
            let line = line.trim();
            let image = line
                .strip_prefix("image: ")
                .or_else(|| line.strip_prefix("FROM "));
            image.or_else(|| {
                line.strip_prefix("ARG ")?
                    .split_once("_IMAGE=")
                    .map(|it| it.1)
            })
        });
        images.extend(named.map(|image| image.split(" AS ").next().unwrap().to_owned()));
    }
    // Ours, and what stands at the top of the Dockerfile.
    let ours = |image: &String| {
        ["${", "watchword:", "dependencies"]
            .iter()
            .any(|it| image.starts_with(it))
    };
    images.retain(|image| !ours(image));
    assert_eq!(images.len(), 6, "{images:?}");
    for image in images {
        let (name, digest) = image.split_once("@sha256:").unwrap();
        let (_, tag) = name.rsplit_once(':').unwrap();
        assert!(!tag.contains('/') && tag != "latest", "{image}");
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        assert!(digest.len() == 64 && digest.bytes().all(hex), "{image}");
    }
}

#[test]
fn the_image_is_built_from_the_manifests_of_all_crates() {
    let dockerfile = text("Dockerfile");
    let crates = names("crates");
    for member in crates.iter().map(|name| format!("crates/{name}")) {
        let copied = format!("COPY {member}/Cargo.toml {member}/");
        assert!(dockerfile.lines().any(|line| line == copied), "{copied}");
    }
}

#[test]
fn every_manifest_for_kubernetes_is_applied_but_the_example_of_a_secret() {
    let kustomization = text("deploy/kubernetes/kustomization.yaml");
    for name in names("deploy/kubernetes") {
        let listed = kustomization
            .lines()
            .any(|line| line == format!("  - {name}"));
        let left_out = [
            "kustomization.yaml",
            "secret.example.yaml",
            "watchword.toml",
        ];
        assert_ne!(listed, left_out.contains(&name.as_str()), "{name}");
    }
    assert!(kustomization.contains("files: [watchword.toml]"));
}
