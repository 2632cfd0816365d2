//! Secrets in files of their own: `secret_key_file = "/run/secrets/key"`.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::fault::Fault;
use super::origin::Origin;
use super::tree::{Table, Value, What};

/// The names of settings that are secret wherever they stand: each may come from a file, and
/// none is ever shown.
pub(crate) const SECRETS: &[&str] = &[
    "access_token",
    "accounts_url",
    "api_key",
    "api_secret",
    "app_secret",
    "auth_token",
    "callback_token",
    "next_secret_key",
    "password",
    "secret",
    "secret_key",
    "secret_keys",
    "url",
    "verify_token",
];

/// No secret is longer.
const MAX_BYTES: u64 = 64 * 1024;

/// Puts the content of each `<secret>_file` in the place of `<secret>`.
pub(crate) fn resolve(table: &mut Table, path: &str, faults: &mut Vec<Fault>) {
    let names: Vec<String> = table.keys().cloned().collect();
    for name in names {
        let full = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        if let Some(base) = name
            .strip_suffix("_file")
            .filter(|base| SECRETS.contains(base))
        {
            let Some(value) = table.remove(&name) else {
                continue;
            };
            if table.contains_key(base) {
                let message = format!("is given beside `{base}`; set one of the two");
                faults.push(Fault::at(full, message).from(Some(&value.origin)));
                continue;
            }
            match read(&value, base) {
                Ok(content) => {
                    table.insert(base.to_owned(), content);
                }
                Err(message) => faults.push(Fault::at(full, message).from(Some(&value.origin))),
            }
            continue;
        }
        match table.get_mut(&name).map(|value| &mut value.what) {
            Some(What::Table(inner)) => resolve(inner, &full, faults),
            Some(What::List(list)) => {
                for (index, item) in list.iter_mut().enumerate() {
                    if let What::Table(inner) = &mut item.what {
                        resolve(inner, &format!("{full}.{index}"), faults);
                    }
                }
            }
            _ => {}
        }
    }
}

fn read(value: &Value, base: &str) -> Result<Value, String> {
    let name = value.as_text().ok_or("is not the name of a file")?;
    let path = Path::new(name);
    let text = read_private(path)?;
    let origin = Origin::SecretFile(path.into());
    if base == "secret_keys" {
        let keys = text.lines().filter(|line| !line.trim().is_empty());
        let keys = keys
            .map(|line| Value::text(line.trim(), origin.clone()))
            .collect();
        return Ok(Value {
            what: What::List(keys),
            origin,
        });
    }
    Ok(Value::text(text.trim_end_matches(['\n', '\r']), origin))
}

/// Reads a file that not everybody may read.
///
/// # Errors
/// A sentence that names the file and what to do.
pub(crate) fn read_private(path: &Path) -> Result<Zeroizing<String>, String> {
    let shown = path.display();
    let cannot = |error: std::io::Error| format!("{shown} cannot be read: {error}");
    let file = File::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if !metadata.is_file() {
        return Err(format!("{shown} is not a file"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if metadata.permissions().mode() & 0o004 != 0 {
            return Err(format!(
                "{shown} can be read by everybody on this machine; chmod 600 it"
            ));
        }
    }
    let mut text = Zeroizing::new(String::new());
    file.take(MAX_BYTES)
        .read_to_string(&mut text)
        .map_err(cannot)?;
    if text.trim().is_empty() {
        return Err(format!("{shown} is empty"));
    }
    Ok(text)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn table(name: &str, path: &Path) -> Table {
        let value = Value::text(path.display().to_string(), Origin::Dev);
        Table::from([(name.to_owned(), value)])
    }

    #[test]
    fn a_secret_comes_from_its_file_without_the_line_end_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "hunter2\r\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let (mut settings, mut faults) = (table("password_file", &path), Vec::new());
        resolve(&mut settings, "", &mut faults);
        assert_eq!(faults, []);
        assert_eq!(settings["password"].as_text(), Some("hunter2"));
        assert_eq!(
            settings["password"].origin,
            Origin::SecretFile(path.as_path().into())
        );
    }

    #[test]
    fn the_address_of_the_accounts_may_have_a_password_and_so_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accounts");
        std::fs::write(&path, "postgres://me:hunter2@db/accounts\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let (mut settings, mut faults) = (table("accounts_url_file", &path), Vec::new());
        resolve(&mut settings, "storage", &mut faults);
        assert_eq!(faults, []);
        let url = settings["accounts_url"].as_text();
        assert_eq!(url, Some("postgres://me:hunter2@db/accounts"));
    }

    #[test]
    fn a_file_that_everybody_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, "hunter2").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let (mut settings, mut faults) = (table("secret_file", &path), Vec::new());
        resolve(&mut settings, "providers.hook", &mut faults);
        let text = faults[0].to_string();
        assert!(text.starts_with("providers.hook.secret_file: "), "{text}");
        assert!(
            text.contains("chmod 600") && !text.contains("hunter2"),
            "{text}"
        );
    }
}
