//! One node after the other campaigns, and every node follows it.

use crate::bench::{Bench, Counts, Shape, FIRST_INDEX};
use crate::nodes::Nodes;

pub struct Election {
    nodes: Nodes,
    elections: u64,
}

impl Election {
    pub fn new(shape: &Shape) -> Election {
        let mut nodes = Nodes::new(shape.number("voters"), false, shape.flag("check"), false);
        nodes.elect();
        Election { nodes, elections: 1 }
    }
}

impl Bench for Election {
    fn run(&mut self, operations: usize) {
        let nodes = &mut self.nodes;
        for _ in 0..operations {
            nodes.leader = self.elections as usize % nodes.members.len();
            nodes.first = nodes.leader;
            nodes.members[nodes.leader].node.campaign().expect("campaign");
            nodes.pump();
            nodes.compact();
            self.elections += 1;
        }
    }

    fn verify(&self) {
        self.nodes.verify(FIRST_INDEX + self.elections, &[]);
        self.nodes.check_leader();
        for one in &self.nodes.members {
            assert_eq!(one.node.raft.term, 1 + self.elections, "a node is at another term");
            assert_eq!(one.node.raft.leader_id, self.nodes.leader as u64 + 1, "a node follows somebody else");
        }
    }

    fn counts(&self) -> Counts {
        Counts { digest: self.nodes.digest(), ..self.nodes.counts }
    }
}
