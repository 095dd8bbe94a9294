package main

import (
	"encoding/binary"
	"hash/crc32"
	"slices"

	"go.etcd.io/raft/v3/tracker"
)

// quorumBench finds the commit index after each acknowledgement.
type quorumBench struct {
	counts
	voters    int
	check     bool
	tracker   tracker.ProgressTracker
	peers     []*tracker.Progress
	turn      int
	committed uint64
}

func newQuorum(s shape) bench {
	q := &quorumBench{voters: s["voters"], check: s["check"] == 1, tracker: tracker.MakeProgressTracker(maxInflight, 0)}
	for _, id := range upTo(q.voters) {
		one := &tracker.Progress{Match: id, Next: id + 1}
		q.tracker.Voters[0][id] = struct{}{}
		q.tracker.Progress[id] = one
		q.peers = append(q.peers, one)
	}
	q.committed = q.tracker.Committed()
	return q
}

func (q *quorumBench) run(operations int) {
	for range operations {
		q.turn = (q.turn + 7) % q.voters
		q.peers[q.turn].Match += uint64(q.voters)
		q.committed = q.tracker.Committed()
		if q.check {
			q.digest = crc32.Update(q.digest, crc32.IEEETable, binary.BigEndian.AppendUint64(nil, q.committed))
		}
	}
}

func (q *quorumBench) verify() {
	var matches []uint64
	for _, one := range q.peers {
		matches = append(matches, one.Match)
	}
	slices.Sort(matches)
	due := matches[q.voters-(q.voters/2+1)]
	require(q.committed == due, "%d is not the commit index %d", q.committed, due)
}
