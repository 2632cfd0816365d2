//! Settings as they were given: a tree whose every value knows where it came from.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::fault::Fault;
use super::origin::Origin;

/// A value and where it came from.
#[derive(Clone)]
pub(crate) struct Value {
    pub(crate) what: What,
    pub(crate) origin: Origin,
}

/// What a value is. Texts may be secret, so nothing here prints.
#[derive(Clone)]
pub(crate) enum What {
    /// A text of a file.
    Text(Zeroizing<String>),
    /// A text of the environment or a flag, which may stand for a number, a truth or a list.
    Loose(Zeroizing<String>),
    Integer(i64),
    Float(f64),
    Truth(bool),
    List(Vec<Value>),
    Table(Table),
}

/// Values by name.
pub(crate) type Table = BTreeMap<String, Value>;

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.what.kind(), self.origin)
    }
}

impl What {
    /// What a person calls it.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Loose(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Float(_) => "a fraction",
            Self::Truth(_) => "true or false",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

impl Value {
    /// A text.
    pub(crate) fn text(text: impl Into<String>, origin: Origin) -> Self {
        let what = What::Text(Zeroizing::new(text.into()));
        Self { what, origin }
    }

    /// A text that may stand for something else.
    pub(crate) fn loose(text: impl Into<String>, origin: Origin) -> Self {
        let what = What::Loose(Zeroizing::new(text.into()));
        Self { what, origin }
    }

    /// The text, if it is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.what {
            What::Text(text) | What::Loose(text) => Some(text),
            _ => None,
        }
    }

    /// The list or table that somebody wrote as TOML into a variable.
    pub(crate) fn as_toml(&self) -> Option<Self> {
        match &self.what {
            What::Loose(text) if looks_like_toml(text) => value_from_toml(text, &self.origin),
            _ => None,
        }
    }

    /// The list that a text with commas is, from where this value came.
    pub(crate) fn split(&self, text: &str) -> Self {
        let part = |part: &str| Self::loose(part.trim(), self.origin.clone());
        let parts = text.split(',').filter(|part| !part.trim().is_empty());
        Self {
            what: What::List(parts.map(part).collect()),
            origin: self.origin.clone(),
        }
    }

    /// The table, if it is one.
    pub(crate) fn as_table(&self) -> Option<&Table> {
        match &self.what {
            What::Table(table) => Some(table),
            _ => None,
        }
    }

    /// What is at a path such as `listeners.0.bind`.
    pub(crate) fn find(&self, path: &str) -> Option<&Self> {
        path.split('.')
            .try_fold(self, |value, step| match &value.what {
                What::Table(table) => table.get(step),
                What::List(list) => list.get(step.parse::<usize>().ok()?),
                _ => None,
            })
    }
}

/// Reads a file's settings.
///
/// # Errors
/// What is not TOML, with its line. The message quotes no part of the text.
pub(crate) fn from_toml(text: &str, file: &Path) -> Result<Table, Fault> {
    let file: Arc<Path> = file.into();
    let lines = Lines::new(text);
    let document = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| lines.at(span.start));
        let message = format!("is not valid TOML: {}", error.message());
        Fault::general(message).from(Some(&Origin::Line(Arc::clone(&file), line)))
    })?;
    table(document.get_ref(), &lines, &file)
}

/// Whether a text of a variable is meant to be a list or a table of TOML.
pub(crate) fn looks_like_toml(text: &str) -> bool {
    text.trim_start().starts_with(['[', '{'])
}

/// Reads what somebody wrote as one TOML value into a variable.
pub(crate) fn value_from_toml(text: &str, origin: &Origin) -> Option<Value> {
    fn convert(value: &DeValue<'_>, origin: &Origin) -> Option<Value> {
        let what = match value {
            DeValue::Array(list) => {
                let items = list.iter().map(|item| convert(item.get_ref(), origin));
                What::List(items.collect::<Option<_>>()?)
            }
            DeValue::Table(entries) => {
                let entries = entries.iter().map(|(name, value)| {
                    let value = convert(value.get_ref(), origin)?;
                    Some((name.get_ref().to_string(), value))
                });
                What::Table(entries.collect::<Option<_>>()?)
            }
            plain => scalar(plain)?,
        };
        let origin = origin.clone();
        Some(Value { what, origin })
    }
    let parsed = DeValue::parse(text).ok()?;
    convert(parsed.get_ref(), origin)
}

