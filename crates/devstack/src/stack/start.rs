//! Starting a stack.

use std::env;
use std::path::Path;
use std::time::Duration;

use super::encryption::Encryption;
use super::parts::{self, Endpoint, GATEWAY, SERVICES, STOPPING_ORDER};
use super::wiring::Caller;
use super::{DATABASE, Plan, Replica, Stack, database};
use crate::postgres::{Postgres, Settings};
use crate::probe::Probe;
use crate::process::{Process, Spec};
use crate::{Redis, free_port, redis};

/// What arrows call those that are no parts of Parlance.
const POSTGRES: &str = "postgres";
const REDIS: &str = "redis";
const READY_DEADLINE: Duration = Duration::from_secs(60);
/// Nobody wants to wait for long at a terminal. The environment may say otherwise.
const DRAIN_TIMEOUT: (&str, &str) = ("DRAIN_TIMEOUT", "5");

impl Stack {
    /// Starts everything and returns when all of it is ready. `report` is told of each step as it
    /// begins.
    pub(crate) async fn start(plan: Plan, report: &(dyn Fn(&str) + Sync)) -> anyhow::Result<Self> {
        let programs = parts::folder_of_programs()?;

        let encryption = plan.is_encrypted.then(|| Encryption::new(&plan.folder)).transpose()?;
        report("starting Postgres");
        let postgres = start_postgres(&plan, encryption.as_ref()).await?;
        report("making roles and schemas");
        database::prepare(&postgres, &plan.folder, &plan.secrets).await?;
        report("starting Redis");
        let redis = start_redis(&plan, encryption.as_ref()).await?;

        report("starting the services and the gateway");
        let endpoints = endpoints(&plan)?;
        let (secrets, folder) = (plan.secrets.clone(), plan.folder.clone());
        let parts = Vec::new();
        let mut stack =
            Self { parts, redis, postgres, secrets, encryption, folder, temporary: None };
        for (part, replicas) in &endpoints {
            if let Some(encryption) = &stack.encryption {
                encryption.issue(part)?;
            }
            let mut started = Vec::new();
            for (index, endpoint) in replicas.iter().enumerate() {
                let mut spec = spec(part, index, *endpoint, &programs, &plan.folder);
                let caller = Caller { part, index };
                spec.environment = stack.environment(caller, *endpoint, &endpoints, &plan)?;
                started.push(Replica { process: Process::start(spec).await?, endpoint: *endpoint });
            }
            stack.parts.push((part, started));
        }
        stack.wait_until_ready(report).await?;
        Ok(stack)
    }

    async fn wait_until_ready(&self, report: &(dyn Fn(&str) + Sync)) -> anyhow::Result<()> {
        // The other way round: a gateway is ready after those it calls.
        for (_, replicas) in self.parts.iter().rev() {
            for Replica { process, .. } in replicas {
                report(&format!("waiting for {}", process.name()));
                process.wait_until_ready(READY_DEADLINE).await?;
            }
        }
        Ok(())
    }

    fn environment(
        &self,
        caller: Caller,
        endpoint: Endpoint,
        endpoints: &[(&'static str, Vec<Endpoint>)],
        plan: &Plan,
    ) -> anyhow::Result<Vec<(String, String)>> {
        let part = caller.part;
        let mut environment = parts::addresses(caller, endpoint, endpoints, &plan.wiring)?;
        let mut set =
            |name: &str, value: &str| environment.push((name.to_owned(), value.to_owned()));
        set("INTERNAL_TOKEN", plan.secrets.get("INTERNAL_TOKEN")?);
        if env::var_os(DRAIN_TIMEOUT.0).is_none() {
            set(DRAIN_TIMEOUT.0, DRAIN_TIMEOUT.1);
        }
        if SERVICES.contains(&part) {
            let address = plan.wiring.address(caller, POSTGRES, 0, self.postgres.address())?;
            let mut url = Postgres::url_at(address, part, plan.secrets.of_role(part)?, DATABASE);
            if let Some(encryption) = &self.encryption {
                url += &format!("?sslmode=verify-full&sslrootcert={}", encryption.ca_of(POSTGRES));
            }
            set("DATABASE_URL", &url);
        }
        if part == "messaging" {
            let address = plan.wiring.address(caller, REDIS, 0, self.redis.address())?;
            set("REDIS_URL", &self.redis.url_at(address));
            if let Some(encryption) = &self.encryption {
                set("REDIS_CA", &encryption.ca_of(REDIS));
            }
        }
        if let Some(encryption) = &self.encryption {
            for (name, path) in encryption.settings_of(part) {
                set(name, &path);
            }
        }
        for setting in plan.settings.iter().filter(|setting| setting.part == part) {
            set(&setting.name, &setting.value);
        }
        Ok(environment)
    }
}

async fn start_postgres(plan: &Plan, encryption: Option<&Encryption>) -> anyhow::Result<Postgres> {
    let certificate = encryption.map(|encryption| encryption.issue(POSTGRES)).transpose()?;
    Postgres::start(Settings {
        certificate,
        folder: plan.folder.clone(),
        port: free_port()?,
        password: plan.secrets.get("POSTGRES_PASSWORD")?.to_owned(),
        durability: plan.durability,
    })
    .await
}

async fn start_redis(plan: &Plan, encryption: Option<&Encryption>) -> anyhow::Result<Redis> {
    let encrypted = encryption
        .map(|encryption| anyhow::Ok((free_port()?, encryption.issue(REDIS)?)))
        .transpose()?;
    Redis::start(redis::Settings {
        folder: plan.folder.clone(),
        port: free_port()?,
        password: plan.secrets.get("REDIS_PASSWORD")?.to_owned(),
        encrypted,
    })
    .await
}

/// In the order in which the parts end.
fn endpoints(plan: &Plan) -> anyhow::Result<Vec<(&'static str, Vec<Endpoint>)>> {
    let mut endpoints = Vec::new();
    for part in STOPPING_ORDER.concat() {
        let of_part: anyhow::Result<_> = if part == GATEWAY {
            plan.gateways.iter().map(|address| Endpoint::new(*address)).collect()
        } else {
            (0..plan.replicas).map(|_| Endpoint::free()).collect()
        };
        endpoints.push((part, of_part?));
    }
    Ok(endpoints)
}

fn spec(part: &str, index: usize, endpoint: Endpoint, programs: &Path, folder: &Path) -> Spec {
    let name = format!("{part} {}", index + 1);
    let log = folder.join(format!("logs/{part}-{}.log", index + 1));
    Spec {
        arguments: vec!["serve".into()],
        inherits_environment: true,
        probe: Probe::Ready { admin_port: endpoint.admin.port() },
        ..Spec::new(name, programs.join(part), folder, log)
    }
}
