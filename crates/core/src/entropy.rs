//! Chance as a port: where secret bytes come from.

/// The source of randomness failed. Whatever needed it must fail too: a guessable code is worse
/// than no code.
#[derive(Debug, thiserror::Error)]
#[error("the system's source of randomness failed")]
pub struct EntropyError;

/// Where the program gets secret randomness.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `dest` with bytes that nobody can predict.
    ///
    /// # Errors
    /// [`EntropyError`] when the source cannot answer; `dest` must then not be used.
    fn fill(&self, dest: &mut [u8]) -> Result<(), EntropyError>;
}

/// Draws a fixed number of secret bytes.
///
/// # Errors
/// As [`Entropy::fill`].
pub fn draw<const N: usize>(entropy: &dyn Entropy) -> Result<[u8; N], EntropyError> {
    let mut bytes = [0; N];
    entropy.fill(&mut bytes)?;
    Ok(bytes)
}
