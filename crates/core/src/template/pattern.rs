//! Templates, read once, and what fills them.

use std::time::Duration;

use zeroize::Zeroizing;

use super::builtin::Builtin;
use super::{Occasion, TemplateFault, Templates, value};

/// A template that has been read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(String),
    Variable(Variable),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variable {
    Code,
    Service,
    Minutes,
    Lifetime,
    Purpose,
    PurposeNote,
}

impl Variable {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "code" => Self::Code,
            "service" => Self::Service,
            "minutes" => Self::Minutes,
            "lifetime" => Self::Lifetime,
            "purpose" => Self::Purpose,
            "purpose_note" => Self::PurposeNote,
            _ => return None,
        })
    }
}

/// What fills a template, each already harmless in a text.
pub(super) struct Values {
    code: Zeroizing<String>,
    service: String,
    minutes: String,
    lifetime: String,
    purpose: String,
    purpose_note: String,
}

impl Values {
    pub(super) fn new(service: &str, occasion: &Occasion<'_>, builtin: &Builtin) -> Self {
        let minutes = whole_minutes(occasion.lifetime).max(1);
        let purpose = value::purpose(builtin, occasion.purpose);
        let named = !occasion.purpose.is_default() && !purpose.is_empty();
        Self {
            code: Zeroizing::new(occasion.code.expose().to_owned()),
            service: service.to_owned(),
            minutes: minutes.to_string(),
            lifetime: lifetime(builtin, occasion.lifetime),
            purpose_note: if named {
                format!(" ({purpose})")
            } else {
                String::new()
            },
            purpose,
        }
    }

    fn get(&self, variable: Variable) -> &str {
        match variable {
            Variable::Code => &self.code,
            Variable::Service => &self.service,
            Variable::Minutes => &self.minutes,
            Variable::Lifetime => &self.lifetime,
            Variable::Purpose => &self.purpose,
            Variable::PurposeNote => &self.purpose_note,
        }
    }
}

/// What a message may overstate: a code of five minutes has a little less left when its message
/// leaves, and "4 minutes" would make everybody wonder.
const HAND_OVER: Duration = Duration::from_secs(5);

fn whole_minutes(span: Duration) -> u64 {
    span.saturating_add(HAND_OVER).as_secs() / 60
}

/// A span in the words of a language, longer than it is by [`HAND_OVER`] at most.
fn lifetime(builtin: &Builtin, span: Duration) -> String {
    match (whole_minutes(span), span.as_secs()) {
        (0, seconds) => (builtin.seconds)(seconds.max(1)),
        (minutes, _) => (builtin.minutes)(minutes),
    }
}

impl Pattern {
    /// Reads a template.
    pub(super) fn parse(template: &str) -> Result<Self, TemplateFault> {
        if template.trim().is_empty() {
            return Err(TemplateFault::Empty);
        }
        if template.len() > Templates::MAX_BYTES {
            return Err(TemplateFault::TooLong);
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = template;
        while let Some(brace) = rest.find(['{', '}']) {
            literal.push_str(&rest[..brace]);
            let (sign, after) = rest[brace..].split_at(1);
            if let Some(after) = after.strip_prefix(sign) {
                literal.push_str(sign);
                rest = after;
                continue;
            }
            let (name, after) = after.split_once('}').ok_or(TemplateFault::Brace)?;
            if sign == "}" || name.contains(['{', '\n']) {
                return Err(TemplateFault::Brace);
            }
            let variable = Variable::from_name(name)
                .ok_or_else(|| TemplateFault::Placeholder(name.to_owned()))?;
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Variable(variable));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self(parts))
    }

    pub(super) fn has_code(&self) -> bool {
        self.0.contains(&Part::Variable(Variable::Code))
    }

    /// As plain text.
    pub(super) fn text(&self, values: &Values) -> String {
        self.fill(values, |_, value, out| out.push_str(value))
    }

    /// As one line, for the subject of a mail.
    pub(super) fn line(&self, values: &Values) -> String {
        let text = Zeroizing::new(self.text(values));
        value::one_line(&text)
    }

    /// As HTML: what fills it is escaped.
    pub(super) fn html(&self, values: &Values) -> String {
        self.fill(values, |_, value, out| value::escape_html(value, out))
    }

    /// As a call says it: the code symbol by symbol.
    pub(super) fn speech(&self, values: &Values) -> String {
        self.fill(values, |variable, value, out| {
            if variable != Variable::Code {
                return out.push_str(value);
            }
            for (position, symbol) in value.chars().enumerate() {
                if position > 0 {
                    out.push_str(", ");
                }
                out.push(symbol);
            }
        })
    }

    fn fill(&self, values: &Values, put: impl Fn(Variable, &str, &mut String)) -> String {
        // Room for everything, so that no outgrown copy of the code stays behind.
        let room = self.0.iter().map(|part| match part {
            Part::Literal(literal) => literal.len(),
            Part::Variable(variable) => 6 * values.get(*variable).len(),
        });
        let mut filled = String::with_capacity(room.sum::<usize>() + WEBOTP_ROOM);
        for part in &self.0 {
            match part {
                Part::Literal(literal) => filled.push_str(literal),
                Part::Variable(variable) => put(*variable, values.get(*variable), &mut filled),
            }
        }
        filled
    }
}

/// Room for the lines that follow an SMS.
const WEBOTP_ROOM: usize = 300;
