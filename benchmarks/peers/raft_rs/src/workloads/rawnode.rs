//! What the Go library's BenchmarkRawNode does: with two voters the driver answers in the other's place.

use raft::eraftpb::{Entry, Message, MessageType};
use raft::storage::MemStorage;
use raft::{GetEntriesContext, RawNode, Storage};

use crate::bench::{new_node, storage_of, Bench, Counts, Shape, FIRST_INDEX};

pub struct LoneNode {
    voters: Vec<u64>,
    check: bool,
    node: RawNode<MemStorage>,
    applied: u64,
    proposed: u64,
    counts: Counts,
}

impl LoneNode {
    pub fn new(shape: &Shape) -> LoneNode {
        let voters: Vec<u64> = (1..=shape.number("voters") as u64).collect();
        let node = new_node(1, storage_of(&voters), FIRST_INDEX, false);
        let counts = Counts::default();
        let mut made = LoneNode { voters, check: shape.flag("check"), node, applied: 0, proposed: 0, counts };
        made.settle();
        made
    }

    fn stabilize(&mut self) {
        while self.node.has_ready() {
            let mut ready = self.node.ready();
            self.counts.readies += 1;
            let mut messages = ready.take_messages();
            let committed = ready.take_committed_entries();
            self.apply(&committed);
            if !ready.entries().is_empty() {
                self.node.store().wl().append(ready.entries()).expect("append");
            }
            messages.append(&mut ready.take_persisted_messages());
            let mut light = self.node.advance(ready);
            messages.append(&mut light.take_messages());
            let committed = light.take_committed_entries();
            self.apply(&committed);
            self.node.advance_apply();
            for message in messages {
                self.answer(&message);
            }
        }
    }

    fn apply(&mut self, committed: &[Entry]) {
        let (Some(first), Some(last)) = (committed.first(), committed.last()) else {
            return;
        };
        assert_eq!(first.index, self.applied + 1, "an entry was handed out of order");
        self.applied = last.index;
        if self.check {
            for entry in committed {
                let mut hasher = crc32fast::Hasher::new_with_initial(self.counts.digest);
                hasher.update(&entry.data);
                self.counts.digest = hasher.finalize();
            }
        }
    }

    fn answer(&mut self, message: &Message) {
        self.counts.messages += 1;
        let mut response = Message { to: message.from, from: message.to, term: message.term, ..Default::default() };
        match message.get_msg_type() {
            MessageType::MsgRequestVote => response.set_msg_type(MessageType::MsgRequestVoteResponse),
            MessageType::MsgAppend => {
                response.set_msg_type(MessageType::MsgAppendResponse);
                response.index = message.entries.last().map_or(message.index, |entry| entry.index);
            }
            _ => return,
        }
        self.node.step(response).expect("step");
    }
}

impl Bench for LoneNode {
    fn settle(&mut self) {
        self.node = new_node(1, storage_of(&self.voters), FIRST_INDEX, false);
        self.applied = FIRST_INDEX;
        self.proposed = 0;
        self.node.campaign().expect("campaign");
        self.stabilize();
    }

    fn run(&mut self, operations: usize) {
        for _ in 0..operations {
            self.node.propose(Vec::new(), b"foo".to_vec()).expect("propose");
            self.stabilize();
        }
        self.proposed += operations as u64;
    }

    fn verify(&self) {
        let due = FIRST_INDEX + 1 + self.proposed;
        let storage = self.node.store();
        assert_eq!((self.applied, storage.last_index().expect("last index")), (due, due), "not all was applied");
        if self.proposed == 0 {
            return;
        }
        let entries =
            storage.entries(FIRST_INDEX + 2, due + 1, None, GetEntriesContext::empty(false)).expect("entries");
        assert!(entries.iter().all(|entry| &entry.data[..] == b"foo"), "the log holds something else");
    }

    fn counts(&self) -> Counts {
        self.counts
    }
}
