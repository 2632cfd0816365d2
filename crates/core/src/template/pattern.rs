//! Templates, read once, and what fills them.

use std::borrow::Cow;
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

/// What fills a template, each already harmless in a text. Made when it is asked for: most templates ask
/// for half of it.
pub(super) struct Values<'a> {
    service: &'a str,
    occasion: &'a Occasion<'a>,
    builtin: &'static Builtin,
}

impl<'a> Values<'a> {
    pub(super) const fn new(
        service: &'a str,
        occasion: &'a Occasion<'a>,
        builtin: &'static Builtin,
    ) -> Self {
        Self {
            service,
            occasion,
            builtin,
        }
    }

    fn get(&self, variable: Variable) -> Cow<'a, str> {
        let (builtin, occasion) = (self.builtin, self.occasion);
        match variable {
            Variable::Code => occasion.code.expose().into(),
            Variable::Service => self.service.into(),
            Variable::Minutes => whole_minutes(occasion.lifetime).max(1).to_string().into(),
            Variable::Lifetime => lifetime(builtin, occasion.lifetime).into(),
            Variable::Purpose => value::purpose(builtin, occasion.purpose),
            Variable::PurposeNote if occasion.purpose.is_default() => "".into(),
            Variable::PurposeNote => match value::purpose(builtin, occasion.purpose) {
                nothing if nothing.is_empty() => nothing,
                purpose => format!(" ({purpose})").into(),
            },
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

    /// As plain text, with room for so many bytes behind it.
    pub(super) fn text(&self, values: &Values<'_>, room: usize) -> String {
        self.fill(values, room, 1, |_, value, out| out.push_str(value))
    }

    /// As one line, for the subject of a mail.
    pub(super) fn line(&self, values: &Values<'_>) -> String {
        let text = Zeroizing::new(self.text(values, 0));
        value::one_line(&text)
    }

    /// As HTML: what fills it is escaped.
    pub(super) fn html(&self, values: &Values<'_>) -> String {
        let longest = "&quot;".len();
        self.fill(values, 0, longest, |_, value, out| {
            value::escape_html(value, out);
        })
    }

    /// As a call says it: the code symbol by symbol.
    pub(super) fn speech(&self, values: &Values<'_>) -> String {
        let longest = ", 0".len();
        self.fill(values, 0, longest, |variable, value, out| {
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

    /// `put` makes at most so many bytes of each byte.
    fn fill(
        &self,
        values: &Values<'_>,
        room: usize,
        growth: usize,
        put: impl Fn(Variable, &str, &mut String),
    ) -> String {
        let filling: Vec<_> = self.0.iter().map(|part| part.filling(values)).collect();
        // Room for everything, so that no outgrown copy of the code stays behind; and not much more, as all of
        // it is wiped.
        let length: usize = filling
            .iter()
            .map(|(variable, text)| text.len() * variable.map_or(1, |_| growth))
            .sum();
        let mut filled = String::with_capacity(length + room);
        let capacity = filled.capacity();
        for (variable, text) in &filling {
            match variable {
                None => filled.push_str(text),
                Some(variable) => put(*variable, text, &mut filled),
            }
        }
        debug_assert_eq!(filled.capacity(), capacity, "a copy stayed behind");
        filled
    }
}

impl Part {
    fn filling<'a>(&'a self, values: &Values<'a>) -> (Option<Variable>, Cow<'a, str>) {
        match self {
            Self::Literal(literal) => (None, literal.into()),
            Self::Variable(variable) => (Some(*variable), values.get(*variable)),
        }
    }
}
