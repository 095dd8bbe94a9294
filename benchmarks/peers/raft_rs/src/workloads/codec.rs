//! An append of 64 entries of 128 bytes, from bytes to values of which every field is read, and back.

use protobuf::Message as _;
use raft::eraftpb::{Entry, EntryType, Message, MessageType};

use crate::bench::{payloads, Bench, Counts, Shape};

const ENTRIES: usize = 64;
const BYTES: usize = 128;
const TERM: u64 = 7;
const INDEX: u64 = 1_000_000;

pub struct Codec {
    encodes: bool,
    message: Message,
    data: Vec<u8>,
    made: Vec<u8>,
    read: u64,
    due: u64,
}

impl Codec {
    pub fn new(shape: &Shape) -> Codec {
        let entries: Vec<Entry> = payloads(ENTRIES, BYTES)
            .into_iter()
            .enumerate()
            .map(|(i, data)| Entry {
                term: TERM,
                index: INDEX + 1 + i as u64,
                data: data.into(),
                ..Default::default()
            })
            .collect();
        let mut message = Message {
            to: 2,
            from: 1,
            term: TERM,
            log_term: TERM,
            index: INDEX,
            commit: INDEX,
            entries: entries.into(),
            ..Default::default()
        };
        message.set_msg_type(MessageType::MsgAppend);
        let data = message.write_to_bytes().expect("encode");
        Codec { encodes: shape.flag("encode"), message, made: data.clone(), data, read: 0, due: 0 }
    }
}

impl Bench for Codec {
    fn run(&mut self, operations: usize) {
        for _ in 0..operations {
            if self.encodes {
                self.made = self.message.write_to_bytes().expect("encode");
                continue;
            }
            let mut m = Message::default();
            m.merge_from_bytes(&self.data).expect("decode");
            let mut total = m.to + m.from + m.term + m.log_term + m.index + m.commit + m.reject_hint;
            total += m.context.len() as u64;
            assert!(m.get_msg_type() == MessageType::MsgAppend && !m.reject && !m.has_snapshot());
            for entry in m.entries.iter() {
                total += entry.term + entry.index + entry.data.len() as u64;
                assert!(entry.get_entry_type() == EntryType::EntryNormal);
            }
            self.read += total;
        }
        self.due += operations as u64;
    }

    fn verify(&self) {
        assert_eq!(self.made, self.data, "the bytes are not those of the message");
        let entries: u64 = (0..ENTRIES as u64).map(|i| TERM + INDEX + 1 + i + BYTES as u64).sum();
        let each = 2 + 1 + 2 * TERM + 2 * INDEX + entries;
        assert!(self.encodes || self.read == self.due * each, "the fields add up to {}", self.read);
    }

    fn counts(&self) -> Counts {
        Counts {
            messages: self.due as usize,
            wire_bytes: self.due as usize * self.data.len(),
            digest: crc32fast::hash(&self.made),
            ..Default::default()
        }
    }
}
