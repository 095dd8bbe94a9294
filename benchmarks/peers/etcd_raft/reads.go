package main

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// reads are linearizable ones, asked on the leader or on a follower of three nodes.
type reads struct {
	*nodes
	batch           int
	asked, answered uint64
}

func newReads(s shape) bench {
	r := &reads{nodes: newNodes(3, false, s["check"] == 1), batch: s["batch"]}
	r.elect()
	r.first = r.members[s["at_follower"]]
	return r
}

func (r *reads) granularity() int { return r.batch }

func (r *reads) run(operations int) {
	asker := r.first
	for range operations / r.batch {
		for range r.batch {
			r.asked++
			asker.node.ReadIndex(binary.BigEndian.AppendUint64(nil, r.asked))
		}
		r.pump()
		for _, state := range asker.reads {
			r.answered++
			if got := binary.BigEndian.Uint64(state.RequestCtx); got != r.answered || state.Index != firstIndex+1 {
				panic(fmt.Sprintf("read %d was answered with index %d where read %d was due", got, state.Index, r.answered))
			}
			if r.check {
				r.counts.digest = crc32.Update(r.counts.digest, crc32.IEEETable, state.RequestCtx)
			}
		}
		asker.reads = asker.reads[:0]
	}
}

func (r *reads) verify() {
	require(r.answered == r.asked, "%d of %d reads were answered", r.answered, r.asked)
	digest := r.counts.digest
	r.verifyLogs(firstIndex+1, nil)
	r.counts.digest = digest
}
