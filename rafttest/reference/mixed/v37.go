//go:build !v36

package main

import (
	"google.golang.org/protobuf/proto"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// What differs between the releases: in this one, messages and entries are pointers and scalars have getters.
type (
	message = *pb.Message
	entry   = *pb.Entry
)

func recipient(m message) uint64      { return m.GetTo() }
func responsesOf(m message) []message { return m.GetResponses() }
func entriesOf(m message) []entry     { return m.GetEntries() }
func entryIndex(e entry) uint64       { return e.GetIndex() }
func entryType(e entry) pb.EntryType  { return e.GetType() }
func entryData(e entry) []byte        { return e.GetData() }
func encode(m message) []byte         { return marshal(m) }
func encodeEntry(e entry) []byte      { return marshal(e) }

func decode(data []byte) message {
	m := new(pb.Message)
	check(proto.Unmarshal(data, m))
	return m
}

func decodeChange(data []byte) pb.ConfChangeI {
	c := new(pb.ConfChangeV2)
	check(proto.Unmarshal(data, c))
	return c
}

func decodeChangeV1(data []byte) pb.ConfChangeI {
	c := new(pb.ConfChange)
	check(proto.Unmarshal(data, c))
	return c
}

func marshal(m proto.Message) []byte {
	data, err := proto.Marshal(m)
	check(err)
	return data
}

func found(storage *raft.MemoryStorage, data []byte) {
	snapshot := new(pb.Snapshot)
	check(proto.Unmarshal(data, snapshot))
	check(storage.ApplySnapshot(snapshot))
	metadata := snapshot.GetMetadata()
	check(storage.SetHardState(&pb.HardState{
		Term: new(metadata.GetTerm()), Vote: new(uint64(0)), Commit: new(metadata.GetIndex()),
	}))
}

func (n *node) applyChange(change pb.ConfChangeI) []byte {
	return marshal(n.raw.ApplyConfChange(change))
}

func (n *node) compact(asked *request) error {
	state, conf := asked.Data, new(pb.ConfState)
	size := int(state[0])<<8 | int(state[1])
	check(proto.Unmarshal(state[2:2+size], conf))
	if _, err := n.storage.CreateSnapshot(asked.Index, conf, state[2+size:]); err != nil {
		return err
	}
	return n.storage.Compact(asked.Index)
}

func persistReady(storage *raft.MemoryStorage, ready *raft.Ready, told *answer) {
	put(storage, ready.Snapshot, ready.Entries, ready.HardState, told)
}

func persist(storage *raft.MemoryStorage, m message, told *answer) {
	state := &pb.HardState{Term: new(m.GetTerm()), Vote: new(m.GetVote()), Commit: new(m.GetCommit())}
	put(storage, m.GetSnapshot(), m.GetEntries(), state, told)
}

func put(storage *raft.MemoryStorage, snapshot *pb.Snapshot, entries []entry, state *pb.HardState, told *answer) {
	if snapshot != nil && !raft.IsEmptySnap(snapshot) {
		check(storage.ApplySnapshot(snapshot))
		told.Snapshot = marshal(snapshot)
	}
	check(storage.Append(entries))
	for _, e := range entries {
		told.Entries = append(told.Entries, marshal(e))
	}
	if state != nil && !raft.IsEmptyHardState(state) {
		check(storage.SetHardState(state))
		told.HardState = marshal(state)
	}
}

func hardStateOf(status raft.BasicStatus) (term, vote, commit uint64) {
	return status.HardState.GetTerm(), status.HardState.GetVote(), status.HardState.GetCommit()
}
