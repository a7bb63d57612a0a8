//! Limits on the memory of requests that arrive. Strangers can begin very many of them, each with a
//! head and a body of 64 KiB, and take 10 s for it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use parlance_core::ErrorCode;

use crate::limits::address::{ClientAddress, Network, TrustedProxies};
use crate::lock::lock;

/// The bytes of a head or a body that are not counted. Nearly all requests are smaller.
const FREE_BYTES: usize = 8 << 10;
/// The counted bytes of all clients.
const MAX_BYTES: usize = 64 << 20;
/// The counted bytes of one address.
const MAX_BYTES_PER_ADDRESS: usize = 16 << 20;

/// Counts the bytes of large requests. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct InputLimits {
    used: Arc<Mutex<Used>>,
}

#[derive(Default)]
struct Used {
    by_all: usize,
    by_address: HashMap<Network, usize>,
}

/// What one head or body has taken. It is given back when this is dropped.
pub(crate) struct InputShare {
    used: Arc<Mutex<Used>>,
    /// `None` for a trusted proxy: all clients may come through it.
    network: Option<Network>,
    counted: usize,
}

impl InputLimits {
    /// Makes a share for a head from this peer.
    pub(crate) fn share_of_peer(&self, peer: IpAddr, proxies: &TrustedProxies) -> InputShare {
        let peer = peer.to_canonical();
        let network = (!proxies.contains(peer)).then(|| ClientAddress(peer).network());
        InputShare { used: self.used.clone(), network, counted: 0 }
    }

    /// Makes a share for a body from this client.
    pub(crate) fn share_of_client(&self, client: ClientAddress) -> InputShare {
        InputShare { used: self.used.clone(), network: Some(client.network()), counted: 0 }
    }
}

impl InputShare {
    /// Counts that this many bytes have arrived by now.
    pub(crate) fn grow_to(&mut self, bytes: usize) -> Result<(), ErrorCode> {
        let counted = bytes.saturating_sub(FREE_BYTES);
        if counted <= self.counted {
            return Ok(());
        }
        let more = counted - self.counted;
        let mut used = lock(&self.used);
        if used.by_all + more > MAX_BYTES {
            return Err(ErrorCode::Unavailable);
        }
        if let Some(network) = self.network {
            let by_address = used.by_address.get(&network).copied().unwrap_or_default();
            if by_address + more > MAX_BYTES_PER_ADDRESS {
                return Err(ErrorCode::RateLimited);
            }
            used.by_address.insert(network, by_address + more);
        }
        used.by_all += more;
        self.counted = counted;
        Ok(())
    }

    /// Gives everything back.
    pub(crate) fn clear(&mut self) {
        let counted = std::mem::take(&mut self.counted);
        if counted == 0 {
            return;
        }
        let mut used = lock(&self.used);
        used.by_all -= counted;
        if let Some(network) = self.network
            && let Entry::Occupied(mut by_address) = used.by_address.entry(network)
        {
            *by_address.get_mut() -= counted;
            if *by_address.get() == 0 {
                by_address.remove();
            }
        }
    }
}

impl Drop for InputShare {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
#[path = "tests/input.rs"]
mod tests;
