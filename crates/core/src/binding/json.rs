//! JSON text to bytes that are equal exactly when the values are.
//!
//! Every encoding starts with its kind and says its length or count, so none is the beginning of
//! another and different values never meet.

use super::{BindingDigest, BindingFault, InvalidBinding};

/// Encodes one JSON value that is the whole of `text`.
pub(super) fn encode(text: &str) -> Result<Vec<u8>, InvalidBinding> {
    let mut reader = Reader {
        rest: text,
        path: Vec::new(),
    };
    if text.len() > BindingDigest::MAX_BYTES {
        return Err(reader.fault(BindingFault::Size));
    }
    let mut encoded = Vec::with_capacity(text.len());
    reader.value(&mut encoded)?;
    reader.skip_space();
    if reader.rest.is_empty() {
        Ok(encoded)
    } else {
        Err(reader.fault(BindingFault::Syntax))
    }
}

struct Reader<'a> {
    rest: &'a str,
    /// The members and elements that lead to the value being read.
    path: Vec<Step>,
}

enum Step {
    Member(String),
    Element(usize),
}

impl<'a> Reader<'a> {
    fn fault(&self, fault: BindingFault) -> InvalidBinding {
        let mut pointer = String::new();
        for step in &self.path {
            pointer.push('/');
            match step {
                Step::Member(name) => pointer.push_str(&name.replace('~', "~0").replace('/', "~1")),
                Step::Element(index) => pointer.push_str(&index.to_string()),
            }
        }
        InvalidBinding { pointer, fault }
    }

