//! Which providers a channel has, and in which order they are tried.

use crate::recipient::Recipient;

/// The providers of one channel in the order tried, with other orders for some countries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route<P> {
    default: Vec<P>,
    /// Digits without the plus, longest first.
    prefixes: Vec<(String, Vec<P>)>,
}

impl<P> Route<P> {
    /// A route that is the same for every recipient.
    #[must_use]
    pub const fn new(providers: Vec<P>) -> Self {
        Self {
            default: providers,
            prefixes: Vec::new(),
        }
    }

    /// The same with other providers for numbers that begin with `prefix`, such as `+49` or
    /// `+1684`. The longest prefix wins.
    ///
    /// # Errors
    /// [`InvalidPrefix`] when it is not a plus and one to seven digits, or is there already.
    pub fn with_prefix(mut self, prefix: &str, providers: Vec<P>) -> Result<Self, InvalidPrefix> {
        let digits = prefix.strip_prefix('+').ok_or(InvalidPrefix)?;
        let fits = (1..=7).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
        if !fits || self.prefixes.iter().any(|(known, _)| known == digits) {
            return Err(InvalidPrefix);
        }
        self.prefixes.push((digits.to_owned(), providers));
        self.prefixes
            .sort_by_key(|(digits, _)| std::cmp::Reverse(digits.len()));
        Ok(self)
    }

    /// The providers for a recipient, in the order tried.
    #[must_use]
    pub fn providers(&self, to: &Recipient) -> &[P] {
        let number = to.canonical().strip_prefix('+');
        let special = number.and_then(|number| {
            self.prefixes
                .iter()
                .find(|(prefix, _)| number.starts_with(prefix.as_str()))
        });
        special.map_or(&self.default, |(_, providers)| providers)
    }

    /// Every list of providers: the default one first.
    pub fn lists(&self) -> impl Iterator<Item = &[P]> {
        let special = self.prefixes.iter().map(|(_, list)| list.as_slice());
        std::iter::once(self.default.as_slice()).chain(special)
    }

    /// The same route with each provider replaced.
    ///
    /// # Errors
    /// The first one that `replace` gives.
    pub fn try_map<Q, E>(self, mut replace: impl FnMut(P) -> Result<Q, E>) -> Result<Route<Q>, E> {
        let mut list = |providers: Vec<P>| -> Result<Vec<Q>, E> {
            providers.into_iter().map(&mut replace).collect()
        };
        Ok(Route {
            default: list(self.default)?,
            prefixes: self
                .prefixes
                .into_iter()
                .map(|(prefix, providers)| Ok((prefix, list(providers)?)))
                .collect::<Result<_, E>>()?,
        })
    }
}

/// The text is no country prefix, or the route has it already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is not a country prefix such as +49, or is there twice")]
pub struct InvalidPrefix;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_chooses_the_providers() {
        let route = Route::new(vec!["world"])
            .with_prefix("+1", vec!["america"])
            .unwrap()
            .with_prefix("+1684", vec!["samoa"])
            .unwrap();
        let chosen = |to: &str| route.providers(&Recipient::from_canonical(to)).to_vec();
        assert_eq!(chosen("+16846335555"), ["samoa"]);
        assert_eq!(chosen("+12015550123"), ["america"]);
        assert_eq!(chosen("+4915112345678"), ["world"]);
        assert_eq!(chosen("ann@example.com"), ["world"]);
    }

    #[test]
    fn the_longest_prefix_wins_in_whatever_order_they_were_given() {
        let prefixes = ["+1", "+16", "+168", "+1684", "+4", "+49"];
        for turn in 0..prefixes.len() {
            let mut given = prefixes;
            given.rotate_left(turn);
            let route = given
                .into_iter()
                .try_fold(Route::new(vec!["+"]), |route, prefix| {
                    route.with_prefix(prefix, vec![prefix])
                })
                .unwrap();
            for (to, chosen) in [
                ("+16846335555", "+1684"),
                ("+16833335555", "+168"),
                ("+16133335555", "+16"),
                ("+12015550123", "+1"),
                ("+4915112345678", "+49"),
                ("+447700900123", "+4"),
                ("+33612345678", "+"),
            ] {
                let providers = route.providers(&Recipient::from_canonical(to));
                assert_eq!(providers, [chosen], "{to}");
            }
        }
    }

    #[test]
    fn a_prefix_is_a_plus_and_a_few_digits_once() {
        for odd in ["49", "+", "+12345678", "+4 9", "+4x", ""] {
            let route = Route::new(vec![1]).with_prefix(odd, vec![2]);
            assert_eq!(route, Err(InvalidPrefix), "{odd:?}");
        }
        let once = Route::new(vec![1]).with_prefix("+49", vec![2]).unwrap();
        assert_eq!(once.with_prefix("+49", vec![3]), Err(InvalidPrefix));
    }
}
