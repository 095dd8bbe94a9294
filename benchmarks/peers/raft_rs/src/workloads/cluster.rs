//! Proposals to the leader of n nodes, in batches, until every node has applied them.

use crate::bench::{payloads, Bench, Counts, Shape, FIRST_INDEX, PAYLOADS};
use crate::nodes::Nodes;

pub struct Cluster {
    nodes: Nodes,
    batch: usize,
    payloads: Vec<Vec<u8>>,
    last_index: u64,
    last_payloads: usize,
}

impl Cluster {
    pub fn new(shape: &Shape) -> Cluster {
        let mut nodes =
            Nodes::new(shape.number("nodes"), shape.flag("wire"), shape.flag("check"), shape.flag("batch_append"));
        nodes.elect();
        Cluster {
            nodes,
            batch: shape.number("batch"),
            payloads: payloads(PAYLOADS, shape.number("bytes")),
            last_index: FIRST_INDEX + 1, // the empty entry of the new leader
            last_payloads: 0,
        }
    }
}

impl Bench for Cluster {
    fn granularity(&self) -> usize {
        self.batch
    }

    fn run(&mut self, operations: usize) {
        let nodes = &mut self.nodes;
        let mut left = operations;
        while left > 0 {
            for batch in self.payloads.chunks(self.batch) {
                let node = &mut nodes.members[nodes.leader].node;
                for payload in batch {
                    node.propose(Vec::new(), payload.clone()).expect("propose");
                }
                nodes.pump();
                nodes.compact();
                left -= batch.len();
                if left == 0 {
                    break;
                }
            }
        }
        self.last_index += operations as u64;
        self.last_payloads = if operations % PAYLOADS == 0 { PAYLOADS } else { operations % PAYLOADS };
    }

    fn verify(&self) {
        self.nodes.verify(self.last_index, &self.payloads[..self.last_payloads]);
    }

    fn counts(&self) -> Counts {
        Counts { digest: self.nodes.digest(), ..self.nodes.counts }
    }
}
