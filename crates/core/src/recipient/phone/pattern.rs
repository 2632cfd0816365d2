//! Patterns of digits, as numbering plans are written in, read one table entry a digit.
//!
//! The patterns know digits, `\d`, classes, groups, alternatives and counted repetition, and
//! nothing that repeats without end. So each becomes a small table without loops. A regular
//! expression engine that is small enough for a server answers the same some hundred times slower,
//! and one that is as quick takes hundreds of megabytes for all countries.

use std::collections::HashMap;

/// The digits `0` to `9`, a bit each.
type Digits = u16;

const ANY: Digits = 0x3FF;
/// A pattern that would make more states than this is left to the library.
const MOST_STATES: usize = 20_000;

/// A pattern that tells which strings of digits are whole matches.
pub(super) struct DigitPattern {
    /// For each state the next one by digit. The first state is the end of all hope.
    next: Vec<[u16; 10]>,
    accepts: Vec<bool>,
    start: u16,
}

impl DigitPattern {
    /// Reads a pattern; nothing if it holds anything that none of the plans held so far.
    pub(super) fn compile(pattern: &str) -> Option<Self> {
        let mut reader = Reader(pattern.as_bytes());
        let tree = reader.either()?;
        if !reader.0.is_empty() {
            return None;
        }
        let mut steps = Steps::default();
        let first = steps.add(&tree, END)?;
        steps.table(first)
    }

    /// Whether the pattern describes all of these ASCII digits.
    pub(super) fn matches(&self, digits: &str) -> bool {
        let mut state = self.start;
        for digit in digits.bytes() {
            state = self.step(state, digit);
            if state == 0 {
                return false;
            }
        }
        self.accepts[usize::from(state)]
    }

    /// Whether the pattern describes the beginning of these ASCII digits.
    pub(super) fn begins(&self, digits: &str) -> bool {
        self.beginnings(digits).next().is_some()
    }

    /// How many of the first of these ASCII digits the pattern describes, in every way there is.
    pub(super) fn beginnings(&self, digits: &str) -> impl Iterator<Item = usize> {
        let mut state = self.start;
        let first = std::iter::once(state);
        let states = first.chain(digits.bytes().map(move |digit| {
            state = self.step(state, digit);
            state
        }));
        let alive = states.take_while(|state| *state != 0).enumerate();
        alive.filter_map(|(length, state)| self.accepts[usize::from(state)].then_some(length))
    }

    fn step(&self, state: u16, digit: u8) -> u16 {
        let digit = usize::from(digit.wrapping_sub(b'0'));
        self.next[usize::from(state)]
            .get(digit)
            .copied()
            .unwrap_or(0)
    }
}

/// A pattern as it is written.
enum Tree {
    One(Digits),
    Sequence(Vec<Tree>),
    Either(Vec<Tree>),
    Repeat(Box<Tree>, usize, usize),
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn eat(&mut self, text: &[u8]) -> bool {
        let rest = self.0.strip_prefix(text);
        rest.inspect(|rest| self.0 = rest).is_some()
    }

    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn either(&mut self) -> Option<Tree> {
        let mut ways = vec![self.sequence()?];
        while self.eat(b"|") {
            ways.push(self.sequence()?);
        }
        Some(Tree::Either(ways))
    }

    fn sequence(&mut self) -> Option<Tree> {
        let mut parts = Vec::new();
        while !matches!(self.0.first(), None | Some(b'|' | b')')) {
            let part = self.part()?;
            parts.push(self.repeated(part)?);
        }
        Some(Tree::Sequence(parts))
    }

    fn part(&mut self) -> Option<Tree> {
        if self.eat(b"(?:") || self.eat(b"(") {
            let inner = self.either()?;
            return self.eat(b")").then_some(inner);
        }
        if self.eat(b"\\d") {
            return Some(Tree::One(ANY));
        }
        match self.byte()? {
            b'[' => self.class().map(Tree::One),
            digit => bit(digit).map(Tree::One),
        }
    }

    fn class(&mut self) -> Option<Digits> {
        let mut class = 0;
        while !self.eat(b"]") {
            if self.eat(b"\\d") {
                class |= ANY;
                continue;
            }
            let first = self.byte()?;
            let last = if self.eat(b"-") { self.byte()? } else { first };
            for digit in first..=last {
                class |= bit(digit)?;
            }
        }
        Some(class)
    }

    fn repeated(&mut self, part: Tree) -> Option<Tree> {
        if self.eat(b"?") {
            return Some(Tree::Repeat(Box::new(part), 0, 1));
        }
        if !self.eat(b"{") {
            return Some(part);
        }
        let least = self.number()?;
        let most = if self.eat(b",") {
            self.number()?
        } else {
            least
        };
        (self.eat(b"}") && least <= most).then(|| Tree::Repeat(Box::new(part), least, most))
    }

    fn number(&mut self) -> Option<usize> {
        let length = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        let (number, rest) = self.0.split_at(length);
        self.0 = rest;
        let number = std::str::from_utf8(number).ok()?.parse().ok()?;
        // No number is longer.
        (number <= 32).then_some(number)
    }
}

