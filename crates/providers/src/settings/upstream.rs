//! What the settings of all HTTP accounts have in common.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use reqwest::header::HeaderValue;

use super::Fault;
use crate::http::Sender;
use crate::secret::Secret;

/// Reads `base_url`: HTTPS, or plain HTTP to this machine.
pub(crate) fn base_url(given: Option<&str>, default: &'static str) -> Result<Url, Fault> {
    let wrong = |fault: &str| ("base_url", fault.to_owned());
    let url = Url::parse(given.unwrap_or(default))
        .map_err(|_| wrong(&format!("is not a URL; the default is {default}")))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "has a user or password; credentials have settings of their own",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong(
            "has a query or fragment; it is the part before the path",
        ));
    }
    if !Sender::admits(&url) {
        return Err(wrong("is not https; plain http is for this machine only"));
    }
    Ok(url)
}

/// The address of `path`, which begins with a slash, below a base.
pub(crate) fn below(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
    url
}

/// A header value that no log shows.
pub(crate) fn secret_header(setting: &'static str, value: &str) -> Result<HeaderValue, Fault> {
    let visible = !value.is_empty()
        && value
            .bytes()
            .all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let value = visible.then(|| HeaderValue::from_str(value).ok()).flatten();
    let mut value = value.ok_or_else(|| {
        let fault = "is empty or has a character that no header can carry";
        (setting, fault.to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// `Bearer …` (RFC 6750).
pub(crate) fn bearer(setting: &'static str, token: &Secret) -> Result<HeaderValue, Fault> {
    let token = plain(setting, token.expose())?;
    secret_header(setting, &format!("Bearer {token}"))
}

/// `Basic …` (RFC 7617).
pub(crate) fn basic(
    setting: &'static str,
    user: &str,
    password: &Secret,
) -> Result<HeaderValue, Fault> {
    let pair = zeroize::Zeroizing::new(format!("{user}:{}", plain(setting, password.expose())?));
    secret_header(
        setting,
        &format!("Basic {}", STANDARD.encode(pair.as_bytes())),
    )
}

/// A text without spaces at its ends, of visible characters.
pub(crate) fn plain<'a>(setting: &'static str, text: &'a str) -> Result<&'a str, Fault> {
    let text = text.trim();
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err((setting, "is empty or has control characters".to_owned()));
    }
    Ok(text)
}

/// A number as providers want it: `+` and 7 to 15 digits.
pub(crate) fn is_number(text: &str) -> bool {
    text.strip_prefix('+')
        .is_some_and(|digits| (7..=15).contains(&digits.len()) && is_digits(digits))
}

/// One or more ASCII digits.
pub(crate) fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}
