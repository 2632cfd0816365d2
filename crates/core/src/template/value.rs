//! What may fill a template: names and purposes that cannot change what a message says.

use std::borrow::Cow;

use super::builtin::Builtin;
use super::{InvalidTemplate, TemplateFault, Templates};
use crate::code::spelling;
use crate::purpose::Purpose;

/// The longest purpose in a message, in characters.
const MAX_PURPOSE_CHARS: usize = 40;

/// The name of a service, or what is wrong with it.
///
/// The operator chose it, so it is refused rather than changed. It may hold a dot, as some names
/// do, but no other part of a web address and nothing of the last line that binds a code to a site.
pub(super) fn service(raw: &str) -> Result<String, InvalidTemplate> {
    let fault = |fault| InvalidTemplate {
        setting: "service".to_owned(),
        fault,
    };
    let service = raw.trim();
    if service.is_empty() {
        return Err(fault(TemplateFault::Empty));
    }
    if service.chars().nth(Templates::MAX_SERVICE_CHARS).is_some() {
        return Err(fault(TemplateFault::TooLong));
    }
    let forbidden = |c| is_hidden(c) || is_line_end(c) || is_address_sign(c);
    if service.contains(forbidden) || service.to_lowercase().contains("www.") {
        return Err(fault(TemplateFault::Forbidden));
    }
    Ok(service.to_owned())
}

/// A purpose as a message names it: the word of the language for a usual one, else the caller's
/// text without anything that could be more than a few words.
pub(super) fn purpose(builtin: &Builtin, purpose: &Purpose) -> Cow<'static, str> {
    if let Some((_, word)) = builtin
        .purposes
        .iter()
        .find(|(name, _)| *name == purpose.as_str())
    {
        return Cow::Borrowed(word);
    }
    let mut harmless = String::new();
    for c in purpose.as_str().chars() {
        if is_hidden(c) {
            continue;
        }
        let apart = is_address_sign(c) || (is_dot(c) && c != '.');
        harmless.push(if apart { ' ' } else { c });
    }
    let words = harmless
        .split_whitespace()
        .map(without_inner_dots)
        .collect::<Vec<_>>();
    let harmless = one_line(&words.join(" "));
    harmless
        .chars()
        .take(MAX_PURPOSE_CHARS)
        .collect::<String>()
        .trim_end()
        .to_owned()
        .into()
}

/// A word that phones do not take for a link: dots only at its end, unless it is an amount.
fn without_inner_dots(word: &str) -> String {
    let amount = word.bytes().filter(|b| *b == b'.').count() == 1
        && word.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if amount {
        return word.to_owned();
    }
    let end = word.trim_end_matches('.').len();
    format!("{}{}", word[..end].replace('.', " "), &word[end..])
}

/// The words of a text with single spaces between them.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars().filter(|c| !c.is_control()));
    }
    line
}

/// Escapes a text for HTML, inside and outside of quoted attributes.
pub(super) fn escape_html(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(c),
        }
    }
}

fn is_hidden(c: char) -> bool {
    (c.is_control() && !c.is_whitespace()) || spelling::is_invisible(c)
}

fn is_line_end(c: char) -> bool {
    matches!(
        c,
        '\n' | '\r' | '\t' | '\u{B}' | '\u{C}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

fn is_address_sign(c: char) -> bool {
    matches!(
        c,
        '@' | '#'
            | '/'
            | '\\'
            | ':'
            | '?'
            | '='
            | '<'
            | '>'
            | '%'
            | '\u{FF20}'
            | '\u{FF03}'
            | '\u{FF0F}'
            | '\u{FF1A}'
    )
}

/// Characters that software takes for the dot of a domain name.
fn is_dot(c: char) -> bool {
    matches!(c, '.' | '\u{3002}' | '\u{FF0E}' | '\u{FF61}' | '\u{2024}')
}
