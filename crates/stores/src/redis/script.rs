//! The steps as Redis runs them: scripts in Lua, each one atomic, each in one slot.
//!
//! They restate the rules of [`watchword_core::step`]; the model-based test holds them to the same
//! outcomes. A few choices are theirs:
//!
//! - **Rows are packed arrays** (MessagePack, which Redis brings along), read and written by the
//!   scripts alone. What a node gets is an answer of the protocol.
//! - **Only the first key is named by the caller** where the others follow from a row. They bear
//!   the same tag, and so are in the same slot.
//! - **A check joins SHA-256 in Lua.** What is kept of a code binds id, recipient, channel and
//!   purpose, and a node that checks by id knows the id only. Asking first would cost a second
//!   round trip; keeping the node's half of the digest in the store would hand a thief all that
//!   the pepper is for. SHA-256 over those two blocks takes Lua about a fifth of a millisecond.
//!   So nodes remember the places of what they lately sent ([`super::places`]) and bring the
//!   joined digest along; where the place is that of the row, the script only compares.
//! - **The comparison takes no constant time**, and need not: what is compared is a digest under
//!   a pepper, whose bytes a guesser can neither choose nor predict.

use std::sync::LazyLock;

use redis::{Cmd, Script as Source};

/// A step: its text, and the hash that names it to the server.
pub(super) struct Script {
    source: Source,
    text: &'static str,
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
        let mut command = if whole {
            let mut command = redis::cmd("EVAL");
            command.arg(self.text);
            command
        } else {
            let mut command = redis::cmd("EVALSHA");
            command.arg(self.source.get_hash());
            command
        };
        command.arg(keys.len());
        for part in keys.iter().chain(arguments) {
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
    START = true: "arguments" "log" "row" "ledger" "send" "start";
    RESEND = true: "arguments" "log" "row" "ledger" "send" "resend";
    CHECK = true: "arguments" "log" "row" "ledger" "sha256" "check";
    READ = false: "arguments" "log" "row" "ledger" "read";
    CANCEL = true: "arguments" "row" "cancel";
    WITHDRAW = true: "arguments" "log" "row" "ledger" "withdraw";
    FAIL = true: "arguments" "row" "fail";
    NOTE = true: "arguments" "row" "note";
    FALL_BACK = true: "arguments" "row" "fall_back";
    UNLOCK = true: "arguments" "log" "ledger" "unlock";
    CHARGE = true: "arguments" "log" "charge";
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
}
