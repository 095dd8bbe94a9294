package main

import (
	"encoding/binary"
	"io"
	"log"

	"go.etcd.io/raft/v3"
)

const (
	electionTick       = 10
	heartbeatTick      = 1
	maxSizePerMsg      = 1 << 20
	maxInflight        = 256
	maxUncommitted     = 64 << 20
	compactionInterval = 4096
	firstIndex         = 1
	payloadCount       = 64
)

var silent = &raft.DefaultLogger{Logger: log.New(io.Discard, "", 0)}

// payloads makes the same random bytes as benchmarks/workloads/bench.py (SplitMix64).
func payloads(count, size int) [][]byte {
	state := uint64(0x9E3779B97F4A7C15)
	made := make([][]byte, count)
	for i := range made {
		var words []byte
		for len(words) < size {
			state += 0x9E3779B97F4A7C15
			mixed := (state ^ state>>30) * 0xBF58476D1CE4E5B9
			mixed = (mixed ^ mixed>>27) * 0x94D049BB133111EB
			words = binary.LittleEndian.AppendUint64(words, mixed^mixed>>31)
		}
		made[i] = words[:size:size]
	}
	return made
}

func config(id uint64, storage raft.Storage) *raft.Config {
	return &raft.Config{
		ID:                        id,
		ElectionTick:              electionTick,
		HeartbeatTick:             heartbeatTick,
		Storage:                   storage,
		MaxSizePerMsg:             maxSizePerMsg,
		MaxInflightMsgs:           maxInflight,
		MaxUncommittedEntriesSize: maxUncommitted,
		Logger:                    silent,
	}
}

func upTo(count int) []uint64 {
	ids := make([]uint64, count)
	for i := range ids {
		ids[i] = uint64(i + 1)
	}
	return ids
}
