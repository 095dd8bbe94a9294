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

func recipient(m message) uint64    { return m.GetTo() }
func sender(m message) uint64       { return m.GetFrom() }
func termOf(m message) uint64       { return m.GetTerm() }
func indexOf(m message) uint64      { return m.GetIndex() }
func kind(m message) pb.MessageType { return m.GetType() }
func entryIndex(e entry) uint64     { return e.GetIndex() }

func newMessage(kind pb.MessageType, to, from, term, index uint64) message {
	return &pb.Message{Type: kind.Enum(), To: new(to), From: new(from), Term: new(term), Index: new(index)}
}

func newEntry(term, index uint64, data []byte) entry {
	return &pb.Entry{Term: new(term), Index: new(index), Data: data}
}

func encode(m message) []byte {
	data, err := proto.Marshal(m)
	check(err)
	return data
}

func decode(data []byte) message {
	m := new(pb.Message)
	check(proto.Unmarshal(data, m))
	return m
}

func storeHardState(storage *raft.MemoryStorage, ready *raft.Ready) {
	if ready.HardState != nil {
		check(storage.SetHardState(ready.HardState))
	}
}

func newStorage(voters []uint64) *raft.MemoryStorage {
	storage := raft.NewMemoryStorage()
	check(storage.ApplySnapshot(&pb.Snapshot{Metadata: &pb.SnapshotMetadata{
		ConfState: &pb.ConfState{Voters: voters}, Index: new(uint64(firstIndex)), Term: new(uint64(1)),
	}}))
	setHardState(storage, 1, firstIndex)
	return storage
}

func setHardState(storage *raft.MemoryStorage, term, commit uint64) {
	check(storage.SetHardState(&pb.HardState{Term: new(term), Vote: new(uint64(0)), Commit: new(commit)}))
}

func newAppend(entries []entry) message {
	term, index := uint64(codecTerm), uint64(codecIndex)
	return &pb.Message{
		Type: pb.MsgApp.Enum(), To: new(uint64(2)), From: new(uint64(1)), Term: new(term), LogTerm: new(term),
		Index: new(index), Commit: new(index), Entries: entries,
	}
}

func fieldsOf(m message) int {
	return int(m.GetType()) + int(m.GetTo()+m.GetFrom()+m.GetTerm()+m.GetLogTerm()+m.GetIndex()+m.GetCommit()) +
		int(m.GetRejectHint()+m.GetVote()) + len(m.GetContext())
}

func fieldsOfEntry(e entry) int {
	return int(e.GetType()) + int(e.GetTerm()+e.GetIndex()) + len(e.GetData())
}

func termOfNode(node *raft.RawNode) uint64 { return node.BasicStatus().HardState.GetTerm() }