fn table(entries: &DeTable<'_>, lines: &Lines<'_>, file: &Arc<Path>) -> Result<Table, Fault> {
    let entries = entries.iter().map(|(name, entry)| {
        // A table begins where its header is, a value where its key is.
        let line = lines.at(name.span().start);
        let value = value(entry.get_ref(), line, lines, file)?;
        Ok((name.get_ref().to_string(), value))
    });
    entries.collect()
}

fn value(
    value: &DeValue<'_>,
    line: usize,
    lines: &Lines<'_>,
    file: &Arc<Path>,
) -> Result<Value, Fault> {
    let origin = Origin::Line(Arc::clone(file), line);
    let what = match value {
        DeValue::Table(entries) => What::Table(table(entries, lines, file)?),
        DeValue::Array(list) => {
            let items = list.iter().map(|item| {
                let line = lines.at(item.span().start).max(line);
                self::value(item.get_ref(), line, lines, file)
            });
            What::List(items.collect::<Result<_, _>>()?)
        }
        plain => scalar(plain).ok_or_else(|| {
            let message = "is a date or a number out of range, which no setting takes";
            Fault::general(message).from(Some(&origin))
        })?,
    };
    Ok(Value { what, origin })
}

fn scalar(value: &DeValue<'_>) -> Option<What> {
    Some(match value {
        DeValue::String(text) => What::Text(Zeroizing::new(text.to_string())),
        DeValue::Integer(number) => {
            What::Integer(i64::from_str_radix(number.as_str(), number.radix()).ok()?)
        }
        DeValue::Float(number) => What::Float(number.as_str().parse().ok()?),
        DeValue::Boolean(truth) => What::Truth(*truth),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => return None,
    })
}

/// Finds the line of an offset.
struct Lines<'a>(&'a str);

impl<'a> Lines<'a> {
    const fn new(text: &'a str) -> Self {
        Self(text)
    }

    fn at(&self, offset: usize) -> usize {
        let before = &self.0.as_bytes()[..offset.min(self.0.len())];
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }
}

/// Lays `over` above `base`: tables are merged, everything else takes the place of what was there.
pub(crate) fn merge(base: &mut Table, over: Table) {
    for (name, above) in over {
        let Some(below) = base.get_mut(&name) else {
            base.insert(name, above);
            continue;
        };
        lay(below, above);
    }
}

fn lay(below: &mut Value, above: Value) {
    match (&mut below.what, above.what) {
        (What::Table(below), What::Table(above)) => merge(below, above),
        // `WATCHWORD__LISTENERS__0__BIND` changes one entry, or adds the next.
        (What::List(list), What::Table(above)) if is_indexed(&above, list.len()) => {
            for (index, value) in above {
                match index
                    .parse()
                    .ok()
                    .and_then(|index: usize| list.get_mut(index))
                {
                    Some(entry) => lay(entry, value),
                    None => list.push(value),
                }
            }
        }
        (_, what) => {
            below.what = what;
            below.origin = above.origin;
        }
    }
}

/// Makes a list of a table whose names are the places 0, 1, … of a list.
pub(crate) fn as_list(value: &mut Value) {
    let What::Table(table) = &mut value.what else {
        return;
    };
    if table.is_empty() || !is_indexed(table, 0) {
        return;
    }
    let mut entries: Vec<_> = std::mem::take(table).into_iter().collect();
    entries.sort_by_key(|(index, _)| index.parse::<usize>().ok());
    let entries = entries.into_iter().map(|(_, value)| value);
    value.what = What::List(entries.collect());
}

