//! A leader tells how it is. This library has one kind of status, which borrows the progress instead of copying it.

use std::hint::black_box;

use crate::bench::{Bench, Counts, Shape, FIRST_INDEX};
use crate::nodes::Nodes;

pub struct Tell {
    nodes: Nodes,
    basic: bool,
    seen: u64,
    due: u64,
}

impl Tell {
    pub fn new(shape: &Shape) -> Tell {
        let mut nodes = Nodes::new(shape.number("members"), false, false, false);
        nodes.elect();
        Tell { nodes, basic: shape.flag("basic"), seen: 0, due: 0 }
    }
}

impl Bench for Tell {
    fn run(&mut self, operations: usize) {
        let node = &self.nodes.members[0].node;
        for _ in 0..operations {
            let status = black_box(node.status()); // or the compiler asks only once
            if self.basic {
                self.seen += status.applied;
                continue;
            }
            self.seen += status.progress.expect("progress").iter().map(|(_, one)| one.matched).sum::<u64>();
        }
        let each = if self.basic { 1 } else { self.nodes.members.len() };
        self.due += (operations * each) as u64 * (FIRST_INDEX + 1);
    }

    fn verify(&self) {
        assert_eq!(self.seen, self.due, "the indexes do not add up");
    }

    fn counts(&self) -> Counts {
        Counts { digest: 0, ..self.nodes.counts }
    }
}
