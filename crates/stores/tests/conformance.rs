//! The promises of every store, held by the embedded one; also while it loses power all the time.

mod support;

mod embedded {
    use super::support::Fixture;

    watchword_core::store_conformance!(Fixture::new());
    watchword_core::store_model!(Fixture::new());
}

mod embedded_that_loses_power_before_every_seventh_step {
    use std::sync::Arc;

    use super::support::Mortal;

    watchword_core::store_model!(async { Arc::new(Mortal::new(7).await) });
}
