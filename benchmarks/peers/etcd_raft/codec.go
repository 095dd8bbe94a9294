package main

import (
	"bytes"
	"hash/crc32"

	pb "go.etcd.io/raft/v3/raftpb"
)

const (
	codecEntries = 64
	codecBytes   = 128
	codecTerm    = 7
	codecIndex   = 1_000_000
)

// codec turns an append of 64 entries of 128 bytes into bytes, or bytes into it.
type codec struct {
	counts
	encodes   bool
	message   message
	data      []byte
	made      []byte
	read, due int
}

func newCodec(s shape) bench {
	var entries []entry
	for i, data := range payloads(codecEntries, codecBytes) {
		entries = append(entries, newEntry(codecTerm, uint64(codecIndex+1+i), data))
	}
	c := &codec{encodes: s["encode"] == 1, message: newAppend(entries)}
	c.data = encode(c.message)
	c.made = c.data
	return c
}

func (c *codec) run(operations int) {
	if c.encodes {
		for range operations {
			c.made = encode(c.message)
		}
	} else {
		for range operations {
			m := decode(c.data)
			total := fieldsOf(m)
			for _, e := range m.Entries {
				total += fieldsOfEntry(e)
			}
			c.read += total
		}
	}
	c.due += operations
	c.messages += operations
	c.wireBytes += operations * len(c.data)
	c.digest = crc32.ChecksumIEEE(c.made)
}

func (c *codec) verify() {
	require(bytes.Equal(c.made, c.data), "the bytes are not those of the message")
	if c.encodes {
		return
	}
	each := 2 + 1 + 2*codecTerm + 2*codecIndex + int(pb.MsgApp)
	for i := range codecEntries {
		each += codecTerm + codecIndex + 1 + i + codecBytes
	}
	require(c.read == c.due*each, "the fields add up to %d", c.read)
}
