//! Groups of three nodes with nothing to do but heartbeats.

use crate::bench::{Bench, Counts, Shape, FIRST_INDEX};
use crate::nodes::Nodes;

pub struct Groups {
    all: Vec<Nodes>,
    ticks: usize,
    before: usize,
}

impl Groups {
    pub fn new(shape: &Shape) -> Groups {
        let mut all: Vec<Nodes> = (0..shape.number("groups")).map(|_| Nodes::new(3, false, false, false)).collect();
        all.iter_mut().for_each(Nodes::elect);
        let before = all.iter().map(|one| one.counts.messages).sum();
        Groups { all, ticks: 0, before }
    }
}

impl Bench for Groups {
    fn run(&mut self, operations: usize) {
        for _ in 0..operations {
            for one in &mut self.all {
                for member in &mut one.members {
                    member.node.tick();
                }
                one.pump();
            }
        }
        self.ticks += operations;
    }

    fn verify(&self) {
        let messages = self.counts().messages - self.before;
        assert_eq!(messages, self.ticks * self.all.len() * 4, "the heartbeats are not all there");
        for one in self.all.iter().step_by((self.all.len() / 100).max(1)) {
            one.check_leader();
            one.verify(FIRST_INDEX + 1, &[]);
            assert_eq!(one.members[0].node.raft.term, 2, "there was an election");
        }
    }

    fn counts(&self) -> Counts {
        let mut total = Counts::default();
        for one in &self.all {
            total.messages += one.counts.messages;
            total.readies += one.counts.readies;
        }
        total
    }
}
