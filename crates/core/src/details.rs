//! What a verification has to remember in a form that can be read again, sealed.

use std::time::Duration;

use zeroize::Zeroizing;

use crate::binding::BindingDigest;
use crate::channel::Channel;
use crate::code::{Alphabet, Code, CodeFormat};
use crate::compact::{Reader, bytes, number};
use crate::entropy::{Entropy, EntropyError};
use crate::id::VerificationId;
use crate::keys::{KeyRing, Sealed, Unsealable};
use crate::recipient::Recipient;

/// What a resend, a fallback or an answer needs of a verification beside its counters.
///
/// It names the recipient, so it only ever leaves the process sealed for one verification.
#[derive(Clone)]
pub struct Details {
    /// Whom the code goes to; nobody where the caller hands it over by itself.
    pub to: Option<Recipient>,
    /// The channels to try, in order.
    pub channels: Vec<Channel>,
    /// The language that the caller asked for.
    pub locale: Option<String>,
    /// What the caller attached and has to repeat.
    pub binding: BindingDigest,
    /// What a fresh code looks like.
    pub format: CodeFormat,
    /// How long a fresh code lives.
    pub ttl: Duration,
    /// How many guesses a fresh code bears.
    pub max_attempts: u32,
    /// What the caller wants to find again.
    pub metadata: Option<serde_json::Value>,
    /// Whether the caller asked for a long session.
    pub remember_me: bool,
    /// The code itself, where another channel may have to carry the same one later.
    pub code: Option<Code>,
}

/// The form that details are written in, their first byte. Never `{`.
const FORM: u8 = 1;

const TO: u8 = 1;
const LOCALE: u8 = 1 << 1;
const BINDING: u8 = 1 << 2;
const METADATA: u8 = 1 << 3;
const REMEMBER_ME: u8 = 1 << 4;
const CODE: u8 = 1 << 5;

const ALPHABETS: [Alphabet; 2] = [Alphabet::Digits, Alphabet::Alphanumeric];

impl Details {
    /// Seals them for one verification.
    ///
    /// # Errors
    /// When the source of randomness fails.
    pub fn seal(
        &self,
        id: VerificationId,
        keys: &KeyRing,
        entropy: &dyn Entropy,
    ) -> Result<Sealed, EntropyError> {
        keys.seal(id.as_bytes(), &self.written(), entropy)
    }

    /// Each verification in memory holds this, so it is short: what is not there takes no room.
    fn written(&self) -> Zeroizing<Vec<u8>> {
        let metadata = self.metadata.as_ref().map(serde_json::Value::to_string);
        let flag = |there: bool, flag: u8| if there { flag } else { 0 };
        let flags = flag(self.to.is_some(), TO)
            | flag(self.locale.is_some(), LOCALE)
            | flag(!self.binding.is_none(), BINDING)
            | flag(metadata.is_some(), METADATA)
            | flag(self.remember_me, REMEMBER_ME)
            | flag(self.code.is_some(), CODE);
        let code = self.code.as_ref().map(Code::expose);
        let to = self.to.as_ref().map(Recipient::canonical);
        let texts = [to, self.locale.as_deref(), code, metadata.as_deref()];
        let texts = || texts.into_iter().flatten();
        // Room for everything, so that growing leaves no copy behind; and not much more, as all of it is wiped.
        let room = LONGEST_HEAD + self.channels.len() + texts().map(room_of).sum::<usize>();
        let mut out = Zeroizing::new(Vec::with_capacity(room));
        let capacity = out.capacity();
        let alphabet = ALPHABETS
            .iter()
            .position(|one| *one == self.format.alphabet);
        out.extend([FORM, flags, small(alphabet), self.format.length]);
        number(
            &mut out,
            u64::try_from(self.ttl.as_millis()).unwrap_or(u64::MAX),
        );
        number(&mut out, u64::from(self.max_attempts));
        number(&mut out, self.channels.len() as u64);
        out.extend(
            self.channels
                .iter()
                .map(|channel| small(Channel::ALL.iter().position(|one| one == channel))),
        );
        if flags & BINDING != 0 {
            out.extend(self.binding.as_bytes());
        }
        for text in texts() {
            bytes(&mut out, text.as_bytes());
        }
        debug_assert_eq!(out.capacity(), capacity, "a copy stayed behind");
        out
    }

    /// Opens what was sealed for this verification.
    ///
    /// # Errors
    /// [`Unsealable`] when it was changed, or its key has left the ring.
    pub fn open(id: VerificationId, sealed: &Sealed, keys: &KeyRing) -> Result<Self, Unsealable> {
        let written = keys.open(id.as_bytes(), sealed)?;
        Self::read(&mut Reader(&written)).ok_or(Unsealable)
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let [form, flags, alphabet, length] = *reader.array::<4>()?;
        if form != FORM {
            return None;
        }
        let alphabet = *ALPHABETS.get(usize::from(alphabet))?;
        let ttl = Duration::from_millis(reader.number()?);
        let max_attempts = u32::try_from(reader.number()?).ok()?;
        let channels = reader.bytes()?.iter();
        let channels = channels.map(|at| Channel::ALL.get(usize::from(*at)).copied());
        let channels = channels.collect::<Option<_>>()?;
        let binding = if flags & BINDING == 0 {
            BindingDigest::none()
        } else {
            BindingDigest::from_bytes(*reader.array()?)
        };
        let mut text = |flag: u8| -> Option<Option<&str>> {
            (flags & flag != 0)
                .then(|| reader.text())
                .map_or(Some(None), |text| text.map(Some))
        };
        let to = text(TO)?.map(Recipient::from_canonical);
        let locale = text(LOCALE)?.map(str::to_owned);
        let code = text(CODE)?.map(Code::parse).transpose().ok()?;
        let metadata = text(METADATA)?.map(serde_json::from_str).transpose().ok()?;
        reader.0.is_empty().then_some(Self {
            to,
            channels,
            locale,
            binding,
            format: CodeFormat { alphabet, length },
            ttl,
            max_attempts,
            metadata,
            remember_me: flags & REMEMBER_ME != 0,
            code,
        })
    }
}

