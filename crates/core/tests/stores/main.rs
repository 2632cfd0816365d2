//! The memory store keeps every promise of a store: as it is, swept before every step, and put
//! back from its journal after every step. And a store that loads and saves apart does not.

mod journal;
mod memory;
mod naive;
mod reborn;
mod swept;
