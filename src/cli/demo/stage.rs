//! Sets the stage of the demo: a folder with certificates, a copy of the configuration on free
//! ports, and the settings of each simulator.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use toml_edit::{Array, DocumentMut, Item, Table, value};

use crate::{
    cli::{certs, demo::Arguments},
    sim::settings::{Plan, Role},
};

/// Everything the demo's processes need, on disk.
pub(super) struct Stage {
    pub dir: PathBuf,
    pub config: PathBuf,
    pub gateway: String,
    pub metrics: String,
    pub simulators: Vec<Simulator>,
}

/// One simulator.
pub(super) struct Simulator {
    pub role: Role,
    pub settings: PathBuf,
    pub control: String,
}

impl Stage {
    pub(super) fn set(arguments: &Arguments, store: Option<String>) -> anyhow::Result<Self> {
        // Process numbers come again, and an earlier demo's folder may still be there.
        let name = format!("tongban-demo-{}", uuid::Uuid::now_v7().simple());
        let dir = arguments.dir.clone().unwrap_or_else(|| std::env::temp_dir().join(name));
        fs::create_dir_all(dir.join("logs"))
            .with_context(|| format!("{} can't be made", dir.display()))?;
        let dir = dir.canonicalize()?;
        ensure!(
            !dir.join("config").exists() && !dir.join("certs").exists(),
            "{} holds an earlier demo; name another folder, or delete it first",
            dir.display()
        );
        certs::new(&dir.join("certs"))?;
        let source = arguments.config.parent().unwrap_or_else(|| Path::new("."));
        copy(source, &dir.join("config"))
            .with_context(|| format!("{} can't be copied", source.display()))?;
        let file = arguments.config.file_name().context("--config: name a file")?;
        let ports = free_ports(8)?;
        let [edge, metrics, ..] = ports[..] else { unreachable!("asked for eight") };
        let mut stage = Self {
            config: dir.join("config").join(file),
            gateway: format!("https://127.0.0.1:{edge}"),
            metrics: format!("http://127.0.0.1:{metrics}"),
            simulators: Vec::new(),
            dir,
        };
        stage.rewrite_gateway(edge, metrics, store)?;
        let roles = [Role::National, Role::Platform, Role::Province];
        for (role, pair) in roles.into_iter().zip(ports[2..].chunks_exact(2)) {
            stage.simulators.push(stage.simulator(role, (pair[0], pair[1]), arguments)?);
            stage.rewrite_party(role, pair[0])?;
        }
        Ok(stage)
    }

    fn certificate(&self, name: &str) -> String {
        self.dir.join("certs").join(name).display().to_string()
    }

    fn rewrite_gateway(
        &self,
        edge: u16,
        metrics: u16,
        store: Option<String>,
    ) -> anyhow::Result<()> {
        edit(&self.config, |document| {
            document["listen"]["edge"] = value(format!("127.0.0.1:{edge}"));
            document["listen"]["metrics"] = value(format!("127.0.0.1:{metrics}"));
            document["tls"]["certificate"] = value(self.certificate("gateway.pem"));
            document["tls"]["key"] = value(self.certificate("gateway.key"));
            document["tls"]["authorities"] = value(self.certificate("ca.pem"));
            let file = self.dir.join("data").join("tongban.db");
            let store = store.unwrap_or_else(|| format!("sqlite://{}", file.display()));
            document["store"]["url"] = value(store);
            document["store"]["key_file"] = value(self.certificate("store.key"));
            // People watch: what waits minutes in service waits moments here.
            let dispatch = [
                ("attempt_ms", 3_000),
                ("lease_ms", 6_000),
                ("backoff_ms", 50),
                ("backoff_cap_ms", 1_000),
                ("attempts", 1_000),
                ("breaker_open_ms", 250),
            ];
            for (key, number) in dispatch {
                document["dispatch"][key] = value(i64::from(number));
            }
        })?;
        fs::create_dir_all(self.dir.join("data"))?;
        Ok(())
    }

    fn rewrite_party(&self, role: Role, port: u16) -> anyhow::Result<()> {
        let party = role.party();
        for entry in fs::read_dir(self.dir.join("config").join("parties"))? {
            let file = entry?.path().join("party.toml");
            if !file.exists() {
                continue;
            }
            let text = fs::read_to_string(&file)?;
            let document: DocumentMut = text.parse()?;
            if document.get("code").and_then(Item::as_str) != Some(party) {
                continue;
            }
            return edit(&file, |document| {
                document["delivery"]["endpoint"] = value(format!("https://127.0.0.1:{port}"));
                if document["delivery"]["seal"].get("key_file").is_some() {
                    let key = value(self.certificate("national.seal.key"));
                    document["delivery"]["seal"]["key_file"] = key;
                }
                if let Some(asked) = document.get_mut("verification") {
                    asked["endpoint"] = value(format!("https://127.0.0.1:{port}"));
                }
                let keys = document["token_keys"].as_array_of_tables_mut();
                for key in keys.into_iter().flat_map(|keys| keys.iter_mut()) {
                    key["public_key"] = value(self.certificate(&format!("{party}.token.pub")));
                }
            });
        }
        anyhow::bail!("the configuration has no party `{party}`, which the demo plays")
    }

