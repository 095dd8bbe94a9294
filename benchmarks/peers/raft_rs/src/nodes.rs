//! Nodes of one group in one thread; the loop is that of benchmarks/workloads/nodes.py, as this library wants it.

use protobuf::Message as _;
use raft::eraftpb::{Entry, Message};
use raft::storage::MemStorage;
use raft::{GetEntriesContext, RawNode, ReadState, StateRole, Storage};

use crate::bench::{new_node, storage_of, Counts, COMPACTION_INTERVAL, FIRST_INDEX};

/// One node, and what its application has seen.
pub struct Member {
    pub node: RawNode<MemStorage>,
    inbox: Vec<Message>,
    wire_inbox: Vec<Vec<u8>>,
    pub reads: Vec<ReadState>,
    pub applied: u64,
    pub compacted: u64,
    digest: u32,
}

/// Nodes 1..n; node 1 is to lead.
pub struct Nodes {
    pub members: Vec<Member>,
    pub leader: usize,
    /// Who has been asked for something, and is served first.
    pub first: usize,
    wire: bool,
    check: bool,
    pub counts: Counts,
    outbox: Vec<Message>,
}

impl Member {
    pub fn new(id: u64, storage: MemStorage, batch_append: bool) -> Member {
        let applied = storage.last_index().expect("last index");
        Member {
            node: new_node(id, storage, applied, batch_append),
            inbox: Vec::new(),
            wire_inbox: Vec::new(),
            reads: Vec::new(),
            applied,
            compacted: FIRST_INDEX,
            digest: 0,
        }
    }

    fn apply(&mut self, entries: &[Entry], check: bool) {
        for entry in entries {
            self.applied += 1;
            assert_eq!(entry.index, self.applied, "an entry was handed out of order");
            if check {
                let mut hasher = crc32fast::Hasher::new_with_initial(self.digest);
                hasher.update(&entry.data);
                self.digest = hasher.finalize();
            }
        }
    }

    /// The Ready loop.
    fn serve(&mut self, outbox: &mut Vec<Message>, check: bool) -> usize {
        let mut readies = 0;
        while self.node.has_ready() {
            let mut ready = self.node.ready();
            readies += 1;
            outbox.append(&mut ready.take_messages());
            let committed = ready.take_committed_entries();
            self.apply(&committed, check);
            if !ready.entries().is_empty() {
                self.node.store().wl().append(ready.entries()).expect("append");
            }
            if let Some(hard_state) = ready.hs() {
                self.node.store().wl().set_hardstate(hard_state.clone());
            }
            outbox.append(&mut ready.take_persisted_messages());
            self.reads.append(&mut ready.take_read_states());
            let mut light = self.node.advance(ready);
            if let Some(commit) = light.commit_index() {
                self.node.store().wl().mut_hard_state().set_commit(commit);
            }
            outbox.append(&mut light.take_messages());
            let committed = light.take_committed_entries();
            self.apply(&committed, check);
            self.node.advance_apply();
        }
        readies
    }
}

impl Nodes {
    pub fn new(count: usize, wire: bool, check: bool, batch_append: bool) -> Nodes {
        let voters: Vec<u64> = (1..=count as u64).collect();
        let members = voters.iter().map(|id| Member::new(*id, storage_of(&voters), batch_append)).collect();
        Nodes::of(members, wire, check)
    }

    pub fn of(members: Vec<Member>, wire: bool, check: bool) -> Nodes {
        let counts = Counts::default();
        Nodes { members, leader: 0, first: 0, wire, check, counts, outbox: Vec::new() }
    }

    pub fn elect(&mut self) {
        self.members[self.leader].node.campaign().expect("campaign");
        self.pump();
        self.check_leader();
    }

    pub fn check_leader(&self) {
        let role = self.members[self.leader].node.raft.state;
        assert_eq!(role, StateRole::Leader, "the node that campaigned does not lead");
    }

    pub fn pump(&mut self) {
        self.serve(self.first);
        let mut moving = true;
        while moving {
            moving = false;
            for position in 0..self.members.len() {
                moving |= if self.wire { self.deliver_wire(position) } else { self.deliver(position) };
            }
        }
    }

    fn deliver(&mut self, position: usize) -> bool {
        let one = &mut self.members[position];
        if one.inbox.is_empty() {
            return false;
        }
        self.counts.messages += one.inbox.len();
        for message in one.inbox.drain(..) {
            one.node.step(message).expect("step");
        }
        self.serve(position);
        true
    }

    fn deliver_wire(&mut self, position: usize) -> bool {
        let one = &mut self.members[position];
        if one.wire_inbox.is_empty() {
            return false;
        }
        self.counts.messages += one.wire_inbox.len();
        for data in one.wire_inbox.drain(..) {
            self.counts.wire_bytes += data.len();
            let mut message = Message::default();
            message.merge_from_bytes(&data).expect("decode");
            one.node.step(message).expect("step");
        }
        self.serve(position);
        true
    }

    fn serve(&mut self, position: usize) {
        self.counts.readies += self.members[position].serve(&mut self.outbox, self.check);
        for message in self.outbox.drain(..) {
            let to = &mut self.members[message.to as usize - 1];
            if self.wire {
                to.wire_inbox.push(message.write_to_bytes().expect("encode"));
            } else {
                to.inbox.push(message);
            }
        }
    }

    pub fn compact(&mut self) {
        let leader = &self.members[self.leader];
        if leader.applied - leader.compacted < COMPACTION_INTERVAL {
            return;
        }
        for one in &mut self.members {
            one.node.store().wl().compact(one.applied).expect("compact");
            one.compacted = one.applied;
        }
    }

    pub fn digest(&self) -> u32 {
        self.members[self.leader].digest
    }

    pub fn verify(&self, last: u64, payloads: &[Vec<u8>]) {
        for one in &self.members {
            assert_eq!(one.applied, last, "a node has not applied everything");
            assert_eq!(one.digest, self.digest(), "the nodes applied different entries");
            assert!(one.inbox.is_empty() && one.wire_inbox.is_empty(), "a message lies about");
            assert!(!one.node.has_ready(), "a node still has something to do");
            let there = (payloads.len() as u64).min(last - one.compacted);
            if there == 0 {
                continue;
            }
            let storage = one.node.store();
            let entries = storage
                .entries(last + 1 - there, last + 1, None, GetEntriesContext::empty(false))
                .expect("entries");
            let due = &payloads[payloads.len() - there as usize..];
            assert!(entries.iter().map(|entry| &entry.data[..]).eq(due.iter().map(|data| &data[..])), "wrong log");
        }
    }
}
