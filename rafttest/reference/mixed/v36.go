//go:build v36

package main

import (
	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// What differs between the releases: in this one, messages and entries are values.
type (
	message = pb.Message
	entry   = pb.Entry
)

type marshaler interface{ Marshal() ([]byte, error) }

func recipient(m message) uint64      { return m.To }
func responsesOf(m message) []message { return m.Responses }
func entriesOf(m message) []entry     { return m.Entries }
func entryIndex(e entry) uint64       { return e.Index }
func entryType(e entry) pb.EntryType  { return e.Type }
func entryData(e entry) []byte        { return e.Data }
func encode(m message) []byte         { return marshal(&m) }
func encodeEntry(e entry) []byte      { return marshal(&e) }

func decode(data []byte) message {
	var m pb.Message
	check(m.Unmarshal(data))
	return m
}

func decodeChange(data []byte) pb.ConfChangeI {
	var c pb.ConfChangeV2
	check(c.Unmarshal(data))
	return c
}

func decodeChangeV1(data []byte) pb.ConfChangeI {
	var c pb.ConfChange
	check(c.Unmarshal(data))
	return c
}

func marshal(m marshaler) []byte {
	data, err := m.Marshal()
	check(err)
	return data
}

func found(storage *raft.MemoryStorage, data []byte) {
	var snapshot pb.Snapshot
	check(snapshot.Unmarshal(data))
	check(storage.ApplySnapshot(snapshot))
	check(storage.SetHardState(pb.HardState{Term: snapshot.Metadata.Term, Commit: snapshot.Metadata.Index}))
}

func (n *node) applyChange(change pb.ConfChangeI) []byte {
	return marshal(n.raw.ApplyConfChange(change))
}

func (n *node) compact(asked *request) error {
	state := asked.Data
	size := int(state[0])<<8 | int(state[1])
	var conf pb.ConfState
	check(conf.Unmarshal(state[2 : 2+size]))
	if _, err := n.storage.CreateSnapshot(asked.Index, &conf, state[2+size:]); err != nil {
		return err
	}
	return n.storage.Compact(asked.Index)
}

func persistReady(storage *raft.MemoryStorage, ready *raft.Ready, told *answer) {
	put(storage, ready.Snapshot, ready.Entries, ready.HardState, told)
}

func persist(storage *raft.MemoryStorage, m message, told *answer) {
	var snapshot pb.Snapshot
	if m.Snapshot != nil {
		snapshot = *m.Snapshot
	}
	put(storage, snapshot, m.Entries, pb.HardState{Term: m.Term, Vote: m.Vote, Commit: m.Commit}, told)
}

func put(storage *raft.MemoryStorage, snapshot pb.Snapshot, entries []entry, state pb.HardState, told *answer) {
	if !raft.IsEmptySnap(snapshot) {
		check(storage.ApplySnapshot(snapshot))
		told.Snapshot = marshal(&snapshot)
	}
	check(storage.Append(entries))
	for _, e := range entries {
		told.Entries = append(told.Entries, encodeEntry(e))
	}
	if !raft.IsEmptyHardState(state) {
		check(storage.SetHardState(state))
		told.HardState = marshal(&state)
	}
}

func hardStateOf(status raft.BasicStatus) (term, vote, commit uint64) {
	return status.HardState.Term, status.HardState.Vote, status.HardState.Commit
}