/// The form, three bytes, three numbers and a binding, each as long as it can be.
const LONGEST_HEAD: usize = 4 + 3 * LONGEST_NUMBER + 32;

/// As [`number`] writes the greatest one.
const LONGEST_NUMBER: usize = 10;

/// The bytes of a text behind their number.
const fn room_of(text: &str) -> usize {
    LONGEST_NUMBER + text.len()
}

/// The place of something among a handful.
fn small(place: Option<usize>) -> u8 {
    place
        .and_then(|place| u8::try_from(place).ok())
        .unwrap_or(0)
}

impl std::fmt::Debug for Details {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Details")
            .field("to", &self.to)
            .field("channels", &self.channels)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fakes::{self, SeededEntropy};
    use crate::recipient::NumberRules;

    fn details() -> Details {
        Details {
            to: Recipient::parse("+14155550123", &NumberRules::default()).ok(),
            channels: vec![Channel::Whatsapp, Channel::Sms],
            locale: Some("pt-BR".to_owned()),
            binding: BindingDigest::of_json("17").unwrap(),
            format: CodeFormat {
                alphabet: Alphabet::Alphanumeric,
                length: 8,
            },
            ttl: Duration::from_millis(90_001),
            max_attempts: 7,
            metadata: Some(serde_json::json!({"order": [1, null]})),
            remember_me: true,
            code: Code::parse("40Z718AB").ok(),
        }
    }

    const ID: VerificationId = VerificationId::from_bytes([1; 16]);

    fn sealed(details: &Details) -> Sealed {
        let entropy = SeededEntropy::new(3);
        details.seal(ID, &fakes::keys(1), &entropy).unwrap()
    }

    #[test]
    fn details_are_opened_as_they_were_sealed() {
        let before = details();
        let after = Details::open(ID, &sealed(&before), &fakes::keys(1)).unwrap();
        assert_eq!(after.to, before.to);
        assert_eq!(after.channels, before.channels);
        assert_eq!(after.locale, before.locale);
        assert!(after.binding == before.binding);
        assert_eq!(after.format, before.format);
        assert_eq!(after.ttl, before.ttl);
        assert_eq!(after.max_attempts, before.max_attempts);
        assert_eq!(after.metadata, before.metadata);
        assert_eq!(after.remember_me, before.remember_me);
        let code = |details: &Details| details.code.as_ref().map(|code| code.expose().to_owned());
        assert!(code(&after).is_some() && code(&after) == code(&before));
        let nobody = Details { to: None, ..before };
        let after = Details::open(ID, &sealed(&nobody), &fakes::keys(1)).unwrap();
        assert_eq!(after.to, None);
    }

    #[test]
    fn details_of_every_shape_are_read_back_and_torn_ones_are_not() {
        let full = details();
        let bare = Details {
            to: None,
            channels: Vec::new(),
            locale: None,
            binding: BindingDigest::none(),
            ttl: Duration::from_millis(u64::MAX),
            max_attempts: u32::MAX,
            metadata: None,
            remember_me: false,
            code: None,
            ..full.clone()
        };
        let null = Details {
            metadata: Some(serde_json::Value::Null),
            ..bare.clone()
        };
        for before in [full, bare, null] {
            let written = before.written();
            let after = Details::read(&mut Reader(&written)).unwrap();
            assert_eq!(after.written(), written);
            assert_eq!(
                (after.ttl, after.max_attempts),
                (before.ttl, before.max_attempts)
            );
            assert_eq!((after.to, after.metadata), (before.to, before.metadata));
            for end in 0..written.len() {
                assert!(
                    Details::read(&mut Reader(&written[..end])).is_none(),
                    "{end}"
                );
            }
            let longer = [&written[..], &[0]].concat();
            assert!(Details::read(&mut Reader(&longer)).is_none());
        }
    }

    #[test]
    fn details_without_extras_are_short() {
        let ordinary = Details {
            channels: vec![Channel::Sms],
            locale: None,
            binding: BindingDigest::none(),
            metadata: None,
            remember_me: false,
            code: None,
            ..details()
        };
        assert!(
            ordinary.written().len() <= 24,
            "{}",
            ordinary.written().len()
        );
    }

    #[test]
    fn details_do_not_open_for_another_verification_or_under_another_key() {
        let sealed = sealed(&details());
        let other = VerificationId::from_bytes([2; 16]);
        assert!(Details::open(other, &sealed, &fakes::keys(1)).is_err());
        assert!(Details::open(ID, &sealed, &fakes::keys(2)).is_err());
    }

    #[test]
    fn neither_seal_nor_print_shows_the_recipient_or_the_code() {
        let details = details();
        let sealed = sealed(&details);
        for secret in [&b"4155550123"[..], &b"40Z718AB"[..]] {
            let held = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret);
            assert!(!held(sealed.as_bytes()));
            assert!(!held(format!("{details:?} {sealed:?}").as_bytes()));
        }
    }
}
