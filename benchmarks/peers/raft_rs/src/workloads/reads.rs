//! Linearizable reads, asked on the leader or on a follower of three nodes.

use crate::bench::{Bench, Counts, Shape, FIRST_INDEX};
use crate::nodes::Nodes;

pub struct Reads {
    nodes: Nodes,
    batch: usize,
    check: bool,
    asked: u64,
    answered: u64,
    digest: u32,
}

impl Reads {
    pub fn new(shape: &Shape) -> Reads {
        let mut nodes = Nodes::new(3, false, false, false);
        nodes.elect();
        nodes.first = shape.number("at_follower");
        Reads { nodes, batch: shape.number("batch"), check: shape.flag("check"), asked: 0, answered: 0, digest: 0 }
    }
}

impl Bench for Reads {
    fn granularity(&self) -> usize {
        self.batch
    }

    fn run(&mut self, operations: usize) {
        let asker = self.nodes.first;
        for _ in 0..operations / self.batch {
            for _ in 0..self.batch {
                self.asked += 1;
                self.nodes.members[asker].node.read_index(self.asked.to_be_bytes().to_vec());
            }
            self.nodes.pump();
            for state in self.nodes.members[asker].reads.drain(..) {
                self.answered += 1;
                assert_eq!(state.request_ctx, self.answered.to_be_bytes(), "a read was answered out of turn");
                assert_eq!(state.index, FIRST_INDEX + 1, "a read was answered with another index");
                if self.check {
                    let mut hasher = crc32fast::Hasher::new_with_initial(self.digest);
                    hasher.update(&state.request_ctx);
                    self.digest = hasher.finalize();
                }
            }
        }
    }

    fn verify(&self) {
        assert_eq!(self.answered, self.asked, "not all reads were answered");
        self.nodes.verify(FIRST_INDEX + 1, &[]);
    }

    fn counts(&self) -> Counts {
        Counts { digest: self.digest, ..self.nodes.counts }
    }
}