    fn syntax<T>(&self) -> Result<T, InvalidBinding> {
        Err(self.fault(BindingFault::Syntax))
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    /// Takes `token` if it comes next.
    fn take(&mut self, token: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(token) else {
            return false;
        };
        self.rest = rest;
        true
    }

    fn value(&mut self, out: &mut Vec<u8>) -> Result<(), InvalidBinding> {
        self.skip_space();
        match self.rest.as_bytes().first() {
            Some(b'n') if self.take("null") => out.push(b'z'),
            Some(b't') if self.take("true") => out.push(b't'),
            Some(b'f') if self.take("false") => out.push(b'f'),
            Some(b'"') => put(out, b's', self.string()?.as_bytes()),
            Some(b'-' | b'0'..=b'9') => {
                let number = self.number()?;
                put(out, b'n', number.as_bytes());
            }
            Some(b'[' | b'{') if self.path.len() >= BindingDigest::MAX_DEPTH => {
                return Err(self.fault(BindingFault::Depth));
            }
            Some(b'[') => self.array(out)?,
            Some(b'{') => self.object(out)?,
            _ => return self.syntax(),
        }
        Ok(())
    }

    fn array(&mut self, out: &mut Vec<u8>) -> Result<(), InvalidBinding> {
        self.rest = &self.rest[1..];
        let mut elements = Vec::new();
        let mut count = 0;
        self.skip_space();
        if !self.take("]") {
            loop {
                self.path.push(Step::Element(count));
                self.value(&mut elements)?;
                self.path.pop();
                count += 1;
                self.skip_space();
                if self.take("]") {
                    break;
                }
                if !self.take(",") {
                    return self.syntax();
                }
            }
        }
        put_count(out, b'a', count);
        out.append(&mut elements);
        Ok(())
    }

    fn object(&mut self, out: &mut Vec<u8>) -> Result<(), InvalidBinding> {
        self.rest = &self.rest[1..];
        let mut members: Vec<(String, Vec<u8>)> = Vec::new();
        self.skip_space();
        if !self.take("}") {
            loop {
                self.skip_space();
                if !self.rest.starts_with('"') {
                    return self.syntax();
                }
                let name = self.string()?;
                self.skip_space();
                if !self.take(":") {
                    return self.syntax();
                }
                let mut encoded = Vec::new();
                self.path.push(Step::Member(name.clone()));
                self.value(&mut encoded)?;
                self.path.pop();
                members.push((name, encoded));
                self.skip_space();
                if self.take("}") {
                    break;
                }
                if !self.take(",") {
                    return self.syntax();
                }
            }
        }
        members.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        if let Some(twins) = members.array_windows::<2>().find(|[a, b]| a.0 == b.0) {
            self.path.push(Step::Member(twins[0].0.clone()));
            return Err(self.fault(BindingFault::Duplicate));
        }
        put_count(out, b'o', members.len());
        for (name, encoded) in &members {
            put(out, b's', name.as_bytes());
            out.extend_from_slice(encoded);
        }
        Ok(())
    }

    /// Reads a string whose opening quote comes next.
    fn string(&mut self) -> Result<String, InvalidBinding> {
        let mut read = String::new();
        let mut chars = self.rest[1..].chars();
        loop {
            match chars.next() {
                Some('"') => break,
                Some('\\') => match chars.next() {
                    Some(same @ ('"' | '\\' | '/')) => read.push(same),
                    Some('b') => read.push('\u{8}'),
                    Some('f') => read.push('\u{C}'),
                    Some('n') => read.push('\n'),
                    Some('r') => read.push('\r'),
                    Some('t') => read.push('\t'),
                    Some('u') => {
                        let (c, rest) =
                            unescape(chars.as_str()).map_err(|fault| self.fault(fault))?;
                        read.push(c);
                        chars = rest.chars();
                    }
                    _ => return self.syntax(),
                },
                Some(c) if c >= ' ' => read.push(c),
                _ => return self.syntax(),
            }
        }
        self.rest = chars.as_str();
        Ok(read)
    }

    /// Reads a number, as its sign, its digits without zeros at either end, and the power of ten.
    fn number(&mut self) -> Result<String, InvalidBinding> {
        let negative = self.take("-");
        let whole = self.digits();
        if whole.is_empty() || (whole.len() > 1 && whole.starts_with('0')) {
            return self.syntax();
        }
        let mut fraction = "";
        if self.take(".") {
            fraction = self.digits();
            if fraction.is_empty() {
                return self.syntax();
            }
        }
        let mut power = 0_i64;
        let mut power_fits = true;
        if self.take("e") || self.take("E") {
            let downwards = self.take("-");
            if !downwards {
                self.take("+");
            }
            let digits = self.digits();
            if digits.is_empty() {
                return self.syntax();
            }
            let digits = digits.trim_start_matches('0');
            power_fits = digits.len() <= 18;
            if power_fits {
                // Only no digits at all fail here, and those are a zero.
                power = digits.parse().unwrap_or(0);
            }
            power *= if downwards { -1 } else { 1 };
        }
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_start_matches('0').trim_end_matches('0');
        if significant.is_empty() {
            return Ok("0".to_owned());
        }
        if !power_fits {
            return Err(self.fault(BindingFault::Exponent));
        }
        // Lengths are bounded by the size of the text, powers by 18 digits: no sum overflows.
        let trailing_zeros = digits.len() - digits.trim_end_matches('0').len();
        let power = power - fraction.len() as i64 + trailing_zeros as i64;
        let sign = if negative { "-" } else { "" };
        Ok(format!("{sign}{significant}e{power}"))
    }

    fn digits(&mut self) -> &'a str {
        let end = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.rest.split_at(end);
        self.rest = rest;
        digits
    }
}

/// The character behind `\u`, and what follows it.
fn unescape(text: &str) -> Result<(char, &str), BindingFault> {
    let (unit, rest) = hex_unit(text)?;
    let pair = match unit {
        0xD800..=0xDBFF => {
            let low = rest.strip_prefix("\\u").ok_or(BindingFault::Surrogate)?;
            let (low, rest) = hex_unit(low)?;
            if !(0xDC00..=0xDFFF).contains(&low) {
                return Err(BindingFault::Surrogate);
            }
            (0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00), rest)
        }
        _ => (unit, rest),
    };
    Ok((
        char::from_u32(pair.0).ok_or(BindingFault::Surrogate)?,
        pair.1,
    ))
}

fn hex_unit(text: &str) -> Result<(u32, &str), BindingFault> {
    let digits = text.get(..4).ok_or(BindingFault::Syntax)?;
    if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(BindingFault::Syntax);
    }
    let unit = u32::from_str_radix(digits, 16).map_err(|_| BindingFault::Syntax)?;
    Ok((unit, &text[4..]))
}

fn put(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    put_count(out, kind, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_count(out: &mut Vec<u8>, kind: u8, count: usize) {
    out.push(kind);
    out.extend_from_slice(&(count as u64).to_be_bytes());
}
