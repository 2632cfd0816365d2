//! The steps as Redis runs them: scripts in Lua, each one atomic, each in one slot.
//!
//! They restate the rules of [`watchword_core::step`]; the model-based test holds them to the same
//! outcomes. A few choices are theirs:
//!
//! - **What is kept is packed**, read and written by the scripts alone (`lua/place.lua` says how),
//!   and so is what a node says and hears: a script spends most of its time on its arguments, its
//!   answer and the keys that it looks at. A start looks at two keys and writes one.
//! - **Only the first key is named by the caller** where the others follow from a row. They bear
//!   the same tag, and so are in the same slot.
//! - **What a check compares is joined by the server.** What is kept of a code binds id, recipient,
//!   channel and purpose, and a node that checks by id knows the id only. SHA-256 in Lua takes
//!   twenty times as long as all the rest of a check, but SHA-1 is there. So a row has a short
//!   digest beside that of every store (`lua/place.lua`).
//!
//!   SHA-1 is good for that. Its input begins with 160 bits that nobody can compute without the
//!   pepper ([`watchword_core::Candidate::at_place`]): who reads the store cannot try codes. What SHA-1 is
//!   known to lack, that nobody finds two inputs of one hash, is of no use here, as it would take
//!   an input for a hash that is given, and its secret part is neither known nor chosen. And it only
//!   decides what is worth a look: the node that is told of an approval compares the digest by
//!   SHA-256, which binds the same, and where that is another one, nothing is approved.
//!
//!   Keeping what the node says in the store, unhashed, would show which codes are alike, and
//!   would match wherever it is moved.
//! - **The comparison takes no constant time**, and need not: what is compared is a digest under
//!   a pepper, whose bytes a guesser can neither choose nor predict.

use std::sync::LazyLock;

use redis::{Cmd, Script as Source};

/// A step: its text, and the hash that names it to the server.
pub(super) struct Script {
    source: Source,
    pub(super) text: &'static str,
    /// Whether replicas have to hear of it.
    pub(super) writes: bool,
}

impl Script {
    fn new(text: &'static str, writes: bool) -> Self {
        Self {
            source: Source::new(text),
            text,
            writes,
        }
    }

    /// The command that calls it, by its hash or with its whole text.
    pub(super) fn command(&self, whole: bool, keys: &[Vec<u8>], arguments: &[Vec<u8>]) -> Cmd {
        let (name, script) = match whole {
            true => ("EVAL", self.text),
            false => ("EVALSHA", self.source.get_hash()),
        };
        let parts = || keys.iter().chain(arguments);
        let size = parts().map(Vec::len).sum::<usize>();
        // Of their number there are two digits at most.
        let mut command =
            Cmd::with_capacity(3 + parts().count(), name.len() + script.len() + 2 + size);
        command.arg(name).arg(script).arg(keys.len());
        for part in parts() {
            command.arg(part.as_slice());
        }
        command
    }
}

macro_rules! scripts {
    ($($(#[$about:meta])* $name:ident = $writes:literal: $($part:literal)+;)+) => { $(
        $(#[$about])*
        pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            let text = concat!($(include_str!(concat!("lua/", $part, ".lua"))),+);
            Script::new(text, $writes)
        });
    )+ };
}

scripts! {
    START = true: "clock" "log" "place" "by_recipient" "start" "lock" "refuses" "make" "keep" "started";
    /// With the charge of its source, where one server keeps both.
    START_PAID = true:
        "clock" "log" "source_refuses" "place" "by_recipient" "start" "lock" "refuses" "make" "keep" "source_pays"
        "started_paid";
    RESEND = true: "clock" "log" "place" "by_id" "known" "resend" "lock" "refuses" "renew" "keep" "renewed";
    /// With the charge of its source, where one server keeps both.
    RESEND_PAID = true:
        "clock" "log" "source_refuses" "place" "by_id" "known" "resend" "lock" "refuses" "renew" "keep" "source_pays"
        "renewed_paid";
    CHECK = true: "clock" "log" "place" "by_id" "known" "failures" "check" "lock" "compare" "told";
    CHECK_NEWEST = true:
        "clock" "log" "place" "by_recipient" "known" "failures" "check" "lock" "compare" "told";
    READ = false: "clock" "place" "by_id" "known" "read" "told";
    READ_NEWEST = false: "clock" "place" "by_recipient" "known" "read" "told";
    CANCEL = true: "clock" "place" "by_id" "known" "cancel" "told";
    WITHDRAW = true: "clock" "place" "by_id" "withdraw";
    FAIL = true: "clock" "place" "by_id" "fail";
    NOTE = true: "clock" "place" "by_id" "note";
    FALL_BACK = true: "clock" "place" "by_id" "fall_back" "told";
    UNLOCK = true: "clock" "failures" "unlock";
    CHARGE = true: "clock" "log" "charge" "source_refuses" "source_pays" "charged";
    GIVE_BACK = true: "clock" "give_back";
    CLAIM = true: "arguments" "claim";
    FINISH = true: "arguments" "finish";
    NAME = true: "arguments" "name";
    LOCATE = false: "arguments" "locate";
    EXPECT = true: "arguments" "expect";
    DUE = false: "arguments" "due";
    SETTLE = true: "arguments" "settle";
    API_KEYS = false: "api_keys";
    ADD_API_KEY = true: "add_api_key";
    REVOKE_API_KEY = true: "arguments" "revoke_api_key";
    REMEMBER_KEYS = true: "remember_keys";
    MARK = true: "mark";
    EXCHANGE = true: "exchange";
    HELD = false: "held";
    SOURCE = false: "source";
    PUT_NAME = true: "put_name";
    PUT_ANSWER = true: "put_answer";
}
