package main

import (
	"fmt"

	"go.etcd.io/raft/v3"
	pb "go.etcd.io/raft/v3/raftpb"
)

// node is one node of the library, its disk, and the work that its storage threads have not done.
type node struct {
	id         uint64
	settings   settings
	raw        *raft.RawNode
	storage    *raft.MemoryStorage
	appendWork []message
	applyWork  []message
	applied    uint64 // of the application; a snapshot that was written may be ahead of what is still to be applied
}

func newNode(asked *request) *node {
	n := &node{id: asked.Node, settings: asked.Settings, storage: raft.NewMemoryStorage()}
	if len(asked.Data) > 0 {
		found(n.storage, asked.Data)
	}
	n.boot()
	return n
}

// boot starts a process on the disk as it is. Its application begins from the snapshot.
func (n *node) boot() {
	raw, err := raft.NewRawNode(&raft.Config{
		ID: n.id, ElectionTick: n.settings.ElectionTick, HeartbeatTick: n.settings.HeartbeatTick, Storage: n.storage,
		MaxSizePerMsg: n.settings.MaxSizePerMsg, MaxCommittedSizePerReady: n.settings.MaxCommittedSizePerReady,
		MaxInflightMsgs: n.settings.MaxInflightMsgs, CheckQuorum: n.settings.CheckQuorum, PreVote: n.settings.PreVote,
		AsyncStorageWrites: n.settings.Async, StepDownOnRemoval: n.settings.StepDown,
	})
	if err != nil {
		panic(err)
	}
	n.raw, n.appendWork, n.applyWork, n.applied = raw, nil, nil, n.installed()
}

// installed is the index of the snapshot on the disk, before which there is no log.
func (n *node) installed() uint64 {
	first, err := n.storage.FirstIndex()
	check(err)
	return first - 1
}

func (n *node) do(asked *request, told *answer) error {
	switch asked.Do {
	case "start":
	case "restart":
		n.boot()
	case "tick":
		n.raw.Tick()
	case "step":
		return n.raw.Step(decode(asked.Data))
	case "propose":
		return n.raw.Propose(asked.Data)
	case "change":
		return n.raw.ProposeConfChange(decodeChange(asked.Data))
	case "change v1":
		return n.raw.ProposeConfChange(decodeChangeV1(asked.Data))
	case "read":
		n.raw.ReadIndex(asked.Data)
	case "campaign":
		return n.raw.Campaign()
	case "transfer":
		n.raw.TransferLeader(asked.To)
	case "forget":
		return n.raw.ForgetLeader()
	case "unreachable":
		n.raw.ReportUnreachable(asked.To)
	case "snapshot":
		status := raft.SnapshotFinish
		if asked.Failed {
			status = raft.SnapshotFailure
		}
		n.raw.ReportSnapshot(asked.To, status)
	case "compact":
		return n.compact(asked)
	case "work":
		n.work(told)
	case "append":
		m := n.appendWork[0]
		n.appendWork = n.appendWork[1:]
		persist(n.storage, m, told)
		n.respond(m, told)
	case "apply":
		m := n.applyWork[0]
		n.applyWork = n.applyWork[1:]
		n.apply(entriesOf(m), told)
		n.respond(m, told)
	default:
		return fmt.Errorf("unknown request %q", asked.Do)
	}
	return nil
}

// work takes a Ready. Synchronously everything in it is done at once.
func (n *node) work(told *answer) {
	if !n.raw.HasReady() {
		return
	}
	ready := n.raw.Ready()
	for _, state := range ready.ReadStates {
		told.Reads = append(told.Reads, read{state.Index, state.RequestCtx})
	}
	for _, m := range ready.Messages {
		switch recipient(m) {
		case raft.LocalAppendThread:
			n.appendWork = append(n.appendWork, m)
		case raft.LocalApplyThread:
			n.applyWork = append(n.applyWork, m)
		default:
			told.Messages = append(told.Messages, encode(m))
		}
	}
	if n.settings.Async {
		return
	}
	persistReady(n.storage, &ready, told)
	n.apply(ready.CommittedEntries, told)
	n.raw.Advance(ready)
}

func (n *node) respond(m message, told *answer) {
	for _, response := range responsesOf(m) {
		if recipient(response) == n.id {
			if err := n.raw.Step(response); err != nil && err != raft.ErrStepPeerNotFound {
				panic(err)
			}
		} else {
			told.Messages = append(told.Messages, encode(response))
		}
	}
}

func (n *node) apply(entries []entry, told *answer) {
	for _, e := range entries {
		if entryIndex(e) <= max(n.applied, n.installed()) {
			continue
		}
		n.applied = entryIndex(e)
		told.Committed = append(told.Committed, encodeEntry(e))
		if change := changeIn(e); change != nil {
			told.Confs = append(told.Confs, n.applyChange(change))
		}
	}
}

func (n *node) show(told *answer) {
	status := n.raw.BasicStatus()
	told.HasReady = n.raw.HasReady()
	told.Role = int(status.RaftState)
	told.Term, told.Vote, told.Commit = hardStateOf(status)
	told.Lead = status.Lead
	told.Applied = status.Applied
	last, err := n.storage.LastIndex()
	check(err)
	told.Last = last
	told.AppendWork, told.ApplyWork = len(n.appendWork), len(n.applyWork)
}

// changeIn is the membership change that an entry holds, or nil.
func changeIn(e entry) pb.ConfChangeI {
	switch entryType(e) {
	case pb.EntryConfChange:
		return decodeChangeV1(entryData(e))
	case pb.EntryConfChangeV2:
		return decodeChange(entryData(e))
	}
	return nil
}
