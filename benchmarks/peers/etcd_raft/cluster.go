package main

import "bytes"

type cluster struct {
	*nodes
	batch        int
	payloads     [][]byte
	lastIndex    uint64
	lastPayloads [][]byte
}

func newCluster(s shape) bench {
	c := &cluster{
		nodes:     newNodes(s["nodes"], s["wire"] == 1, s["check"] == 1),
		batch:     s["batch"],
		payloads:  payloads(payloadCount, s["bytes"]),
		lastIndex: firstIndex,
	}
	c.elect()
	c.lastIndex++ // the empty entry of the new leader
	return c
}

func (c *cluster) granularity() int { return c.batch }

func (c *cluster) run(operations int) {
	node := c.leader.node
	for left := operations; left > 0; {
		for start := 0; start < payloadCount && left > 0; start += c.batch {
			for _, payload := range c.payloads[start : start+c.batch] {
				check(node.Propose(bytes.Clone(payload)))
			}
			c.pump()
			c.compact()
			left -= c.batch
		}
	}
	c.lastIndex += uint64(operations)
	rest := operations % payloadCount
	if rest == 0 {
		rest = payloadCount
	}
	c.lastPayloads = c.payloads[:rest]
}

func (c *cluster) verify() { c.verifyLogs(c.lastIndex, c.lastPayloads) }