fn bit(digit: u8) -> Option<Digits> {
    digit.is_ascii_digit().then(|| 1 << (digit - b'0'))
}

/// The end of the pattern.
const END: usize = 0;

/// What may come next at a place of the pattern.
#[derive(Clone)]
enum Step {
    End,
    One(Digits, usize),
    Fork(Vec<usize>),
}

struct Steps(Vec<Step>);

impl Default for Steps {
    fn default() -> Self {
        Self(vec![Step::End])
    }
}

impl Steps {
    fn push(&mut self, step: Step) -> Option<usize> {
        self.0.push(step);
        (self.0.len() <= MOST_STATES).then(|| self.0.len() - 1)
    }

    /// Adds what leads through `tree` to the step `then`; the first step of it.
    fn add(&mut self, tree: &Tree, then: usize) -> Option<usize> {
        match tree {
            Tree::One(digits) => self.push(Step::One(*digits, then)),
            Tree::Sequence(parts) => parts
                .iter()
                .rev()
                .try_fold(then, |then, part| self.add(part, then)),
            Tree::Either(ways) => {
                let ways = ways.iter().map(|way| self.add(way, then));
                let ways = ways.collect::<Option<_>>()?;
                self.push(Step::Fork(ways))
            }
            Tree::Repeat(part, least, most) => {
                let mut first = then;
                for _ in *least..*most {
                    let once = self.add(part, first)?;
                    first = self.push(Step::Fork(vec![once, then]))?;
                }
                (0..*least).try_fold(first, |then, _| self.add(part, then))
            }
        }
    }

    /// All steps that a digit or the end can be read at, from `steps` on, in order.
    fn open(&self, mut steps: Vec<usize>) -> Vec<usize> {
        let mut open = Vec::new();
        while let Some(step) = steps.pop() {
            match &self.0[step] {
                Step::Fork(ways) => steps.extend(ways),
                Step::End | Step::One(..) => open.push(step),
            }
        }
        open.sort_unstable();
        open.dedup();
        open
    }

    /// The table whose states are the sets of steps that can be reached.
    fn table(&self, first: usize) -> Option<DigitPattern> {
        let mut sets = vec![Vec::new(), self.open(vec![first])];
        let mut known: HashMap<Vec<usize>, u16> = HashMap::from([(Vec::new(), 0)]);
        known.insert(sets[1].clone(), 1);
        let (mut next, mut accepts) = (Vec::new(), Vec::new());
        let mut state = 0;
        while let Some(set) = sets.get(state).cloned() {
            accepts.push(set.contains(&END));
            let mut row = [0; 10];
            for (digit, entry) in row.iter_mut().enumerate() {
                let taken = set.iter().filter_map(|step| match &self.0[*step] {
                    Step::One(digits, then) if digits >> digit & 1 == 1 => Some(*then),
                    _ => None,
                });
                let reached = self.open(taken.collect());
                *entry = match known.get(&reached) {
                    Some(state) => *state,
                    None => {
                        let state = u16::try_from(sets.len()).ok()?;
                        known.insert(reached.clone(), state);
                        sets.push(reached);
                        state
                    }
                };
            }
            next.push(row);
            state += 1;
            if state > MOST_STATES {
                return None;
            }
        }
        Some(DigitPattern {
            next,
            accepts,
            start: 1,
        })
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> DigitPattern {
        DigitPattern::compile(text).unwrap()
    }

    #[test]
    fn a_pattern_matches_what_it_says_and_no_more() {
        let plan = pattern("(?:2[0-35]|9\\d)4?\\d{2,3}|7");
        for whole in ["2012", "20412", "254123", "99123", "7", "9041"] {
            assert!(plan.matches(whole), "{whole}");
        }
        for other in ["", "2", "2412", "77", "8123", "2541234", "20x2"] {
            assert!(!plan.matches(other), "{other}");
        }
    }

    #[test]
    fn a_beginning_is_enough_for_begins() {
        let lead = pattern("4[25]|600");
        assert!(lead.begins("42") && lead.begins("4512345") && lead.begins("6001"));
        assert!(!lead.begins("4") && !lead.begins("43") && !lead.begins("60") && !lead.begins(""));
        assert!(pattern("").begins("") && pattern("").begins("5") && !pattern("").matches("5"));
    }

    #[test]
    fn what_no_plan_is_written_in_is_left_to_the_library() {
        for foreign in [
            "a", "1*", "1+", ".", "1{2,}", "[^1]", "(1", "1)", "[1", "1{3,2}", "^1$",
        ] {
            assert!(DigitPattern::compile(foreign).is_none(), "{foreign}");
        }
    }

    #[test]
    fn repetition_that_would_explode_is_refused() {
        assert!(DigitPattern::compile("((((\\d{32}){32}){32}){32}){32}").is_none());
        let mut steps = Steps::default();
        assert!(steps.add(&Tree::One(ANY), END).is_some());
        assert_eq!(steps.len(), 2);
    }
}
