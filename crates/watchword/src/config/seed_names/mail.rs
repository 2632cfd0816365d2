//! The names that Django has for its mail server, as one provider.

use super::{MailServer, NAMES, SeedSettings, percent_encoded};
use crate::config::fault::Fault;
use crate::config::origin::Origin;
use crate::config::reading::truth;
use crate::config::tree::{Value, What, set};
use crate::config::variables::Variables;

/// The provider that `EMAIL_*` describe.
const PROVIDER: &str = "email_env";

/// The one of Django's mail backends whose settings mean something here.
const BACKEND: &str = "django.core.mail.backends.smtp.EmailBackend";

pub(super) fn read(
    variables: &Variables,
    dev: bool,
    given: &dyn Fn(&str) -> bool,
    found: &mut SeedSettings,
) {
    let server = NAMES
        .iter()
        .filter(|(name, meaning)| matches!(meaning, MailServer) && *name != "DEFAULT_FROM_EMAIL");
    let described = server.filter_map(|(name, _)| variables.get(name)).next();
    let sender = variables.get("DEFAULT_FROM_EMAIL");
    let Some((_, origin)) = described.or_else(|| {
        // A sender alone means the mail server of this machine, unless mail has another way.
        sender.filter(|_| !dev && !given("channels.email"))
    }) else {
        return;
    };
    let Some((from, from_origin)) = sender else {
        let message =
            "EMAIL_* describe a mail server, and DEFAULT_FROM_EMAIL, the sender, is missing";
        found.complain(Fault::general(message).from(Some(origin)), dev);
        return;
    };
    match url(variables) {
        Ok(url) => {
            found.put(&["providers", PROVIDER, "kind"], "smtp", origin);
            found.put(&["providers", PROVIDER, "url"], &url, origin);
            found.put(&["providers", PROVIDER, "from"], from, from_origin);
        }
        Err(fault) => {
            found.complain(fault, dev);
            return;
        }
    }
    if let Some((seconds, origin)) = variables.get("EMAIL_TIMEOUT") {
        let seconds = Value::loose(super::with_unit(seconds, 's'), origin.clone());
        set(
            &mut found.table,
            &["providers", PROVIDER, "timeout"],
            seconds,
        );
    }
    let list = What::List(vec![Value::text(PROVIDER, origin.clone())]);
    let route = Value {
        what: list,
        origin: origin.clone(),
    };
    set(&mut found.table, &["channels", "email"], route);
}

/// Where the server is and who we are there.
fn url(variables: &Variables) -> Result<String, Fault> {
    let get = |name: &str| variables.get(name).map(|(text, _)| text.trim());
    if let Some((backend, origin)) = variables.get("EMAIL_BACKEND")
        && backend.trim() != BACKEND
    {
        let message = format!(
            "EMAIL_BACKEND names another way than SMTP ({BACKEND}); leave it out, and write \
             [providers.NAME] for another kind of provider"
        );
        return Err(Fault::general(message).from(Some(origin)));
    }
    let (use_tls, use_ssl) = (
        flag(variables, "EMAIL_USE_TLS")?,
        flag(variables, "EMAIL_USE_SSL")?,
    );
    let (scheme, tls) = match (use_ssl, use_tls) {
        (Some(_), Some(origin)) => {
            let message = "EMAIL_USE_TLS and EMAIL_USE_SSL exclude each other; set one of them";
            return Err(Fault::general(message).from(Some(origin)));
        }
        (Some(_), None) => ("smtps", ""),
        (None, Some(_)) => ("smtp", "?tls=required"),
        (None, None) => ("smtp", "?tls=none"),
    };
    let host = get("EMAIL_HOST").unwrap_or("localhost");
    let port = match get("EMAIL_PORT") {
        Some(port) => format!(":{port}"),
        None if use_ssl.is_some() => String::new(),
        None => ":25".to_owned(),
    };
    let user = match (get("EMAIL_HOST_USER"), variables.get("EMAIL_HOST_PASSWORD")) {
        (None, _) => String::new(),
        (Some(user), None) => format!("{}@", percent_encoded(user)),
        (Some(user), Some((password, _))) => {
            format!("{}:{}@", percent_encoded(user), percent_encoded(password))
        }
    };
    Ok(format!("{scheme}://{user}{host}{port}{tls}"))
}

/// Who set it, if it is set to true.
fn flag<'a>(variables: &'a Variables, name: &str) -> Result<Option<&'a Origin>, Fault> {
    let Some((text, origin)) = variables.get(name) else {
        return Ok(None);
    };
    match truth(text) {
        Some(set) => Ok(set.then_some(origin)),
        None => {
            let message = format!("{name} is not true or false");
            Err(Fault::general(message).from(Some(origin)))
        }
    }
}