/// Whether something is at a path such as `storage.url`.
pub(crate) fn has(table: &Table, path: &str) -> bool {
    let (first, rest) = path.split_once('.').unwrap_or((path, ""));
    let found = table.get(first);
    found.is_some_and(|value| rest.is_empty() || value.find(rest).is_some())
}

fn is_indexed(table: &Table, len: usize) -> bool {
    let mut indexes: Vec<usize> = table.keys().filter_map(|name| name.parse().ok()).collect();
    indexes.sort_unstable();
    let fresh = indexes.iter().filter(|index| **index >= len);
    let dense = fresh.enumerate().all(|(nth, index)| *index == len + nth);
    indexes.len() == table.len() && dense
}

/// A list of tables.
pub(crate) fn list(tables: Vec<Table>, origin: Origin) -> Value {
    let item = |table| Value {
        what: What::Table(table),
        origin: origin.clone(),
    };
    let what = What::List(tables.into_iter().map(item).collect());
    Value { what, origin }
}

/// Puts a value at a path such as `["storage", "url"]`; a value on the way gives way to a table.
pub(crate) fn set(table: &mut Table, path: &[&str], value: Value) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        table.insert((*first).to_owned(), value);
        return;
    }
    let empty = || Value {
        what: What::Table(Table::new()),
        origin: value.origin.clone(),
    };
    let entry = table.entry((*first).to_owned()).or_insert_with(empty);
    if entry.as_table().is_none() {
        *entry = empty();
    }
    if let What::Table(inner) = &mut entry.what {
        set(inner, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(table: Table) -> Value {
        Value {
            what: What::Table(table),
            origin: Origin::Dev,
        }
    }

    fn read(text: &str) -> Table {
        from_toml(text, Path::new("w.toml")).unwrap()
    }

    #[test]
    fn every_value_knows_its_line() {
        let tree = root(read(
            "a = 1\n\n[storage]\nurl = \"memory:\"\n[[listeners]]\nbind = \"x\"\n[[listeners]]\nbind = \"y\"\n",
        ));
        for (path, line) in [
            ("a", 1),
            ("storage", 3),
            ("storage.url", 4),
            ("listeners.1.bind", 8),
        ] {
            let origin = &tree.find(path).unwrap().origin;
            assert_eq!(
                *origin,
                Origin::Line(Path::new("w.toml").into(), line),
                "{path}"
            );
        }
    }

    #[test]
    fn what_is_not_toml_is_named_with_its_line_and_not_quoted() {
        let fault =
            from_toml("a = 1\nsecret_key = hunter2 oops\n", Path::new("w.toml")).unwrap_err();
        let text = fault.to_string();
        assert!(text.contains("w.toml:2"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn numbered_entries_are_a_list_in_their_order() {
        let mut table = Table::new();
        for index in 0..11 {
            let bind = Value::loose(format!("n{index}"), Origin::Dev);
            set(&mut table, &["listeners", &index.to_string(), "bind"], bind);
        }
        assert!(has(&table, "listeners.10.bind") && !has(&table, "listeners.11"));
        as_list(table.get_mut("listeners").unwrap());
        let tree = root(table);
        for (place, name) in [("2", "n2"), ("10", "n10")] {
            let bind = tree.find(&format!("listeners.{place}.bind")).unwrap();
            assert_eq!(bind.as_text(), Some(name));
        }
    }

    #[test]
    fn an_upper_layer_changes_what_it_names_and_nothing_else() {
        let mut base =
            read("[storage]\nurl = \"memory:\"\nmax_live = 5\n[[listeners]]\nbind = \"x\"\n");
        let mut over = read("[storage]\nurl = \"sqlite:a\"\n");
        set(
            &mut over,
            &["listeners", "0", "bind"],
            Value::loose("z", Origin::Dev),
        );
        merge(&mut base, over);
        let tree = root(base);
        assert_eq!(
            tree.find("storage.url").unwrap().as_text(),
            Some("sqlite:a")
        );
        assert!(tree.find("storage.max_live").is_some());
        assert_eq!(tree.find("listeners.0.bind").unwrap().as_text(), Some("z"));
    }
}
