//! Starting a stack.

use std::env;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread::available_parallelism;
use std::time::Duration;

use super::database;
use super::encryption::Encryption;
use super::parts::{self, DATABASE, Endpoint, GATEWAY, SERVICES, STOP_ORDER};
use super::plan::Plan;
use super::running::{Replica, Stack};
use super::wiring::Caller;
use crate::postgres::{Postgres, Settings};
use crate::process::{Process, Spec};
use crate::readiness::Readiness;
use crate::{Redis, free_port, redis};

/// The names of the servers that are no parts of Parlance, in arrows and in certificates.
const POSTGRES: &str = "postgres";
const REDIS: &str = "redis";
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// Seconds that a process may drain: short, because a developer waits for it at the terminal.
const DRAIN_TIMEOUT: &str = "5";

/// The parts and the endpoints of their replicas, in the order in which the parts stop.
type Endpoints = [(&'static str, Vec<Endpoint>)];

impl Stack {
    /// Starts all processes and waits until they are ready. Calls `report` at the beginning of each
    /// step.
    pub(crate) async fn start(plan: Plan, report: &(dyn Fn(&str) + Sync)) -> anyhow::Result<Self> {
        let programs = parts::programs_folder()?;

        let encryption = plan.is_encrypted.then(|| Encryption::new(&plan.folder)).transpose()?;
        report("starting Postgres");
        let postgres = start_postgres(&plan, encryption.as_ref()).await?;
        report("making roles and schemas");
        database::prepare(&postgres, &plan.folder, &plan.secrets).await?;
        report("starting Redis");
        let redis = start_redis(&plan, encryption.as_ref()).await?;

        report("starting the services and the gateway");
        let (secrets, folder) = (plan.secrets.clone(), plan.folder.clone());
        let parts = Vec::new();
        let mut stack =
            Self { parts, redis, postgres, secrets, encryption, folder, temporary: None };
        stack.start_parts(&plan, &programs).await?;
        stack.wait_until_ready(report).await?;
        Ok(stack)
    }

    async fn start_parts(&mut self, plan: &Plan, programs: &Path) -> anyhow::Result<()> {
        let endpoints = endpoints(plan)?;
        for (part, replicas) in &endpoints {
            if let Some(encryption) = &self.encryption {
                encryption.issue(part)?;
            }
            let mut started = Vec::new();
            for (index, endpoint) in replicas.iter().enumerate() {
                let mut spec = spec(part, index, *endpoint, programs, &plan.folder);
                let caller = Caller { part, index };
                spec.environment = self.environment(caller, *endpoint, &endpoints, plan)?;
                started.push(Replica { process: Process::start(spec).await?, endpoint: *endpoint });
            }
            self.parts.push((part, started));
        }
        Ok(())
    }

    async fn wait_until_ready(&self, report: &(dyn Fn(&str) + Sync)) -> anyhow::Result<()> {
        // Callees first: a gateway is ready only after its services.
        for (_, replicas) in self.parts.iter().rev() {
            for Replica { process, .. } in replicas {
                report(&format!("waiting for {}", process.name()));
                process.wait_until_ready(READY_TIMEOUT).await?;
            }
        }
        Ok(())
    }

    fn environment(
        &self,
        caller: Caller,
        endpoint: Endpoint,
        endpoints: &Endpoints,
        plan: &Plan,
    ) -> anyhow::Result<Vec<(String, String)>> {
        let part = caller.part;
        let mut environment = addresses(caller, endpoint, endpoints, plan)?;
        let mut set =
            |name: &str, value: &str| environment.push((name.to_owned(), value.to_owned()));
        set("INTERNAL_TOKEN", plan.secrets.get("INTERNAL_TOKEN")?);
        set_default("DRAIN_TIMEOUT", DRAIN_TIMEOUT, &mut set);
        if SERVICES.contains(&part) {
            set_default("WORKER_THREADS", &service_threads().to_string(), &mut set);
            let address = plan.wiring.address(caller, POSTGRES, 0, self.postgres.address())?;
            let password = plan.secrets.role_password(part)?;
            let mut url = Postgres::url_at(address, part, password, DATABASE);
            if let Some(encryption) = &self.encryption {
                url += &format!("?sslmode=verify-full&sslrootcert={}", encryption.ca(POSTGRES));
            }
            set("DATABASE_URL", &url);
        }
        if part == "messaging" {
            let address = plan.wiring.address(caller, REDIS, 0, self.redis.address())?;
            set("REDIS_URL", &self.redis.url_at(address));
            if let Some(encryption) = &self.encryption {
                set("REDIS_CA", &encryption.ca(REDIS));
            }
        }
        if let Some(encryption) = &self.encryption {
            for (name, path) in encryption.settings(part) {
                set(name, &path);
            }
        }
        for setting in plan.settings.iter().filter(|setting| setting.part == part) {
            set(&setting.name, &setting.value);
        }
        Ok(environment)
    }
}

/// Sets a variable unless this process has it in its environment, which the parts inherit.
fn set_default(name: &str, value: &str, mut set: impl FnMut(&str, &str)) {
    if env::var_os(name).is_none() {
        set(name, value);
    }
}

/// Half of the cores. On one machine the services share them with the gateway, Postgres and Redis,
/// and tasks that wake each other up across more threads cost more than they gain.
fn service_threads() -> usize {
    (available_parallelism().map_or(1, NonZeroUsize::get) / 2).max(1)
}

/// The settings with the addresses of a replica and of the replicas that it calls.
fn addresses(
    caller: Caller,
    endpoint: Endpoint,
    endpoints: &Endpoints,
    plan: &Plan,
) -> anyhow::Result<Vec<(String, String)>> {
    let listen = if caller.part == GATEWAY { "LISTEN" } else { "GRPC_LISTEN" };
    let mut settings = vec![
        (listen.to_owned(), endpoint.address.to_string()),
        ("ADMIN_LISTEN".to_owned(), endpoint.admin.to_string()),
    ];
    let callees = parts::callees(caller.part);
    for (callee, replicas) in endpoints.iter().filter(|(part, _)| callees.contains(part)) {
        let address = |(index, replica): (usize, &Endpoint)| {
            plan.wiring.address(caller, callee, index, replica.address)
        };
        let addresses: anyhow::Result<Vec<SocketAddr>> =
            replicas.iter().enumerate().map(address).collect();
        let addresses: Vec<String> = addresses?.iter().map(SocketAddr::to_string).collect();
        settings.push((format!("{}_ADDRESSES", callee.to_uppercase()), addresses.join(",")));
    }
    Ok(settings)
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
        role: redis::Role::Alone,
    })
    .await
}

fn endpoints(plan: &Plan) -> anyhow::Result<Vec<(&'static str, Vec<Endpoint>)>> {
    let mut endpoints = Vec::new();
    for part in STOP_ORDER.concat() {
        let replicas: anyhow::Result<_> = if part == GATEWAY {
            plan.gateways.iter().map(|address| Endpoint::new(*address)).collect()
        } else {
            (0..plan.replicas).map(|_| Endpoint::free()).collect()
        };
        endpoints.push((part, replicas?));
    }
    Ok(endpoints)
}

fn spec(part: &str, index: usize, endpoint: Endpoint, programs: &Path, folder: &Path) -> Spec {
    let name = format!("{part} {}", index + 1);
    let log = folder.join(format!("logs/{part}-{}.log", index + 1));
    Spec {
        arguments: vec!["serve".into()],
        inherits_environment: true,
        readiness: Readiness::AdminPort(endpoint.admin.port()),
        ..Spec::new(name, programs.join(part), folder, log)
    }
}
