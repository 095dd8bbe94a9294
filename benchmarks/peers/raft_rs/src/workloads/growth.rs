//! Does a proposal cost more when the log is long?

use raft::eraftpb::Entry;

use crate::bench::{payloads, storage_of, Bench, Clock, Counts, Shape, FIRST_INDEX};
use crate::nodes::{Member, Nodes};

pub struct Growth {
    nodes: Nodes,
    length: usize,
    payload: Vec<u8>,
    last_index: u64,
    grown: usize,
    proposed: usize,
}

impl Growth {
    pub fn new(shape: &Shape) -> Growth {
        let length = shape.number("entries");
        let payload = payloads(1, shape.number("bytes")).remove(0);
        let voters = [1, 2, 3];
        let last = FIRST_INDEX + length as u64;
        let members = voters
            .iter()
            .map(|id| {
                let storage = storage_of(&voters);
                let entries: Vec<Entry> = (FIRST_INDEX + 1..=last)
                    .map(|index| Entry { term: 1, index, data: payload.clone().into(), ..Default::default() })
                    .collect();
                storage.wl().append(&entries).expect("append");
                storage.wl().commit_to(last).expect("commit");
                Member::new(*id, storage, false)
            })
            .collect();
        let mut nodes = Nodes::of(members, false, shape.flag("check"));
        nodes.elect();
        Growth { nodes, length, payload, last_index: last + 1, grown: 1, proposed: 0 }
    }
}

impl Bench for Growth {
    fn run(&mut self, operations: usize) {
        let limit = (self.length / 10).max(100);
        let nodes = &mut self.nodes;
        let mut left = operations;
        while left > 0 {
            let chunk = left.min(limit - self.grown);
            for _ in 0..chunk {
                nodes.members[0].node.propose(Vec::new(), self.payload.clone()).expect("propose");
                nodes.pump();
            }
            left -= chunk;
            self.last_index += chunk as u64;
            self.grown += chunk;
            if self.grown >= limit {
                let started = Clock::now();
                for one in &mut nodes.members {
                    one.compacted = one.applied - self.length as u64;
                    one.node.store().wl().compact(one.compacted).expect("compact");
                }
                self.grown = 0;
                nodes.counts.paused = nodes.counts.paused.plus(Clock::now().minus(started));
            }
        }
        self.proposed += operations;
    }

    fn verify(&self) {
        let last = if self.proposed == 0 { vec![] } else { vec![self.payload.clone()] };
        self.nodes.verify(self.last_index, &last);
    }

    fn counts(&self) -> Counts {
        Counts { digest: self.nodes.digest(), ..self.nodes.counts }
    }
}
