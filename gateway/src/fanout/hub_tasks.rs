//! The tasks and gauges of the hub.

use std::sync::Arc;
use std::time::Duration;

use parlance_runtime::{Lifecycle, ticks};
use tokio::time::Instant;

use crate::auth::verifier::TokenVerifier;
use crate::fanout::hub::{Hub, Shared};
use crate::fanout::room::Room;
use crate::metrics::METER;
use crate::ws::shed::shed_slow_consumers;

const SHED_INTERVAL: Duration = Duration::from_millis(100);
/// A client that reads accepts some of its queued bytes within this time.
const STALL_TIMEOUT: Duration = Duration::from_secs(1);

impl Hub {
    /// Attaches to the replicas of messaging and starts the tasks of the hub.
    pub(crate) fn run(&self, access: &TokenVerifier, lifecycle: &Lifecycle) {
        self.register_gauges();
        self.flush_workers.run(lifecycle);
        self.messaging_client.run(self.clone(), lifecycle);
        lifecycle.spawn_task("room reassignment", self.clone().reassign_rooms_forever());
        lifecycle.spawn_task("subscription renewal", self.clone().renew_forever());
        lifecycle.spawn_task("slow consumer shedding", self.clone().shed_forever());
        lifecycle.spawn_task("ended sessions", self.clone().close_ended(access.clone()));
        lifecycle.spawn_background("drain of sockets", self.clone().notify_drain());
    }

    fn register_gauges(&self) {
        self.gauge("parlance.gateway.sockets", "Authenticated sockets.", |hub| {
            hub.connections().len()
        });
        self.gauge("parlance.gateway.subscriptions", "Subscriptions of sockets to rooms.", |hub| {
            hub.rooms().values().map(Room::subscribers).sum()
        });
        self.gauge("parlance.gateway.streams", "Streams to replicas of messaging.", |hub| {
            hub.messaging_client.attached()
        });
        self.gauge("parlance.gateway.rooms", "Rooms with a subscriber.", |hub| hub.rooms().len());
        self.gauge("parlance.gateway.queued_bytes", "Bytes that wait for clients.", |hub| {
            hub.send_budget.bytes()
        });
        self.gauge("parlance.gateway.queued_bytes.limit", "Limit of queued bytes.", |hub| {
            hub.send_budget.max_bytes()
        });
    }

    fn gauge(&self, name: &'static str, description: &'static str, value: fn(&Shared) -> usize) {
        let hub = Arc::downgrade(&self.0);
        opentelemetry::global::meter(METER)
            .u64_observable_gauge(name)
            .with_description(description)
            .with_callback(move |gauge| {
                if let Some(hub) = hub.upgrade() {
                    gauge.observe(value(&hub) as u64, &[]);
                }
            })
            .build();
    }

    async fn shed_forever(self) -> anyhow::Result<()> {
        let mut ticks = ticks(SHED_INTERVAL);
        loop {
            ticks.tick().await;
            let Some(stalled_since) = Instant::now().checked_sub(STALL_TIMEOUT) else { continue };
            let connections = self.connections();
            let queues = connections.values().map(|(_, send_queue)| &**send_queue);
            shed_slow_consumers(&self.send_budget, queues, stalled_since);
        }
    }

    async fn notify_drain(self) -> anyhow::Result<()> {
        self.lifecycle.draining().cancelled().await;
        self.connections().values().for_each(|(_, send_queue)| send_queue.notify_drain());
        Ok(())
    }
}
