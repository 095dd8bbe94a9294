package main

import "bytes"

// growth asks whether a proposal costs more when the log is long.
type growth struct {
	*nodes
	length    int
	payload   []byte
	lastIndex uint64
	grown     int
	proposed  int
}

func newGrowth(s shape) bench {
	g := &growth{length: s["entries"], payload: payloads(1, s["bytes"])[0], grown: 1}
	voters := upTo(3)
	last := uint64(firstIndex + g.length)
	var members []*member
	for _, id := range voters {
		storage := newStorage(voters)
		entries := make([]entry, 0, g.length)
		for index := uint64(firstIndex + 1); index <= last; index++ {
			entries = append(entries, newEntry(1, index, bytes.Clone(g.payload)))
		}
		check(storage.Append(entries))
		setHardState(storage, 1, last)
		members = append(members, newMember(id, storage))
	}
	g.nodes = nodesOf(members, false, s["check"] == 1)
	g.elect()
	g.lastIndex = last + 1
	return g
}

func (g *growth) run(operations int) {
	limit := max(g.length/10, 100)
	for left := operations; left > 0; {
		chunk := min(left, limit-g.grown)
		for range chunk {
			check(g.leader.node.Propose(bytes.Clone(g.payload)))
			g.pump()
		}
		left -= chunk
		g.lastIndex += uint64(chunk)
		g.grown += chunk
		if g.grown >= limit {
			started := now()
			for _, m := range g.members {
				m.compacted = m.applied - uint64(g.length)
				check(m.storage.Compact(m.compacted))
			}
			g.grown = 0
			g.paused = g.paused.plus(now().minus(started))
		}
	}
	g.proposed += operations
}

func (g *growth) verify() {
	if g.proposed == 0 {
		g.verifyLogs(g.lastIndex, nil)
		return
	}
	g.verifyLogs(g.lastIndex, [][]byte{g.payload})
}
