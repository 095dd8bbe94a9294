package main

import (
	"bytes"
	"fmt"
	"hash/crc32"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// loneNode does what the library's own BenchmarkRawNode does: with two voters the driver answers in the other's place.
type loneNode struct {
	counts
	voters   int
	check    bool
	storage  *raft.MemoryStorage
	node     *raft.RawNode
	applied  uint64
	proposed uint64
}

var foo = []byte("foo")

func newLoneNode(s shape) bench {
	l := &loneNode{voters: s["voters"], check: s["check"] == 1}
	l.settle()
	return l
}

func (l *loneNode) settle() {
	var err error
	l.storage = newStorage(upTo(l.voters))
	l.node, err = raft.NewRawNode(config(1, l.storage))
	check(err)
	l.applied, l.proposed = firstIndex, 0
	check(l.node.Campaign())
	l.stabilize()
}

func (l *loneNode) run(operations int) {
	for range operations {
		check(l.node.Propose([]byte("foo")))
		l.stabilize()
	}
	l.proposed += uint64(operations)
}

func (l *loneNode) stabilize() {
	for l.node.HasReady() {
		ready := l.node.Ready()
		l.readies++
		if committed := ready.CommittedEntries; len(committed) > 0 {
			if entryIndex(committed[0]) != l.applied+1 {
				panic(fmt.Sprintf("entry %d was handed out after %d", entryIndex(committed[0]), l.applied))
			}
			l.applied = entryIndex(committed[len(committed)-1])
			if l.check {
				for _, e := range committed {
					l.digest = crc32.Update(l.digest, crc32.IEEETable, e.Data)
				}
			}
		}
		check(l.storage.Append(ready.Entries))
		for _, m := range ready.Messages {
			l.messages++
			switch kind(m) {
			case pb.MsgVote:
				check(l.node.Step(newMessage(pb.MsgVoteResp, sender(m), recipient(m), termOf(m), 0)))
			case pb.MsgApp:
				index := indexOf(m)
				if count := len(m.Entries); count > 0 {
					index = entryIndex(m.Entries[count-1])
				}
				check(l.node.Step(newMessage(pb.MsgAppResp, sender(m), recipient(m), termOf(m), index)))
			}
		}
		l.node.Advance(ready)
	}
}

func (l *loneNode) verify() {
	due := firstIndex + 1 + l.proposed
	last, err := l.storage.LastIndex()
	check(err)
	require(l.applied == due && last == due, "applied up to %d of %d, not %d", l.applied, last, due)
	if l.proposed == 0 {
		return
	}
	entries, err := l.storage.Entries(firstIndex+2, due+1, 1<<60)
	check(err)
	for _, e := range entries {
		require(bytes.Equal(e.Data, foo), "the log holds something that was not proposed")
	}
}
