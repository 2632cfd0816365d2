//! All of a recipient in one row: its ledger, and its verifications behind it.

use super::ledgers::{self, MOST_BESIDE};
use super::packed::{self, Packed};
use crate::compact::{Reader, bytes, framed};
use crate::digest::RecipientIndex;
use crate::id::VerificationId;
use crate::ledger::RecipientLedger;
use crate::verification::Verification;

/// What a handle has behind the beginning that it shares with its recipient's index.
type Tail = [u8; 12];

/// A recipient's row: `length of the ledger · ledger`, and then, of each of its verifications, `tail of the
/// handle (12) · length · packed`. A ledger that holds nothing has no length.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    index: RecipientIndex,
    row: &'a [u8],
}

/// One of the verifications in a place.
#[derive(Clone, Copy)]
pub(super) struct Held<'a> {
    tail: &'a Tail,
    packed: &'a [u8],
}

impl<'a> Held<'a> {
    pub(super) const fn packed(self) -> Packed<'a> {
        Packed(self.packed)
    }

    pub(super) fn id(self, index: RecipientIndex) -> VerificationId {
        handle(index, self.tail)
    }

    pub(super) fn open(self, index: RecipientIndex) -> Verification {
        self.packed().open(self.id(index), index)
    }

    fn write(self, out: &mut Vec<u8>) {
        out.extend(self.tail);
        bytes(out, self.packed);
    }
}

fn handle(index: RecipientIndex, tail: &Tail) -> VerificationId {
    let mut id = *index.as_bytes();
    id[4..].copy_from_slice(tail);
    VerificationId::from_bytes(id)
}

/// What tells `id` from the other handles of its recipient; nothing if it begins in another way.
fn tail(index: RecipientIndex, id: &VerificationId) -> Option<&Tail> {
    let (begin, tail) = id.as_bytes().split_first_chunk::<4>()?;
    let tail = tail.first_chunk()?;
    index.as_bytes().starts_with(begin).then_some(tail)
}

impl<'a> Place<'a> {
    /// The place of a recipient, in the row that is known of it, if any.
    pub(super) fn of(index: RecipientIndex, row: Option<&'a [u8]>) -> Self {
        let row = row.unwrap_or_default();
        Self { index, row }
    }

    /// Its ledger as it lies there, and the bytes behind it.
    fn halves(self) -> (&'a [u8], &'a [u8]) {
        let mut reader = Reader(self.row);
        let ledger = reader.bytes().unwrap_or_default();
        (ledger, reader.0)
    }

    pub(super) fn held(self) -> impl Iterator<Item = Held<'a>> {
        let mut reader = Reader(self.halves().1);
        std::iter::from_fn(move || {
            let tail = reader.array()?;
            let packed = reader.bytes()?;
            Some(Held { tail, packed })
        })
    }

    pub(super) fn find(self, id: &VerificationId) -> Option<Held<'a>> {
        let tail = tail(self.index, id)?;
        self.held().find(|held| held.tail == tail)
    }

    /// Whether there is room for one more: those of a recipient are few, and any number of them would be copied
    /// with each change of one.
    pub(super) fn has_room_for(self, id: &VerificationId) -> bool {
        tail(self.index, id).is_some() && self.held().count() < MOST_BESIDE
    }

    #[allow(clippy::expect_used, reason = "packed by this process, in this form")]
    pub(super) fn ledger(self) -> Option<RecipientLedger> {
        let (ledger, _) = self.halves();
        let beside = |number| {
            let held = self.held().nth(number)?;
            Some(handle(self.index, held.tail))
        };
        (!ledger.is_empty()).then(|| {
            ledgers::read(self.index, &mut Reader(ledger), beside)
                .expect("what was packed is read back")
        })
    }

    /// Writes the row with another ledger, if there is one, and this verification, for which there is room.
    pub(super) fn write(
        self,
        out: &mut Vec<u8>,
        ledger: Option<&RecipientLedger>,
        verification: Option<&Verification>,
    ) {
        let (known, rest) = self.halves();
        let changed = verification.and_then(|it| Some((tail(self.index, &it.id)?, it)));
        match ledger {
            Some(ledger) => {
                let new = changed.map(|(tail, _)| tail);
                let new = new.filter(|tail| self.held().all(|held| held.tail != *tail));
                self.write_ledger(out, ledger, |tail| {
                    let mut tails = self.held().map(|held| held.tail).chain(new);
                    tails.position(|beside| beside == tail)
                });
            }
            None => bytes(out, known),
        }
        let Some((tail, verification)) = changed else {
            out.extend(rest);
            return;
        };
        let write = |out: &mut Vec<u8>| {
            out.extend(tail);
            framed(out, |out| packed::write(out, verification));
        };
        let mut is_new = true;
        for held in self.held() {
            if held.tail == tail {
                is_new = false;
                write(out);
            } else {
                held.write(out);
            }
        }
        if is_new {
            write(out);
        }
    }

    /// The same as a row of its own.
    pub(super) fn written(
        self,
        ledger: Option<&RecipientLedger>,
        verification: Option<&Verification>,
    ) -> Vec<u8> {
        let mut row = Vec::new();
        self.write(&mut row, ledger, verification);
        row
    }

    /// Writes the row without some of what it holds.
    pub(super) fn write_kept(
        self,
        out: &mut Vec<u8>,
        keeps_ledger: bool,
        keeps: impl Fn(Held<'_>) -> bool,
    ) {
        let kept = || self.held().filter(|held| keeps(*held));
        // Its numbers count what lies beside it.
        let ledger = self.ledger().filter(|_| keeps_ledger).unwrap_or_default();
        self.write_ledger(out, &ledger, |tail| {
            kept().position(|held| held.tail == tail)
        });
        kept().for_each(|held| held.write(out));
    }

    fn write_ledger(
        self,
        out: &mut Vec<u8>,
        ledger: &RecipientLedger,
        beside: impl Fn(&Tail) -> Option<usize>,
    ) {
        framed(out, |out| {
            if *ledger != RecipientLedger::default() {
                ledgers::write(out, self.index, ledger, |id| beside(tail(self.index, &id)?));
            }
        });
    }
}

/// Whether a row holds nothing.
pub(super) fn is_empty(row: &[u8]) -> bool {
    row == [0]
}
