//! The store: what came out of stages, kept on disk and shared by every checkout.
//!
//! Knows keys, results and blobs; knows nothing of what a key is made of, nor of where outputs belong.
//!
//! ```text
//! StageResult --codec--> ActionResult (reapi) + trees     what one stage made, as bytes, and back
//!                             |            |
//!                        records (ac/)  blobs (cas/)      written blobs first, record last; checked when read
//!                             \            /
//!                              local (root, tmp/)         one folder, shared by every checkout
//!                             /      |      \
//!                        live/    sweep    verify         who uses it now, what goes, what is whole
//! ```

pub mod baseline;
pub mod blobs;
pub mod codec;
pub mod live;
pub mod local;
pub mod notes;
pub mod reapi;
pub mod records;
pub mod result;
pub mod sweep;
mod tree;
pub mod verify;
