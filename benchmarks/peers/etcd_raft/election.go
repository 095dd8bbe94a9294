package main

// election lets one node after the other campaign.
type election struct {
	*nodes
	elections int
}

func newElection(s shape) bench {
	e := &election{nodes: newNodes(s["voters"], false, s["check"] == 1), elections: 1}
	e.elect()
	return e
}

func (e *election) run(operations int) {
	for range operations {
		e.leader = e.members[e.elections%len(e.members)]
		e.first = e.leader
		check(e.leader.node.Campaign())
		e.pump()
		e.compact()
		e.elections++
	}
}

func (e *election) verify() {
	e.verifyLogs(uint64(firstIndex+e.elections), nil)
	e.checkLeader(e.leader)
	leader := e.leader.node.BasicStatus().ID
	for _, m := range e.members {
		require(termOfNode(m.node) == uint64(1+e.elections), "a node is at term %d", termOfNode(m.node))
		require(m.node.BasicStatus().Lead == leader, "a node follows somebody else")
	}
}
