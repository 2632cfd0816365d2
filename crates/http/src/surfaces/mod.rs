//! The dialects. A surface translates: its own wire types, its own error bodies, no rule.

pub(crate) mod auth;
pub(crate) mod dialect;
pub(crate) mod native;
pub(crate) mod otp;
pub(crate) mod trouble;
pub(crate) mod uuid;
pub(crate) mod whatsapp;

use crate::app::SurfaceKind;
use crate::mount::Mount;

/// Puts a surface in place.
pub(crate) fn mount(mount: Mount, kind: SurfaceKind) -> Mount {
    match kind {
        SurfaceKind::Native => native::mount(mount),
        SurfaceKind::Auth => auth::mount(mount),
        SurfaceKind::Otp => otp::mount(mount),
        SurfaceKind::Whatsapp => whatsapp::mount(mount),
        SurfaceKind::Uuid => uuid::mount(mount),
    }
}
