//! Texts and what calls say: whether it is TwiML, and which code is in it.

/// The words of TwiML that a call may be made of.
const VERBS: [&str; 6] = ["Response", "Gather", "Say", "Pause", "Hangup", "Play"];

/// Whether a text is XML (of the small part that TwiML needs) with a `Response` around it.
pub(super) fn well_formed(twiml: &str) -> Result<(), &'static str> {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = twiml.trim();
    if let Some(declared) = rest.strip_prefix("<?xml") {
        rest = declared
            .split_once("?>")
            .map_or("", |(_, rest)| rest)
            .trim();
    }
    if !rest.starts_with("<Response>") {
        return Err("does not begin with <Response>");
    }
    while !rest.is_empty() {
        let Some(tag) = rest.strip_prefix('<') else {
            let end = rest.find('<').unwrap_or(rest.len());
            let (text, after) = rest.split_at(end);
            if open.is_empty() && !text.trim().is_empty() {
                return Err("has text outside of <Response>");
            }
            escaped(text)?;
            rest = after;
            continue;
        };
        let Some((tag, after)) = tag.split_once('>') else {
            return Err("has a tag without an end");
        };
        rest = after;
        if let Some(name) = tag.strip_prefix('/') {
            if open.pop() != Some(name.trim()) {
                return Err("has a tag that closes another");
            }
            continue;
        }
        let (tag, empty) = match tag.strip_suffix('/') {
            Some(tag) => (tag, true),
            None => (tag, false),
        };
        let (name, attributes) = tag.split_once(char::is_whitespace).unwrap_or((tag, ""));
        if !VERBS.contains(&name) {
            return Err("has a verb that is not known");
        }
        if attributes.matches('"').count() % 2 == 1 {
            return Err("has an attribute without an end");
        }
        escaped(attributes)?;
        if !empty {
            open.push(name);
        }
    }
    open.is_empty()
        .then_some(())
        .ok_or("has a tag that is never closed")
}

/// Whether every `&` begins one of the five entities of XML, or a number.
fn escaped(text: &str) -> Result<(), &'static str> {
    for after in text.split('&').skip(1) {
        let name = after.split(';').next().unwrap_or_default();
        let known = ["amp", "lt", "gt", "quot", "apos"].contains(&name) || name.starts_with('#');
        if !known || !after.contains(';') {
            return Err("has an & that is not escaped");
        }
    }
    match text
        .chars()
        .any(|sign| sign.is_control() && !"\t\n\r".contains(sign))
    {
        true => Err("has a character that XML cannot hold"),
        false => Ok(()),
    }
}

/// What a call says to whoever pressed the key: what stands in the last `Say`.
pub(super) fn said(twiml: &str) -> Option<String> {
    let (_, say) = twiml.rsplit_once("<Say")?;
    let (_, text) = say.split_once('>')?;
    let (text, _) = text.split_once("</Say>")?;
    let mut text = text.to_owned();
    for (entity, sign) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&apos;", "'"),
        ("&amp;", "&"),
    ] {
        text = text.replace(entity, sign);
    }
    Some(text)
}

/// The code in a text: the last `#…` of a last line that binds it to a site, else the longest run
/// of 4 to 10 letters and digits with a digit in it.
pub(super) fn code_in_text(text: &str) -> Option<String> {
    let last = text.lines().last().unwrap_or_default();
    if let (true, Some((_, code))) = (last.starts_with('@'), last.rsplit_once('#')) {
        return Some(code.trim().to_owned());
    }
    let words = text.split(|sign: char| !sign.is_ascii_alphanumeric());
    let like = |word: &&str| {
        (4..=10).contains(&word.len()) && word.bytes().any(|byte| byte.is_ascii_digit())
    };
    // Of two of one length the first: codes stand in front.
    let longest = words.filter(like).rev().max_by_key(|word| word.len())?;
    Some(longest.to_owned())
}

/// The code in what a call says: single signs with a comma and a space between.
pub(super) fn code_in_speech(text: &str) -> Option<String> {
    let mut longest = String::new();
    let mut run = String::new();
    for part in text.split(", ") {
        let last = part.chars().last().filter(char::is_ascii_alphanumeric);
        let first = part.chars().next().filter(char::is_ascii_alphanumeric);
        match (part.chars().count(), first, last) {
            (1, Some(sign), _) => run.push(sign),
            // The words in front of the code, and those behind it.
            (_, first, last) => {
                let ends = part
                    .chars()
                    .nth(1)
                    .is_some_and(|sign| !sign.is_alphanumeric());
                run.extend(first.filter(|_| ends && !run.is_empty()));
                if run.len() > longest.len() {
                    longest.clone_from(&run);
                }
                run.clear();
                let before = part.chars().rev().nth(1);
                let begins = before.is_some_and(char::is_whitespace);
                run.extend(last.filter(|_| begins));
            }
        }
    }
    if run.len() > longest.len() {
        longest = run;
    }
    (longest.len() >= 4).then_some(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_told_from_a_text_or_from_what_is_said() {
        for (text, code) in [
            (
                "402718 is your Example code. It expires in 5 min.",
                Some("402718"),
            ),
            ("Dein Code 2026: 402718", Some("402718")),
            ("K7Q2 ist Ihr Code\n\n@shop.example #K7Q2", Some("K7Q2")),
            ("1234 5678", Some("1234")),
            ("no code", None),
        ] {
            assert_eq!(code_in_text(text).as_deref(), code, "{text}");
        }
        for (text, code) in [
            (
                "Your code is: 4, 0, 2, 7, 1, 8. Again: 4, 0, 2, 7, 1, 8.",
                Some("402718"),
            ),
            ("Your Example code is 4, 0, 2, 7", Some("4027")),
            ("कोड 4, 0, 2, 7, 1, 8 है।", Some("402718")),
            ("4, 0, 2, 7, 1, 8 is it", Some("402718")),
            ("no code, no number", None),
        ] {
            assert_eq!(code_in_speech(text).as_deref(), code, "{text}");
        }
    }

    #[test]
    fn twiml_that_would_end_a_call_with_an_error_is_found() {
        let good =
            "<Response><Gather timeout=\"9\"><Say>a &amp; b</Say></Gather><Hangup/></Response>";
        assert_eq!(well_formed(good), Ok(()));
        for bad in [
            "",
            "hello",
            "<Response><Say>a & b</Say></Response>",
            "<Response><Say>a</Response></Say>",
            "<Response><Say>a</Say>",
            "<Response><Shout>a</Shout></Response>",
            "<Response><Say x=\"1>a</Say></Response>",
            "<Response></Response>x",
            "<Response><Say>\u{1}</Say></Response>",
            "<Response><Say",
        ] {
            assert!(well_formed(bad).is_err(), "{bad}");
        }
        assert_eq!(said(good).as_deref(), Some("a & b"));
    }
}
