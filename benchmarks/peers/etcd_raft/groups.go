package main

// groups of three nodes with nothing to do but heartbeats.
type groups struct {
	counts
	all    []*nodes
	ticks  int
	before int
}

func newGroups(s shape) bench {
	g := &groups{}
	for range s["groups"] {
		one := newNodes(3, false, false)
		one.elect()
		g.all = append(g.all, one)
	}
	g.sum()
	g.before = g.messages
	return g
}

func (g *groups) run(operations int) {
	for range operations {
		for _, one := range g.all {
			for _, m := range one.members {
				m.node.Tick()
			}
			one.pump()
		}
	}
	g.ticks += operations
	g.sum()
}

func (g *groups) sum() {
	g.messages, g.readies = 0, 0
	for _, one := range g.all {
		g.messages += one.messages
		g.readies += one.readies
	}
}

func (g *groups) verify() {
	require(g.messages-g.before == g.ticks*len(g.all)*4, "%d ticks took %d messages", g.ticks, g.messages-g.before)
	for i := 0; i < len(g.all); i += max(1, len(g.all)/100) {
		one := g.all[i]
		one.checkLeader(one.leader)
		one.verifyLogs(firstIndex+1, nil)
		require(termOfNode(one.leader.node) == 2, "there was an election")
	}
}
