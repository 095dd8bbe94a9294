package main

import (
	"bytes"
	"fmt"
	"hash/crc32"

	"go.etcd.io/raft/v3"
)

// member is one node, its log, and what its application has seen.
type member struct {
	node      *raft.RawNode
	storage   *raft.MemoryStorage
	inbox     []message
	wireInbox [][]byte
	reads     []raft.ReadState
	applied   uint64
	compacted uint64
	digest    uint32
}

// nodes are nodes 1..n of one group in one thread; node 1 is to lead. The loop is that of benchmarks/workloads/nodes.py.
type nodes struct {
	counts
	members []*member
	leader  *member
	first   *member // who has been asked for something, and is served first
	wire    bool
	check   bool
}

// newMember continues from what storage holds, all of which has been applied.
func newMember(id uint64, storage *raft.MemoryStorage) *member {
	last, err := storage.LastIndex()
	check(err)
	settings := config(id, storage)
	settings.Applied = last
	node, err := raft.NewRawNode(settings)
	check(err)
	return &member{node: node, storage: storage, applied: last, compacted: firstIndex}
}

func newNodes(count int, wire, check bool) *nodes {
	voters := upTo(count)
	members := make([]*member, count)
	for i, id := range voters {
		members[i] = newMember(id, newStorage(voters))
	}
	return nodesOf(members, wire, check)
}

func nodesOf(members []*member, wire, check bool) *nodes {
	return &nodes{members: members, leader: members[0], first: members[0], wire: wire, check: check}
}

func (n *nodes) elect() {
	check(n.leader.node.Campaign())
	n.pump()
	n.checkLeader(n.leader)
}

func (n *nodes) checkLeader(m *member) {
	require(m.node.BasicStatus().RaftState == raft.StateLeader, "the node that campaigned does not lead")
}

func (n *nodes) pump() {
	n.serve(n.first)
	if n.wire {
		n.pumpWire()
	} else {
		n.pumpValues()
	}
}

func (n *nodes) pumpValues() {
	for moving := true; moving; {
		moving = false
		for _, one := range n.members {
			if len(one.inbox) == 0 {
				continue
			}
			moving = true
			n.messages += len(one.inbox)
			for _, m := range one.inbox {
				check(one.node.Step(m))
			}
			clear(one.inbox)
			one.inbox = one.inbox[:0]
			n.serve(one)
		}
	}
}

func (n *nodes) pumpWire() {
	for moving := true; moving; {
		moving = false
		for _, one := range n.members {
			if len(one.wireInbox) == 0 {
				continue
			}
			moving = true
			n.messages += len(one.wireInbox)
			for _, data := range one.wireInbox {
				n.wireBytes += len(data)
				check(one.node.Step(decode(data)))
			}
			clear(one.wireInbox)
			one.wireInbox = one.wireInbox[:0]
			n.serve(one)
		}
	}
}

func (n *nodes) serve(one *member) {
	for one.node.HasReady() {
		ready := one.node.Ready()
		n.readies++
		if len(ready.Entries) > 0 {
			check(one.storage.Append(ready.Entries))
		}
		storeHardState(one.storage, &ready)
		for _, m := range ready.Messages {
			to := n.members[recipient(m)-1]
			if n.wire {
				to.wireInbox = append(to.wireInbox, encode(m))
			} else {
				to.inbox = append(to.inbox, m)
			}
		}
		for _, e := range ready.CommittedEntries {
			one.applied++
			if entryIndex(e) != one.applied {
				panic(fmt.Sprintf("entry %d was handed out where %d was due", entryIndex(e), one.applied))
			}
		}
		if n.check {
			for _, e := range ready.CommittedEntries {
				one.digest = crc32.Update(one.digest, crc32.IEEETable, e.Data)
			}
		}
		if len(ready.ReadStates) > 0 {
			one.reads = append(one.reads, ready.ReadStates...)
		}
		one.node.Advance(ready)
	}
}

func (n *nodes) compact() {
	if n.leader.applied-n.leader.compacted < compactionInterval {
		return
	}
	for _, one := range n.members {
		check(one.storage.Compact(one.applied))
		one.compacted = one.applied
	}
}

func (n *nodes) verifyLogs(last uint64, payloads [][]byte) {
	for _, one := range n.members {
		require(one.applied == last, "a node applied up to %d, not %d", one.applied, last)
		require(one.digest == n.leader.digest, "the nodes applied different entries")
		require(len(one.inbox) == 0 && len(one.wireInbox) == 0 && !one.node.HasReady(), "a node still has something to do")
		there := min(uint64(len(payloads)), last-one.compacted)
		if there == 0 {
			continue
		}
		entries, err := one.storage.Entries(last+1-there, last+1, 1<<60)
		check(err)
		for i, e := range entries {
			due := payloads[len(payloads)-int(there)+i]
			require(bytes.Equal(e.Data, due), "a log does not end in what was proposed")
		}
	}
	n.counts.digest = n.leader.digest
}
