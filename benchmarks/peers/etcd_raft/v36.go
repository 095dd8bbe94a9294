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

func recipient(m message) uint64    { return m.To }
func sender(m message) uint64       { return m.From }
func termOf(m message) uint64       { return m.Term }
func indexOf(m message) uint64      { return m.Index }
func kind(m message) pb.MessageType { return m.Type }
func entryIndex(e entry) uint64     { return e.Index }

func newMessage(kind pb.MessageType, to, from, term, index uint64) message {
	return pb.Message{Type: kind, To: to, From: from, Term: term, Index: index}
}

func newEntry(term, index uint64, data []byte) entry {
	return pb.Entry{Term: term, Index: index, Data: data}
}

func encode(m message) []byte {
	data, err := m.Marshal()
	check(err)
	return data
}

func decode(data []byte) message {
	var m pb.Message
	check(m.Unmarshal(data))
	return m
}

func storeHardState(storage *raft.MemoryStorage, ready *raft.Ready) {
	if !raft.IsEmptyHardState(ready.HardState) {
		check(storage.SetHardState(ready.HardState))
	}
}

func newStorage(voters []uint64) *raft.MemoryStorage {
	storage := raft.NewMemoryStorage()
	check(storage.ApplySnapshot(pb.Snapshot{Metadata: pb.SnapshotMetadata{
		ConfState: pb.ConfState{Voters: voters}, Index: firstIndex, Term: 1,
	}}))
	setHardState(storage, 1, firstIndex)
	return storage
}

func setHardState(storage *raft.MemoryStorage, term, commit uint64) {
	check(storage.SetHardState(pb.HardState{Term: term, Commit: commit}))
}

func newAppend(entries []entry) message {
	return pb.Message{
		Type: pb.MsgApp, To: 2, From: 1, Term: codecTerm, LogTerm: codecTerm, Index: codecIndex, Commit: codecIndex,
		Entries: entries,
	}
}

func fieldsOf(m message) int {
	return int(m.Type) + int(m.To+m.From+m.Term+m.LogTerm+m.Index+m.Commit) + int(m.RejectHint+m.Vote) + len(m.Context)
}

func fieldsOfEntry(e entry) int {
	return int(e.Type) + int(e.Term+e.Index) + len(e.Data)
}

func termOfNode(node *raft.RawNode) uint64 { return node.BasicStatus().HardState.Term }