    fn simulator(
        &self,
        role: Role,
        (port, control): (u16, u16),
        arguments: &Arguments,
    ) -> anyhow::Result<Simulator> {
        let party = role.party();
        let mut document = DocumentMut::new();
        document["role"] = value(role_word(role));
        document["listen"] = value(format!("127.0.0.1:{port}"));
        document["control"] = value(format!("127.0.0.1:{control}"));
        document["gateway"] = value(&self.gateway);
        document["token_key"] = value(self.certificate(&format!("{party}.token.key")));
        document["seal_key"] = value(self.certificate("national.seal.key"));
        document["exchange_key"] = value(self.certificate("national.exchange.key"));
        document["registry_password"] = value(self.certificate("23.registry.password"));
        document["config"] = value(self.dir.join("config").display().to_string());
        document["rate"] = value(i64::from(arguments.rate.max(1)));
        document["seed"] = value(i64::from(arguments.seed));
        document["faults"] = value(arguments.faults.clone().unwrap_or_default());
        document["end_with_stdin"] = value(true);
        let mut tls = Table::new();
        tls["certificate"] = value(self.certificate(&format!("{party}.pem")));
        tls["key"] = value(self.certificate(&format!("{party}.key")));
        tls["authorities"] = value(self.certificate("ca.pem"));
        document["tls"] = Item::Table(tls);
        let mut plans = toml_edit::ArrayOfTables::new();
        for plan in plans_of(role, arguments.applications) {
            let mut table = Table::new();
            table["business"] = value(plan.business);
            table["home"] = value(plan.home);
            table["count"] = value(i64::try_from(plan.count)?);
            plans.push(table);
        }
        document["submit"] = Item::ArrayOfTables(plans);
        // The neighbour submits them first, the own platform again.
        let both = plans_of(Role::Province, arguments.applications);
        let both = both.into_iter().filter(|plan| plan.business != "marriage_registration");
        document["twins"] = value(both.map(|plan| plan.business).collect::<Array>());
        let settings = self.dir.join(format!("simulator-{party}.toml"));
        fs::write(&settings, document.to_string())?;
        let control = format!("http://127.0.0.1:{control}");
        Ok(Simulator { role, settings, control })
    }

    /// Where to look while it runs.
    pub(super) fn addresses(&self) -> String {
        let certs = self.dir.join("certs");
        let certs = certs.display();
        let binary = std::env::current_exe().unwrap_or_else(|_| "tongban".into());
        let binary = binary.display();
        let mut text = format!(
            "gateway   {}  (gRPC and REST, mutual TLS)\nmetrics   {}/metrics\n",
            self.gateway, self.metrics
        );
        for one in &self.simulators {
            text.push_str(&format!("books     {}/books  ({})\n", one.control, one.role.party()));
        }
        text + &format!(
            "certs     {certs}\nlogs      {}\n\n\
             curl --cacert {certs}/ca.pem --cert {certs}/23.pem --key {certs}/23.key \\\n     \
             -H \"Authorization: Bearer $({binary} token --party 23 --certs {certs})\" \\\n     \
             '{}/v1/applications?pageSize=3'\n",
            self.dir.join("logs").display(),
            self.gateway
        )
    }
}

const fn role_word(role: Role) -> &'static str {
    match role {
        Role::National => "national",
        Role::Platform => "platform",
        Role::Province => "province",
    }
}

/// Who submits what. Two fifths are marriages: the list of countries is long. What goes out comes
/// from the platform, for residents of Guangdong and of provinces behind the hub; what comes in
/// comes from the hub and from Guangdong, for residents of Heilongjiang. Couples go to any registry.
fn plans_of(role: Role, applications: usize) -> Vec<Plan> {
    let mut plans = Vec::new();
    let mut plan = |business: &str, home: &str, count: usize| {
        if count > 0 {
            plans.push(Plan { business: business.into(), home: home.into(), count });
        }
    };
    // Of six, one of each business.
    let least = usize::from(applications >= 6);
    let tenth = |tenths: usize| (applications * tenths / 10).max(least);
    let (divorces, others) = (tenth(1), [tenth(2), tenth(1), tenth(1), tenth(1)]);
    let marriages = applications - divorces - others.iter().sum::<usize>();
    for (business, all) in
        [("marriage_registration", marriages), ("divorce_registration", divorces)]
    {
        match role {
            Role::Platform => plan(business, "other", all.div_ceil(2)),
            Role::Province => plan(business, "other", all / 2),
            Role::National => {}
        }
    }
    let names =
        ["disability_subsidy", "child_recognition", "old_age_allowance", "social_assistance"];
    for (business, all) in names.into_iter().zip(others) {
        let (inbound, outbound) = (all / 2, all.div_ceil(2));
        match role {
            Role::Platform => {
                plan(business, "44", outbound / 2);
                plan(business, "other", outbound.div_ceil(2));
            }
            Role::National => plan(business, "23", inbound.div_ceil(2)),
            Role::Province => plan(business, "23", inbound / 2),
        }
    }
    plans
}

fn edit(file: &Path, change: impl FnOnce(&mut DocumentMut)) -> anyhow::Result<()> {
    let text =
        fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
    let mut document: DocumentMut =
        text.parse().with_context(|| format!("{} is not understood", file.display()))?;
    change(&mut document);
    fs::write(file, document.to_string())
        .with_context(|| format!("{} can't be written", file.display()))
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// Ports that are free now; all held until all are found, so that they differ.
fn free_ports(count: usize) -> std::io::Result<Vec<u16>> {
    let held: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_application_is_planned_once_and_both_ways() {
        for applications in [1, 2, 7, 12, 120, 300, 1001] {
            let roles = [Role::National, Role::Platform, Role::Province];
            let plans: Vec<Plan> =
                roles.into_iter().flat_map(|role| plans_of(role, applications)).collect();
            assert_eq!(plans.iter().map(|plan| plan.count).sum::<usize>(), applications);
            if applications >= 40 {
                assert_eq!(plans.len(), 20, "{plans:?}");
            }
        }
    }
}
