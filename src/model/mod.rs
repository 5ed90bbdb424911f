//! What every room speaks: the canonical model, ids, codes, rules of form. No I/O but reading
//! tables at start-up, no async, nothing of transport. Depends on no other room.

pub mod calendar;
pub mod clock;
pub mod codes;
pub mod divisions;
pub mod fault;
pub mod lifecycle;
pub mod problem;
pub mod resident_id;
pub mod shape;
pub mod succession;
pub mod trace;

use std::sync::LazyLock;

use prost_reflect::DescriptorPool;

/// The messages and services of package `tongban.v1`, generated from `proto/`.
#[allow(
    missing_docs,
    unused_qualifications,
    clippy::all,
    clippy::too_many_lines,
    clippy::allow_attributes_without_reason,
    reason = "generated; the comments live in proto/"
)]
pub mod pb {
    tonic::include_proto!("tongban.v1");
}

/// The encoded descriptor set of `proto/`, with comments and options; for reflection.
pub const DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tongban.v1.bin"));

/// The descriptors of `proto/`; for REST, OpenAPI, mapping checks and the rules of form.
pub static DESCRIPTORS: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(DESCRIPTOR_SET).unwrap_or_else(|error| {
        unreachable!("build.rs wrote the descriptor set this binary holds: {error}")
    })
});

impl pb::Business {
    /// The name used in paths, file names and configuration: `marriage_registration` …
    pub fn code(self) -> String {
        self.as_str_name().to_ascii_lowercase()
    }

    /// The business of that name; `None` for an unknown one.
    pub fn from_code(code: &str) -> Option<Self> {
        Self::from_str_name(&code.to_ascii_uppercase())
            .filter(|business| *business != Self::Unspecified)
    }

    /// Every business this build knows.
    pub const ALL: [Self; 6] = [
        Self::MarriageRegistration,
        Self::DivorceRegistration,
        Self::DisabilitySubsidy,
        Self::ChildRecognition,
        Self::OldAgeAllowance,
        Self::SocialAssistance,
    ];
}
