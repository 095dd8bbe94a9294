//! The commit index that a leader finds when one follower has come further.

use raft::eraftpb::{ConfChangeSingle, ConfChangeType};
use raft::{Changer, ProgressTracker};

use crate::bench::{Bench, Counts, Shape, MAX_INFLIGHT};

pub struct Quorum {
    tracker: ProgressTracker,
    voters: u64,
    check: bool,
    turn: u64,
    committed: u64,
    digest: u32,
}

impl Quorum {
    pub fn new(shape: &Shape) -> Quorum {
        let voters = shape.number("voters") as u64;
        let mut tracker = ProgressTracker::new(MAX_INFLIGHT);
        for id in 1..=voters {
            let mut change = ConfChangeSingle { node_id: id, ..Default::default() };
            change.set_change_type(ConfChangeType::AddNode);
            let (configuration, changes) = Changer::new(&tracker).simple(&[change]).expect("a change");
            tracker.apply_conf(configuration, changes, 1);
            tracker.get_mut(id).expect("progress").matched = id;
        }
        let committed = tracker.maximal_committed_index().0;
        Quorum { tracker, voters, check: shape.flag("check"), turn: 0, committed, digest: 0 }
    }
}

impl Bench for Quorum {
    fn run(&mut self, operations: usize) {
        for _ in 0..operations {
            self.turn = (self.turn + 7) % self.voters;
            self.tracker.get_mut(self.turn + 1).expect("progress").matched += self.voters;
            self.committed = self.tracker.maximal_committed_index().0;
            if self.check {
                let mut hasher = crc32fast::Hasher::new_with_initial(self.digest);
                hasher.update(&self.committed.to_be_bytes());
                self.digest = hasher.finalize();
            }
        }
    }

    fn verify(&self) {
        let mut matches: Vec<u64> = self.tracker.iter().map(|(_, one)| one.matched).collect();
        matches.sort_unstable();
        let count = matches.len();
        assert_eq!(self.committed, matches[count - (count / 2 + 1)], "this is not the commit index");
    }

    fn counts(&self) -> Counts {
        Counts { digest: self.digest, ..Default::default() }
    }
}
