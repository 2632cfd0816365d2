//! The use cases: register, resend, log in, verify.

use std::sync::Arc;

use futures_util::future::join3;

use super::outcome::{RegisterError, ResendError, Verified, VerifyError};
use super::pending::Pending;
use super::token::Grant;
use super::{
    AccessToken, AccessTokenLife, Account, AccountId, AccountStore, CreateOutcome, EmailStatus,
    Password, PasswordHasher, of_email, of_mobile,
};
use crate::app::AppId;
use crate::binding::BindingDigest;
use crate::channel::Channel;
use crate::clock::Timestamp;
use crate::code::Code;
use crate::details::Details;
use crate::entropy::Entropy;
use crate::id::VerificationId;
use crate::keys::KeyRing;
use crate::limit::{Per, Quota};
use crate::policy::{FailureBudget, Policy, WhenPending};
use crate::purpose::Purpose;
use crate::recipient::{Email, Phone, Recipient};
use crate::step::Refusal;
use crate::store::{Store, StoreError};
use crate::verification::Verification;
use crate::verifier::{
    Approved, CheckError, CheckRequest, Failure, ResendRequest, SendError, Sent, Source,
    StartRequest, Terms, Verifier, Whose,
};

/// What the codes of logins authorise.
pub const LOGIN: &str = "login";
/// What the codes of registrations authorise.
pub const SIGNUP: &str = "signup";

/// What a check has to repeat of a start: that both came by way of accounts. A code of the same
/// purpose that another surface sent is worth nothing here, nor one of ours there.
const BINDING: &str = r#"{"watchword":"accounts"}"#;
/// How often a registration looks again when the one that was pending ends under its eyes.
const TRIES: usize = 3;
/// Where questions are counted that may end without a send: apart from the sends.
const QUESTIONS: &str = "accounts";
/// How many of them a source has for each send that it has.
const QUESTIONS_A_SEND: u32 = 3;

/// What [`Accounts`] work with.
pub struct AccountParts {
    /// Where accounts are kept.
    pub accounts: Arc<dyn AccountStore>,
    /// Where verifications are kept: the one that `verifier` has.
    pub store: Arc<dyn Store>,
    /// The way to verifications.
    pub verifier: Arc<Verifier>,
    /// Who hashes passwords.
    pub passwords: Arc<dyn PasswordHasher>,
    /// Who signs access tokens: the server's public URL, or its name.
    pub issuer: String,
    /// How long access tokens are good.
    pub token_life: AccessTokenLife,
}

/// Registers users and logs them in.
pub struct Accounts(AccountParts);

/// What somebody says of themselves.
pub struct Registration {
    /// Their address. Nobody proves it here.
    pub email: Email,
    /// Their number, which the code goes to.
    pub mobile: Phone,
    /// Their password.
    pub password: Password,
}

/// What is pending for a number.
enum Found {
    Nothing,
    /// A verification of the same purpose that did not come by way of accounts.
    Foreign,
    Registration(VerificationId, Pending),
}

impl Accounts {
    /// Accounts over their parts.
    #[must_use]
    pub const fn new(parts: AccountParts) -> Self {
        Self(parts)
    }

