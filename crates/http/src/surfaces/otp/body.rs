//! What the `otp` surface is sent.

use utoipa::ToSchema;
use watchword_core::{Channel, Code, Purpose, Recipient};

use crate::json::Members;
use crate::surfaces::dialect::Call;
use crate::surfaces::trouble::Trouble;

/// What `POST /api/otp/generate` takes.
#[derive(ToSchema)]
#[schema(as = OtpGenerate, example = json!({"channel": "sms", "identifier": "+14155550123"}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct GenerateBody {
    /// How the code travels.
    channel: ChannelName,
    /// An email address for `email`, else a phone number.
    #[schema(max_length = 508, example = "+14155550123")]
    identifier: String,
}

/// What `POST /api/otp/verify` takes.
#[derive(ToSchema)]
#[schema(as = OtpVerify, example = json!({"channel": "sms", "identifier": "+14155550123", "code": "123456"}))]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) struct VerifyBody {
    /// The channel that the code was asked for.
    channel: ChannelName,
    /// Whom the code went to.
    #[schema(max_length = 508, example = "+14155550123")]
    identifier: String,
    /// What the user typed.
    #[schema(min_length = 1, max_length = 256, example = "123456")]
    code: String,
}

/// The channels of this surface.
#[derive(ToSchema)]
#[schema(as = OtpChannel, rename_all = "lowercase")]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum ChannelName {
    Email,
    Sms,
    Whatsapp,
}

/// Whom a request is about.
pub(super) struct Asked {
    pub(super) channel: Channel,
    pub(super) to: Recipient,
}

impl Asked {
    pub(super) fn read(call: &Call) -> Result<Self, Trouble> {
        let mut members = Members::read(&call.body)?;
        let asked = Self::of(&mut members, call)?;
        members.finish_open()?;
        Ok(asked)
    }

    /// The first thing that is wrong is told, in the order of the document.
    fn of(members: &mut Members<'_>, call: &Call) -> Result<Self, Trouble> {
        let channel = members.text("channel");
        let channel = channel.and_then(|name| channel_of(&name));
        let channel = channel.ok_or_else(|| invalid("Invalid channel"))?;
        let identifier = members.text("identifier");
        let to = identifier.and_then(|text| call.recipient(channel, &text));
        let to = to.ok_or_else(|| invalid("Invalid identifier"))?;
        Ok(Self { channel, to })
    }

    /// Keeps the codes of one recipient apart by channel.
    pub(super) fn purpose(&self) -> Purpose {
        Purpose::unnamed_at(&format!("otp/{}", self.channel))
    }
}

/// A code that was typed.
pub(super) struct Typed {
    pub(super) asked: Asked,
    pub(super) code: Code,
}

impl Typed {
    pub(super) fn read(call: &Call) -> Result<Self, Trouble> {
        let mut members = Members::read(&call.body)?;
        let asked = Asked::of(&mut members, call)?;
        let code = members.text("code");
        let code = code.and_then(|typed| Code::parse(&typed).ok());
        let code = code.ok_or_else(|| invalid("Invalid code"))?;
        members.finish_open()?;
        Ok(Self { asked, code })
    }
}

fn channel_of(name: &str) -> Option<Channel> {
    let channel = name.trim().to_ascii_lowercase().parse().ok()?;
    let channels = crate::app::SurfaceKind::Otp.channels();
    channels.contains(&channel).then_some(channel)
}

fn invalid(detail: &'static str) -> Trouble {
    Trouble::Invalid(detail.into())
}
