package main

// tell asks a leader how it is.
type tell struct {
	*nodes
	basic     bool
	seen, due uint64
}

func newTell(s shape) bench {
	t := &tell{nodes: newNodes(s["members"], false, false), basic: s["basic"] == 1}
	t.elect()
	return t
}

func (t *tell) run(operations int) {
	node := t.leader.node
	if t.basic {
		for range operations {
			t.seen += node.BasicStatus().Applied
		}
		t.due += uint64(operations * (firstIndex + 1))
		return
	}
	for range operations {
		for _, one := range node.Status().Progress {
			t.seen += one.Match
		}
	}
	t.due += uint64(operations * (firstIndex + 1) * len(t.members))
}

func (t *tell) verify() {
	require(t.seen == t.due, "the indexes seen add up to %d, not %d", t.seen, t.due)
}
