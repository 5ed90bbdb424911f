//! `[verification]` of a `party.toml`: where questions about people are asked, and in which of the
//! two ways: the national data-sharing exchange platform's, or that of the old provincial marriage
//! web service. Depends on nothing.

use std::path::{Path, PathBuf};

use serde::Deserialize;

/// `[verification]`: where and how a party is asked.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// Base URL, `https://host:port`.
    pub endpoint: String,
    /// Longest one question may take, milliseconds, however many calls it needs.
    #[serde(default = "deadline_ms")]
    pub deadline_ms: u64,
    /// How long an answer is remembered, seconds; 0 for not at all.
    #[serde(default = "cache_seconds")]
    pub cache_seconds: u64,
    /// Most answers remembered.
    #[serde(default = "cache_entries")]
    pub cache_entries: usize,
    /// Failures in a row of one service that open its breaker.
    #[serde(default = "breaker_failures")]
    pub breaker_failures: u32,
    /// How long an open breaker waits before it lets one question through, milliseconds.
    #[serde(default = "breaker_open_ms")]
    pub breaker_open_ms: u64,
    /// The data-sharing exchange platform (国家数据共享交换平台).
    pub exchange: Option<Exchange>,
    /// The old provincial marriage web service.
    pub registry: Option<Registry>,
}

/// `[verification.exchange]`: the exchange platform's call convention, `gjgxjhpt_*`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// Path that hands out the key for business calls.
    pub auth_path: String,
    /// Path of the business calls; the service's id is said beside it.
    pub path: String,
    /// Our id there (`gjgxjhpt_rid`).
    pub requester: String,
    /// Where the four fields stand in a business call.
    #[serde(default)]
    pub identity: Identity,
    /// File with the application key (appKey), as text.
    pub app_key_file: PathBuf,
    /// How the handed-out key is encrypted with the application key.
    #[serde(default)]
    pub key_cipher: KeyCipher,
    /// How long before its end a handed-out key is replaced, seconds.
    #[serde(default = "refresh_ahead_seconds")]
    pub refresh_ahead_seconds: u64,
    /// Records asked for at once.
    #[serde(default = "page")]
    pub page: usize,
    /// Most pages read of one answer; more is no answer.
    #[serde(default = "pages")]
    pub pages: usize,
    /// Ids of the services (`gjgxjhpt_sid`).
    pub services: Services,
}

/// Where the four `gjgxjhpt_*` fields of a business call stand; clients are seen to do either.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Identity {
    /// HTTP headers.
    #[default]
    Header,
    /// Fields of the form.
    Form,
}

/// AES mode of the handed-out key. The public clients name AES and no mode; what Java's
/// `Cipher.getInstance("AES")` gives is ECB with PKCS #5 padding, so that is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyCipher {
    /// ECB, PKCS #5/#7 padding.
    #[default]
    AesEcb,
    /// CBC, PKCS #5/#7 padding, the first 16 bytes are the initialisation vector.
    AesCbc,
}

/// `[verification.exchange.services]`: id of each service, `s_<department>_<number>`. A question
/// whose service is not named cannot be asked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Services {
    /// Marriage records of one person (婚姻登记信息核验, 单方).
    pub marriage: Option<String>,
    /// Divorce applications in progress of one person (离婚登记申请信息).
    pub divorce_applications: Option<String>,
    /// Benefits drawn by one person (补贴、救助、津贴发放信息).
    pub benefits: Option<String>,
    /// Disability certificate (残疾人证信息).
    pub certificate: Option<String>,
    /// Household and death (户籍、殡葬信息).
    pub household: Option<String>,
}

/// `[verification.registry]`: the old provincial marriage web service (SOAP, XML in a string).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registry {
    /// Path of the service.
    pub path: String,
    /// Operation that gives all records of a number.
    #[serde(default = "operation")]
    pub operation: String,
    /// XML namespace of the operation.
    #[serde(default)]
    pub namespace: String,
    /// User.
    pub user: String,
    /// File with the password.
    pub password_file: PathBuf,
}

const fn deadline_ms() -> u64 {
    2000
}

const fn cache_seconds() -> u64 {
    60
}

const fn cache_entries() -> usize {
    10_000
}

const fn breaker_failures() -> u32 {
    5
}

const fn breaker_open_ms() -> u64 {
    5000
}

const fn refresh_ahead_seconds() -> u64 {
    60
}

const fn page() -> usize {
    100
}

const fn pages() -> usize {
    20
}

fn operation() -> String {
    "getAllMarryByID".into()
}

impl Verification {
    pub(super) fn resolve_paths(&mut self, folder: &Path) {
        let key = self.exchange.as_mut().map(|exchange| &mut exchange.app_key_file);
        let password = self.registry.as_mut().map(|registry| &mut registry.password_file);
        for file in key.into_iter().chain(password) {
            *file = folder.join(&*file);
        }
    }

    /// Section, key and words of everything that cannot be.
    pub(super) fn faults(&self) -> Vec<(&'static str, &'static str, String)> {
        let mut faults = Vec::new();
        let mut say = |section, key, what: &str| faults.push((section, key, what.to_owned()));
        if !self.endpoint.starts_with("https://") {
            say("verification", "endpoint", "verification.endpoint: must begin with https://");
        }
        if !(1..=10_000).contains(&self.deadline_ms) {
            say("verification", "deadline_ms", "verification.deadline_ms: must be 1 to 10000");
        }
        if self.cache_seconds > 3600 {
            let what = "verification.cache_seconds: must be at most 3600; people marry and die";
            say("verification", "cache_seconds", what);
        }
        if self.exchange.is_none() && self.registry.is_none() {
            let what = "verification: needs [verification.exchange] or [verification.registry]";
            say("verification", "", what);
        }
        if let Some(exchange) = &self.exchange {
            let section = "verification.exchange";
            for (key, path) in [("auth_path", &exchange.auth_path), ("path", &exchange.path)] {
                if !path.starts_with('/') {
                    faults.push((section, key, format!("{section}.{key}: must begin with /")));
                }
            }
            if exchange.page == 0 || exchange.pages == 0 {
                let what = format!("{section}.page and pages: must be at least 1");
                faults.push((section, "page", what));
            }
        }
        if let Some(registry) = &self.registry
            && !registry.path.starts_with('/')
        {
            let what = "verification.registry.path: must begin with /".to_owned();
            faults.push(("verification.registry", "path", what));
        }
        faults
    }
}
