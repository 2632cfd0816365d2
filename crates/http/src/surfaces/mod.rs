//! The dialects. A surface translates: its own wire types, its own error bodies, no rule.

pub(crate) mod native;
