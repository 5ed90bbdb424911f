//! What one simulator is told: where it listens, whom it calls, what it submits.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::config::Tls;

/// Which system is stood in for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The national hub (金民工程).
    National,
    /// The own province's platform (一体化应用平台).
    Platform,
    /// The neighbouring province.
    Province,
}

impl Role {
    /// Code of the party the simulator is.
    pub const fn party(self) -> &'static str {
        match self {
            Self::National => "national",
            Self::Platform => "23",
            Self::Province => "44",
        }
    }

    /// Folder of the party, which names its columns in the code lists.
    pub(super) const fn folder(self) -> &'static str {
        match self {
            Self::National => "national",
            Self::Platform => "23-heilongjiang",
            Self::Province => "44-guangdong",
        }
    }

    /// Ports of the committed configuration: mutual TLS, control.
    const fn ports(self) -> (u16, u16) {
        match self {
            Self::National => (7601, 7611),
            Self::Platform => (7602, 7612),
            Self::Province => (7603, 7613),
        }
    }

    /// 0, 1, 2: keeps what the simulators make up apart.
    pub(super) const fn place(self) -> usize {
        match self {
            Self::Platform => 0,
            Self::National => 1,
            Self::Province => 2,
        }
    }
}

/// The settings of one simulator, a TOML file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Which system.
    pub role: Role,
    /// Address of its mutual-TLS server.
    pub listen: String,
    /// Loopback address of its plain-HTTP control: `/healthz`, `/books`, `/faults`.
    pub control: String,
    /// Base URL of the gateway.
    pub gateway: String,
    /// Id of the gateway, the `aud` of tokens.
    #[serde(default = "audience")]
    pub audience: String,
    /// Its certificate and key, and who signs the gateway's.
    pub tls: Tls,
    /// Ed25519 key, PKCS #8 PEM, that signs its tokens.
    pub token_key: PathBuf,
    /// Hub only: the seal's key, 64 hexadecimal digits.
    pub seal_key: Option<PathBuf>,
    /// Hub only: the application key of questions about people; without it none is answered.
    pub exchange_key: Option<PathBuf>,
    /// Platform only: the password of its old marriage web service; without it there is none.
    pub registry_password: Option<PathBuf>,
    /// Folder with `codes/` and `divisions.csv`.
    pub config: PathBuf,
    /// Seed of everything made up.
    #[serde(default = "seed")]
    pub seed: u64,
    /// Applications begun a second.
    #[serde(default = "rate")]
    pub rate: u32,
    /// Shortest and longest time a case lies on a desk, milliseconds.
    #[serde(default = "think")]
    pub think_ms: [u64; 2],
    /// Faults, as `--faults` writes them.
    #[serde(default)]
    pub faults: String,
    /// Ends with its standard input, so that it never outlives who started it.
    #[serde(default)]
    pub end_with_stdin: bool,
    /// What it submits.
    #[serde(default)]
    pub submit: Vec<Plan>,
    /// Businesses in which the neighbour and the own platform submit the same person.
    #[serde(default)]
    pub twins: Vec<String>,
}

/// So many applications of one business for residents of one place.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// `marriage_registration`, `disability_subsidy`, `child_recognition`.
    pub business: String,
    /// Two digits of the province whose residents they are; `other` for any but 23 and 44.
    pub home: String,
    /// How many.
    pub count: usize,
}

fn audience() -> String {
    "tongban-23".into()
}

const fn seed() -> u64 {
    20_250_510 // The day since which any registry may register any couple.
}

const fn rate() -> u32 {
    50
}

const fn think() -> [u64; 2] {
    [20, 200]
}

impl Settings {
    /// Reads a file.
    ///
    /// # Errors
    /// The file cannot be read, or what in it is wrong.
    pub fn load(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file)
            .with_context(|| format!("{} can't be read", file.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not understood", file.display()))
    }

    /// Settings that fit the committed configuration and `tongban certs new certs`; submits
    /// nothing of its own.
    pub fn standard(role: Role) -> Self {
        let certs = Path::new("certs");
        let party = role.party();
        let (port, control) = role.ports();
        Self {
            role,
            listen: format!("127.0.0.1:{port}"),
            control: format!("127.0.0.1:{control}"),
            gateway: "https://127.0.0.1:8443".into(),
            audience: audience(),
            tls: Tls {
                certificate: certs.join(format!("{party}.pem")),
                key: certs.join(format!("{party}.key")),
                authorities: certs.join("ca.pem"),
            },
            token_key: certs.join(format!("{party}.token.key")),
            seal_key: Some(certs.join("national.seal.key")),
            exchange_key: Some(certs.join("national.exchange.key")),
            registry_password: Some(certs.join("23.registry.password")),
            config: "config".into(),
            seed: seed(),
            rate: rate(),
            think_ms: think(),
            faults: String::new(),
            end_with_stdin: false,
            submit: Vec::new(),
            twins: Vec::new(),
        }
    }
}
