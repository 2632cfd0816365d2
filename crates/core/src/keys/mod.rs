//! From one secret, every key: by HKDF with a label each (DESIGN: keys and privacy).
//!
//! All nodes of a fleet that hold the same `secret_key` agree without sharing a file. While keys
//! rotate, the ring holds several: the first makes new digests, seals and signatures, all of them
//! read old ones. Recipients are indexed under the **last** one, so that counters outlive a
//! rotation for as long as the old key stays listed.
//!
//! **Invariant:** no key has a `Debug`, `Display` or `Serialize` that shows it.

mod ring;
mod seal;
mod secret;
mod signing;

pub use ring::{KeyId, KeyRing};
pub use seal::{Sealed, Unsealable};
pub use secret::{SecretKey, WeakSecretKey, WeakText};