    /// Whether a registration that came now would find room for its password. Another one may be quicker.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.0.passwords.has_room()
    }

    /// Sends a code for a login over WhatsApp, whether or not the number has an account.
    ///
    /// # Errors
    /// [`SendError`].
    pub async fn request_login(
        &self,
        app: &AppId,
        mobile: Phone,
        remember_me: bool,
        terms: Terms,
    ) -> Result<Sent, SendError> {
        let mut request = self.request(app, mobile, LOGIN, Channel::Whatsapp, terms);
        request.remember_me = remember_me;
        self.0.verifier.start(request).await
    }

    /// Sends a code for a registration by SMS. What was said hangs on that code alone; while it
    /// lives, the same details send a fresh code, and others are refused and change nothing.
    ///
    /// Counted for who asks even if it comes to nothing: three for each send that the policy admits.
    ///
    /// # Errors
    /// [`RegisterError`].
    pub async fn register(
        &self,
        app: &AppId,
        registration: Registration,
        terms: Terms,
    ) -> Result<Sent, RegisterError> {
        let Registration {
            email,
            mobile,
            password,
        } = registration;
        // Who could not be served pays nothing, and costs nothing either.
        let mut announced = Some(self.0.passwords.announce()?);
        // Then at once: neither what is taken nor the work of hashing is to be had for nothing.
        self.charge(app, &terms).await?;
        let mut metadata = None;
        for _ in 0..TRIES {
            if self.is_taken(app, &email, &mobile).await? {
                return Err(RegisterError::Taken);
            }
            let found = self.pending(app, &mobile).await.map_err(SendError::from)?;
            let when_pending = match found {
                Found::Registration(id, pending) => {
                    // Compared whatever the address is, so that the time tells nothing of it.
                    let same = pending.is_of(&email);
                    let known = self.0.passwords.matches(password.clone(), pending.password);
                    if !known.await? || !same {
                        return Err(RegisterError::Taken);
                    }
                    drop(announced.take());
                    match self.send_again(app, id, terms.clone()).await {
                        Err(SendError::NotFound | SendError::Exhausted) => continue,
                        sent => return Ok(sent?),
                    }
                }
                // Superseded in the step that admits the send: if it is refused, that code is as good
                // as before.
                Found::Foreign => WhenPending::Replace,
                // Of two that arrive at once, the store lets one start.
                Found::Nothing => WhenPending::Refuse,
            };
            if metadata.is_none() {
                let pending = Pending {
                    email: email.clone(),
                    password: self.0.passwords.hash(password.clone()).await?,
                };
                let sealed = pending.to_metadata(app, &mobile, self.keys(), self.entropy());
                metadata = Some(sealed.map_err(Failure::from).map_err(SendError::from)?);
                // What follows takes as long as a provider.
                drop(announced.take());
                if when_pending == WhenPending::Replace {
                    // Hashing took its time, and a registration that came meanwhile must not be
                    // superseded: looked at again.
                    continue;
                }
            }
            let mut request =
                self.request(app, mobile.clone(), SIGNUP, Channel::Sms, terms.clone());
            request.metadata = metadata.clone();
            request.terms.policy = Arc::new(Policy {
                when_pending,
                ..Policy::clone(&terms.policy)
            });
            match self.0.verifier.start(request).await {
                Err(SendError::Refused(Refusal::Live)) => {}
                sent => return Ok(sent?),
            }
        }
        Err(RegisterError::Taken)
    }

    /// Sends a fresh code for the pending registration of a number. Counted as a registration is.
    ///
    /// # Errors
    /// [`ResendError`].
    pub async fn resend(
        &self,
        app: &AppId,
        mobile: &Phone,
        terms: Terms,
    ) -> Result<Sent, ResendError> {
        let charged = self.charge(app, &terms).await;
        charged.map_err(ResendError::Send)?;
        let found = self.pending(app, mobile).await;
        let Found::Registration(id, _) =
            found.map_err(|error| ResendError::Send(SendError::Failure(error)))?
        else {
            return Err(ResendError::NotPending);
        };
        match self.send_again(app, id, terms).await {
            Err(SendError::NotFound | SendError::Exhausted) => Err(ResendError::NotPending),
            sent => sent.map_err(ResendError::Send),
        }
    }

    /// Checks a code: of the login or of the registration that is pending for the number. Where both are, first
    /// of the one that was sent last, which pays for the guess if it is of the other.
    ///
    /// # Errors
    /// [`VerifyError`].
    pub async fn verify(
        &self,
        app: &AppId,
        mobile: &Phone,
        code: &Code,
        failures: FailureBudget,
    ) -> Result<Verified, VerifyError> {
        // First, so that a store that cannot answer does not cost the user a right code; and all of it for every
        // number, so that the time it takes tells nobody which ones have an account.
        let (known, login, signup) = join3(
            self.find(app, mobile),
            self.live(app, mobile, LOGIN),
            self.live(app, mobile, SIGNUP),
        )
        .await;
        let known = known?;
        let login_first = match (login?, signup?) {
            (Some(login), Some(signup)) => self.sent_at(&login) > self.sent_at(&signup),
            (login, _) => login.is_some(),
        };
        let likelier_first = if login_first {
            [LOGIN, SIGNUP]
        } else {
            [SIGNUP, LOGIN]
        };
        for authorises in likelier_first {
            let approved = self.check(app, mobile, authorises, code, failures).await?;
            match approved {
                Some(approved) if authorises == SIGNUP => {
                    return self.activate(app, mobile, &approved).await;
                }
                Some(approved) => return self.log_in(app, known, &approved),
                None => {}
            }
        }
        Err(VerifyError::Incorrect)
    }

    pub(super) const fn parts(&self) -> &AccountParts {
        &self.0
    }

    pub(super) fn keys(&self) -> &KeyRing {
        self.0.verifier.keys()
    }

    fn entropy(&self) -> &dyn Entropy {
        self.0.verifier.entropy()
    }

    /// Counts a question of whoever asks: some end in an answer that tells who is registered, and
    /// those would cost nothing if only sends were counted.
    async fn charge(&self, app: &AppId, terms: &Terms) -> Result<(), SendError> {
        let Some(source) = &terms.source else {
            return Ok(());
        };
        let questions = Source {
            surface: QUESTIONS,
            address: source.address.clone(),
        };
        let sends = terms.policy.quotas(Per::Source).into_iter();
        let quotas = sends.map(|quota| Quota {
            max: quota.max.saturating_mul(QUESTIONS_A_SEND),
            ..quota
        });
        let verifier = &self.0.verifier;
        verifier.charge(app, &questions, quotas.collect()).await
    }

    async fn is_taken(
        &self,
        app: &AppId,
        email: &Email,
        mobile: &Phone,
    ) -> Result<bool, SendError> {
        let mut identifiers = of_mobile(self.keys(), app, mobile);
        identifiers.extend(of_email(self.keys(), app, email));
        let found = self.0.accounts.find(&identifiers).await;
        Ok(found.map_err(Failure::from)?.is_some())
    }

    async fn find(&self, app: &AppId, mobile: &Phone) -> Result<Option<AccountId>, Failure> {
        let identifiers = of_mobile(self.keys(), app, mobile);
        let found = self.0.accounts.find(&identifiers).await?;
        Ok(found.map(|account| account.id))
    }

    async fn live(
        &self,
        app: &AppId,
        mobile: &Phone,
        authorises: &'static str,
    ) -> Result<Option<Verification>, Failure> {
        let recipient = Recipient::Phone(mobile.clone());
        let index = self.keys().recipient_index(app, &recipient);
        let (verifier, purpose) = (&self.0.verifier, purpose(authorises));
        let newest = self.0.store.newest(app, index, &purpose, verifier.now());
        let newest = newest.await?;
        // The clock may have been set by the answer.
        let now = verifier.now();
        Ok(newest.filter(|newest| newest.is_live(now)))
    }

    /// When a code went out that a check here may approve.
    fn sent_at(&self, live: &Verification) -> Option<Timestamp> {
        let details = Details::open(live.id, &live.details, self.keys()).ok()?;
        (details.binding == binding()).then_some(live.sent_at)
    }

    async fn pending(&self, app: &AppId, mobile: &Phone) -> Result<Found, Failure> {
        let keys = self.keys();
        let Some(live) = self.live(app, mobile, SIGNUP).await? else {
            return Ok(Found::Nothing);
        };
        let details = Details::open(live.id, &live.details, keys)?;
        Ok(match Pending::of(&details, app, mobile, keys) {
            Some(pending) => Found::Registration(live.id, pending),
            None => Found::Foreign,
        })
    }

    fn request(
        &self,
        app: &AppId,
        mobile: Phone,
        authorises: &'static str,
        channel: Channel,
        terms: Terms,
    ) -> StartRequest {
        StartRequest {
            app: app.clone(),
            to: Some(Recipient::Phone(mobile)),
            channels: vec![channel],
            purpose: purpose(authorises),
            locale: None,
            binding: binding(),
            metadata: None,
            remember_me: false,
            terms,
        }
    }

    async fn send_again(
        &self,
        app: &AppId,
        id: VerificationId,
        terms: Terms,
    ) -> Result<Sent, SendError> {
        let request = ResendRequest {
            app: app.clone(),
            id,
            channels: None,
            terms,
        };
        self.0.verifier.resend(request).await
    }

    /// Why a code is not right is nobody's business.
    async fn check(
        &self,
        app: &AppId,
        mobile: &Phone,
        authorises: &'static str,
        code: &Code,
        failures: FailureBudget,
    ) -> Result<Option<Approved>, Failure> {
        let request = CheckRequest {
            app: app.clone(),
            whose: Whose::Recipient(Recipient::Phone(mobile.clone()), purpose(authorises)),
            code: code.clone(),
            binding: binding(),
            failures: Some(failures),
        };
        match self.0.verifier.check(request).await {
            Ok(approved) => Ok(Some(approved)),
            Err(CheckError::Failure(failure)) => Err(failure),
            Err(
                CheckError::Incorrect { .. }
                | CheckError::Exhausted
                | CheckError::Locked(_)
                | CheckError::NotFound,
            ) => Ok(None),
        }
    }

    /// Makes the account of what hangs on the very verification that was approved.
    async fn activate(
        &self,
        app: &AppId,
        mobile: &Phone,
        approved: &Approved,
    ) -> Result<Verified, VerifyError> {
        let details = &approved.overview.details;
        let pending = Pending::of(details, app, mobile, self.keys());
        let Pending { email, password } = pending.ok_or(VerifyError::NobodyToActivate)?;
        let entropy = self.entropy();
        let account = Account {
            id: AccountId::generate(entropy).map_err(Failure::from)?,
            app: app.clone(),
            email,
            email_status: EmailStatus::Unverified,
            mobile: mobile.clone(),
            password,
            created_at: approved.at,
        };
        let record = account.seal(self.keys(), entropy).map_err(Failure::from)?;
        let outcome: Result<_, StoreError> = self.0.accounts.create(record).await;
        if outcome.map_err(Failure::from)? == CreateOutcome::Taken {
            return Err(VerifyError::NobodyToActivate);
        }
        let token = self.token(app, &account.id.to_string(), approved, false)?;
        Ok(Verified::Registered(Box::new(account), token))
    }

    fn log_in(
        &self,
        app: &AppId,
        known: Option<AccountId>,
        approved: &Approved,
    ) -> Result<Verified, VerifyError> {
        let remember_me = approved.overview.details.remember_me;
        let subject = match known {
            Some(id) => id.to_string(),
            None => approved.overview.verification.recipient.to_string(),
        };
        let token = self.token(app, &subject, approved, remember_me)?;
        Ok(Verified::LoggedIn { token, remember_me })
    }

    fn token(
        &self,
        app: &AppId,
        subject: &str,
        approved: &Approved,
        remember_me: bool,
    ) -> Result<AccessToken, Failure> {
        let grant = Grant {
            issuer: &self.0.issuer,
            app,
            subject,
            channel: approved.overview.verification.channel,
            life: self.0.token_life.of(remember_me),
        };
        let entropy = self.entropy();
        Ok(AccessToken::sign(
            self.keys(),
            &grant,
            entropy,
            approved.at,
        )?)
    }
}

fn purpose(authorises: &'static str) -> Purpose {
    Purpose::parse(authorises).unwrap_or_default()
}

fn binding() -> BindingDigest {
    #[allow(clippy::expect_used, reason = "a constant that a test reads")]
    BindingDigest::of_json(BINDING).expect("the binding is JSON")
}
