//! What every workload is: built once, run for a number of operations, checked after each run.

use raft::eraftpb::{ConfState, Snapshot};
use raft::storage::MemStorage;
use raft::{Config, RawNode};
use serde_json::Value;
use slog::{o, Discard, Logger};

pub const FIRST_INDEX: u64 = 1;
pub const COMPACTION_INTERVAL: u64 = 4096;
pub const MAX_INFLIGHT: usize = 256;
pub const PAYLOADS: usize = 64;

#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub messages: usize,
    pub readies: usize,
    pub wire_bytes: usize,
    pub digest: u32,
    /// Housekeeping within runs, which does not count.
    pub paused: Clock,
}

/// Wall time and the time of all threads, in nanoseconds.
#[derive(Clone, Copy, Default)]
pub struct Clock {
    pub wall: i64,
    pub cpu: i64,
}

impl Clock {
    pub fn now() -> Clock {
        Clock { wall: read_clock(libc::CLOCK_MONOTONIC), cpu: read_clock(libc::CLOCK_PROCESS_CPUTIME_ID) }
    }

    pub fn minus(self, other: Clock) -> Clock {
        Clock { wall: self.wall - other.wall, cpu: self.cpu - other.cpu }
    }

    pub fn plus(self, other: Clock) -> Clock {
        Clock { wall: self.wall + other.wall, cpu: self.cpu + other.cpu }
    }
}

fn read_clock(id: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // Safety: the pointer is to a value of this function.
    let failed = unsafe { libc::clock_gettime(id, &mut time) };
    assert_eq!(failed, 0, "the clock cannot be read");
    time.tv_sec as i64 * 1_000_000_000 + time.tv_nsec as i64
}

/// A workload of one shape. What is wrong panics, and is answered as an error.
pub trait Bench {
    fn granularity(&self) -> usize {
        1
    }
    fn settle(&mut self) {}
    fn run(&mut self, operations: usize);
    fn verify(&self);
    fn counts(&self) -> Counts;
}

/// Named integers; what is not named is 0.
pub struct Shape(Value);

impl Shape {
    pub fn new(value: &Value) -> Shape {
        Shape(value.clone())
    }

    pub fn number(&self, name: &str) -> usize {
        self.0[name].as_u64().unwrap_or(0) as usize
    }

    pub fn flag(&self, name: &str) -> bool {
        self.number(name) == 1
    }
}

/// The same random bytes as benchmarks/workloads/bench.py (SplitMix64).
pub fn payloads(count: usize, size: usize) -> Vec<Vec<u8>> {
    const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut state = STEP;
    (0..count)
        .map(|_| {
            let mut words = Vec::with_capacity(size + 8);
            while words.len() < size {
                state = state.wrapping_add(STEP);
                let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
                mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
                words.extend_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes());
            }
            words.truncate(size);
            words
        })
        .collect()
}

/// An empty log of a group whose members are known.
pub fn storage_of(voters: &[u64]) -> MemStorage {
    let mut snapshot = Snapshot::default();
    let mut members = ConfState::default();
    members.set_voters(voters.to_vec());
    let metadata = snapshot.mut_metadata();
    metadata.set_conf_state(members);
    metadata.index = FIRST_INDEX;
    metadata.term = 1;
    let storage = MemStorage::new();
    storage.wl().apply_snapshot(snapshot).expect("a first snapshot");
    storage
}

/// A node that continues from what `storage` holds up to `applied`.
pub fn new_node(id: u64, storage: MemStorage, applied: u64, batch_append: bool) -> RawNode<MemStorage> {
    let config = Config {
        id,
        election_tick: 10,
        heartbeat_tick: 1,
        applied,
        max_size_per_msg: 1 << 20,
        max_inflight_msgs: MAX_INFLIGHT,
        max_uncommitted_size: 64 << 20,
        batch_append,
        ..Default::default()
    };
    RawNode::new(&config, storage, &Logger::root(Discard, o!())).expect("a node")
}
